// Package push is the method that asks the user on a device: their phone or browser, which shows
// who asks and sends the answer signed. Number matching is part of it wherever a number can be
// shown. What the device answers comes by package approval; here is only how it is reached.
package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/device"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

const (
	// sendTimeout bounds one message to a push service.
	sendTimeout = 10 * time.Second
	// maxSending bounds the messages on their way at a time; what is beyond waits.
	maxSending = 64
	// maxQueued bounds those that wait; a device whose message is dropped finds the question
	// all the same, by looking.
	maxQueued = 16384
)

// Method is the method. Call New, and Run to have anything sent.
type Method struct {
	Options
	queue chan message
}

// Options are what a Method is made of. All fields must be set, but for Sender.
type Options struct {
	Sender   Sender // nil: nothing is sent, and devices find a question by looking
	Store    Store
	Settings func() policy.Settings
	Now      func() time.Time
	Log      *slog.Logger
}

// message is one on its way.
type message struct {
	user    mfa.UserID
	id      mfa.CredentialID
	to      device.Device
	topic   string
	expires time.Time
}

// New returns the method.
func New(o Options) *Method { return &Method{o, make(chan message, maxQueued)} }

// ID returns mfa.MethodPush.
func (*Method) ID() mfa.MethodID { return mfa.MethodPush }

// Needs returns mfa.CanPrompt: without a place where the number can be shown there is nothing to
// be matched, and whoever approves does not show that they sit where the sign-in is.
func (*Method) Needs() mfa.Caps { return mfa.CanPrompt }

// Begin returns what the sign-in shows.
func (*Method) Begin(_ context.Context, a mfa.Ask, _ mfa.Credential) (mfa.Step, error) {
	if a.Number == "" {
		return mfa.Step{}, fmt.Errorf("push for attempt %s: there is no number to be shown: %w", a.Attempt, mfa.ErrInvalid)
	}
	return mfa.Step{Prompt: "Enter " + a.Number + " in the app on your device, then go on here"}, nil
}

// Finish returns mfa.WrongCode: nothing that is typed is an answer.
func (*Method) Finish(context.Context, mfa.Credential, mfa.Floor, mfa.Step, secret.Text) (mfa.Proof, error) {
	return mfa.Proof{}, mfa.WrongCode
}

// Admit wants some seconds between two questions, besides the policy's limit for an hour: many of
// them in a row are how a stolen password is turned into an approval.
func (m *Method) Admit(_ context.Context, w mfa.Wait) error {
	set, now := m.Settings(), m.Now()
	for _, before := range m.Store.Waits(w.User) {
		if before.Method == w.Method && now.Sub(before.Asked) < set.PromptGap.Duration() {
			return fmt.Errorf("user %s was asked %s ago: %w", w.User, now.Sub(before.Asked).Round(time.Second), mfa.PromptTooSoon)
		}
	}
	return nil
}

// Reach sends a message to every device that can be reached when its page is not open. It never
// fails for want of one: an open page finds the question by itself.
func (m *Method) Reach(_ context.Context, w mfa.Wait, creds []mfa.Credential) error {
	for _, c := range creds {
		d, err := device.Parse(c.Secret)
		if err != nil {
			m.Log.Warn("the credential of a device cannot be used; have it removed and activated again", "user", c.User, "credential", c.ID, "err", err)
			continue
		}
		if m.Sender == nil || !d.Reachable() {
			continue
		}
		select {
		case m.queue <- message{c.User, c.ID, d, string(w.ID), w.Expires}:
		default:
			m.Log.Warn("too many messages to devices wait to be sent; one is dropped, and its device finds the question when it looks", "user", c.User, "credential", c.ID)
		}
	}
	return nil
}

// Run sends what Reach has queued, until ctx is done.
func (m *Method) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range maxSending {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case one := <-m.queue:
					m.send(ctx, one)
				}
			}
		})
	}
	return nil
}

// send sends one message. There is only the question's name in it: the device fetches the rest
// with its signature.
func (m *Method) send(ctx context.Context, one message) {
	left := one.expires.Sub(m.Now())
	if left <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(sendTimeout, left))
	defer cancel()
	payload, err := json.Marshal(map[string]string{"id": one.topic})
	if err == nil {
		err = m.Sender.Send(ctx, one.to, payload, left, one.topic)
	}
	switch {
	case err == nil || ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
	case errors.Is(err, ErrGone):
		m.Log.Info("a device is reached no longer at its push service; its page asks anew when it is opened", "user", one.user, "credential", one.id)
		if err := m.Sender.Forget(ctx, one.user, one.id, one.to.Endpoint); err != nil {
			m.Log.Warn("the dead address of a device could not be dropped", "user", one.user, "credential", one.id, "err", err)
		}
	default:
		m.Log.Warn("a message to a device was not sent; the device finds the question when it looks", "user", one.user, "credential", one.id, "err", err)
	}
}
