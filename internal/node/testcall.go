package node

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/admin"
	"countersign/internal/gateway"
	"countersign/internal/gateway/call"
	"countersign/internal/mfa"
	"countersign/internal/voice"
)

const (
	asks     = 2               // how often a call asks for keys
	keyPause = 6 * time.Second // that a key is waited for
)

// recording is an administrator's own recording of a prompt.
func (s *server) recording(name string) (voice.Sound, bool) {
	return s.store.Recording(name)
}

// testCall calls a number for an administrator and wants any key pressed.
func (s *server) testCall(ctx context.Context, g mfa.Gateway, to string) admin.Check {
	language := s.store.Settings().Language
	say := func(name string) voice.Sound { return voice.Prompt(s.recording, name, language) }
	r, err := s.carrier.CallBy(ctx, g, gateway.Telephone{To: to, Talk: call.Talk{Ask: say(voice.Test), Tries: 1, Asks: asks, Pause: keyPause,
		Said:  map[call.Answer]voice.Sound{call.Right: say(voice.Tested)},
		Judge: func(context.Context, string) call.Answer { return call.Right }}})
	next := ""
	if err != nil {
		next = gateway.Next(err, g)
	}
	return check("call", admin.Masked(g.Kind, to), g.Protocol, err,
		fmt.Sprintf("picked up after %s, a key was heard", r.Ringing.Round(100*time.Millisecond)), next)
}
