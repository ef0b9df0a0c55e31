package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/gateway"
	"countersign/internal/gateway/call"
	phonecall "countersign/internal/method/call"
	"countersign/internal/method/sent"
	"countersign/internal/mfa"
	"countersign/internal/phone"
	"countersign/internal/voice"
)

// calling places calls: what package method/call wants of gateways, prompts and limits.
type calling struct{ s *server }

// Admit implements phonecall.Caller.
func (p calling) Admit(ctx context.Context, user mfa.UserID) error {
	set := p.s.store.Settings()
	if err := p.s.store.Take(ctx, mfa.Quota{Name: "user/" + string(user), Window: time.Hour, Most: set.PerUser, N: 1, Full: mfa.TooManyMessages}); err != nil {
		return fmt.Errorf("calls to user %s: %w", user, err)
	}
	return nil
}

// May implements phonecall.Caller.
func (p calling) May(number string) error {
	return p.s.carrier.May(gateway.Message{Kind: mfa.GatewayCall, To: number})
}

// Over implements phonecall.Caller.
func (p calling) Over(ctx context.Context, w mfa.Wait) bool {
	now, err := p.s.store.Wait(ctx, w.User, w.ID, false)
	if err == nil && now.Nonce == w.Nonce && now.Answer.Reason != mfa.ReasonNone {
		return true
	}
	a, err := p.s.store.Standing(ctx, w.User, false)
	return err == nil && a.Record.Spent(w.Token())
}

// Call implements phonecall.Caller. The call is counted before it is placed.
func (p calling) Call(ctx context.Context, c phonecall.Call) error {
	if err := p.count(ctx, c.To); err != nil {
		return err
	}
	_, err := p.s.carrier.Call(ctx, gateway.Telephone{To: c.To, Extension: c.Extension, Talk: p.talk(ctx, c)})
	return err
}

// count counts a call against what one number and one country may have in an hour.
func (p calling) count(ctx context.Context, to string) error {
	set := p.s.store.Settings()
	if err := p.s.store.Take(ctx, mfa.Quota{Name: "to/" + to, Window: time.Hour, Most: set.PerNumber, N: 1, Full: mfa.TooManyMessages},
		mfa.Quota{Name: "country/" + phone.Country(to), Window: time.Hour, Most: set.PerCountry, N: 1, Full: mfa.TooManyMessages}); err != nil {
		return fmt.Errorf("calls to %s: %w", phone.Mask(to), err)
	}
	return nil
}

// talk is what is said in c, in the user's language.
func (p calling) talk(ctx context.Context, c phonecall.Call) call.Talk {
	language := sending(p).language(ctx, c.User)
	say := func(names ...string) (all voice.Sound) {
		for _, n := range names {
			all = append(all, voice.Prompt(p.s.recording, n, language)...)
		}
		return all
	}
	instruction := map[phonecall.Asked][]string{phonecall.Key: {voice.PressKey}, phonecall.Number: {voice.TypeNumber}, phonecall.PIN: {voice.TypePIN},
		phonecall.Both: {voice.TypeNumber, voice.TypePIN}}[c.Asks]
	ask := say(voice.Greeting)
	if name := voice.NameOf(p.s.recording, c.Application, language); name != nil {
		ask = append(append(append(ask, say(voice.Application)...), name...), voice.Pause(250)...)
	}
	ask = append(ask, say(instruction...)...)
	sure, named := byte(0), len(ask)
	if c.Asks == phonecall.Key {
		sure = '#'
	}
	ask = append(ask, say(voice.FraudHint)...)
	return call.Talk{Ask: ask, Sure: sure, Named: named, Again: say(append([]string{voice.TryAgain}, instruction...)...), Tries: c.Tries, Asks: asks, Pause: keyPause,
		Said: map[call.Answer]voice.Sound{call.Right: say(voice.SaidRight), call.Wrong: say(voice.SaidWrong), call.Fraud: say(voice.SaidFraud)},
		Judge: func(ctx context.Context, keys string) call.Answer {
			return map[phonecall.Answer]call.Answer{phonecall.More: call.More, phonecall.Wrong: call.Wrong, phonecall.Right: call.Right,
				phonecall.Fraud: call.Fraud}[c.Judge(ctx, keys)]
		}}
}

// say tells a code that proves a number, twice. It returns as soon as it rings; what is wrong with
// the call after that, whoever asked for it hears themselves.
func (p calling) say(ctx context.Context, c sent.Code) (string, error) {
	to, extension := phonecall.SplitNumber(c.To)
	if err := p.May(to); err != nil {
		return "", err
	}
	if err := p.Admit(ctx, c.User); err != nil { // users have this done by themselves
		return "", err
	}
	if err := p.count(ctx, to); err != nil {
		return "", err
	}
	language := sending(p).language(ctx, c.User)
	say := func(name string) voice.Sound { return voice.Prompt(p.s.recording, name, language) }
	code := voice.Spell(p.s.recording, string(c.Code.Expose()), language)
	ask := slices.Concat(say(voice.Proof), voice.Pause(400), code, voice.Pause(600), say(voice.Repeat), voice.Pause(300), code)
	rings := make(chan struct{})
	failed := make(chan error, 1)
	t := call.Talk{Ask: ask, Tries: 1, Asks: 1, Pause: time.Second, Judge: func(context.Context, string) call.Answer { return call.More }}
	t.Picked = func() { close(rings) }
	alone, cancel := context.WithTimeout(context.WithoutCancel(ctx), proofCall)
	p.s.calls.Go(alone, func(ctx context.Context) {
		defer cancel()
		_, err := p.s.carrier.Call(ctx, gateway.Telephone{To: to, Extension: extension, Talk: t})
		failed <- err
	})
	select {
	case <-rings:
	case err := <-failed:
		if !errors.Is(err, mfa.CallNotPressed) && !errors.Is(err, mfa.CallHungUp) && !errors.Is(err, mfa.CallVoicemail) {
			return "", err
		}
	case <-ctx.Done(): // it rings still
	}
	return "call", nil
}

// proofCall bounds a call that tells a code.
const proofCall = 90 * time.Second
