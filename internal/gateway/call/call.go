// Package call places one telephone call: over SIP (RFC 3261, with digest authentication) to a
// provider's trunk or a company's own exchange, speaks to whoever picks up and hears the keys
// that they press (RFC 4733, or SIP INFO). However it ends is one mfa.Reason.
package call

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/voice"
)

// How a trunk is spoken to.
const (
	UDP = "udp"
	TCP = "tcp"
	TLS = "tls"
)

// Trunk is what calls are placed by. All fields must be set, but for those that say otherwise.
type Trunk struct {
	Address   string      // host:port
	Transport string      // UDP, TCP, TLS
	TLS       *tls.Config // for TLS: how its certificate is checked
	Domain    string      // of its addresses; "": the host of Address
	Login     string      // "": it knows us by our address
	Password  secret.Text
	From      string        // number or name that the call comes from
	Answer    time.Duration // within which it has to say anything at all
	Ring      time.Duration // within which somebody has to pick up, from the first packet
	Ports     [2]int        // that audio is sent from and to here, first and last; 0: any
}

// Number is whom to call.
type Number struct {
	Dial      string // as the trunk wants it
	Extension string // dialled once somebody picks up: digits, * and #, a comma is a second's pause
}

// Answer is what pressed keys mean.
type Answer int

// The answers. The zero value waits for more keys.
const (
	More  Answer = iota
	Wrong        // none of what was asked for
	Right
	Fraud // they say that it was not they who sign in
)

// Talk is what is said once somebody picks up. All fields must be set, but for Said, Sure and Named.
type Talk struct {
	Ask   voice.Sound   // said first, and again after silence
	Again voice.Sound   // said after keys that were wrong
	Judge Judge         // is told the keys since the last wrong ones
	Tries int           // wrong answers that end the call
	Asks  int           // how often Ask is said
	Pause time.Duration // how long a key is waited for, after the end of what is said and after a key
	Said  map[Answer]voice.Sound
	// Sure is the key that is enough alone, "#"; 0: there is none. It counts once it was named, and
	// from a line that sounds like a mailbox once it came twice: greetings have tones in them.
	Sure   byte
	Named  int    // samples of Ask that have been said when Sure is named; of Again all
	Picked func() // called when somebody picks up; may be nil
}

// Judge says what keys mean. It is asked after each key, with all of them since the last wrong
// answer, and returns soon: nothing is said and heard meanwhile.
type Judge func(ctx context.Context, keys string) Answer

// Result is what is known of a call, however it ended.
type Result struct {
	Rang    bool          // the other side's telephone rang, or it was picked up: trying elsewhere would ring again
	Picked  bool          // somebody or something picked up
	Ringing time.Duration // from the first packet until it was picked up or given up
	Talked  time.Duration
	Keys    int  // that were pressed
	Machine bool // what was heard sounds like a mailbox
	Status  int  // the last final answer of SIP; 0: none
}

// Place calls n and talks. It returns nil if the keys were Right, else an error that holds the
// mfa.Reason, or context.Canceled if ctx was cancelled. Nothing rings any more when it returns.
func Place(ctx context.Context, log *slog.Logger, t Trunk, n Number, talk Talk) (Result, error) {
	l := &line{trunk: t, number: n, log: log, began: time.Now(), hungUp: make(chan struct{}), keys: make(chan byte, 64)}
	defer l.close()
	if err := l.open(ctx); err != nil {
		return l.result, reasoned(ctx, err)
	}
	if err := l.invite(ctx); err != nil {
		l.result.Ringing = time.Since(l.began)
		return l.result, reasoned(ctx, err)
	}
	l.result.Ringing = time.Since(l.began)
	l.result.Rang, l.result.Picked = true, true
	if talk.Picked != nil {
		talk.Picked()
	}
	picked := time.Now()
	err := l.talk(ctx, talk)
	l.result.Talked = time.Since(picked)
	l.bye()
	return l.result, reasoned(ctx, err)
}

// reasoned makes sure that an error holds a reason: what none of our own code has judged is a
// matter of the trunk. A call that was taken back has none.
func reasoned(ctx context.Context, err error) error {
	switch {
	case err == nil || errors.As(err, new(mfa.Reason)):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", mfa.CallTimedOut, err)
	}
	return fmt.Errorf("%w: %w", mfa.GatewayDown, err)
}
