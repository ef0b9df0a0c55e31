package enroll

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"math/big"
	"time"

	"countersign/internal/mfa"
)

// Asker puts a question to the devices or telephones of a user, as a sign-in does.
type Asker interface {
	// Ask keeps w for all servers and has the devices told of it, or the telephones called. The
	// error is a mfa.Reason if the user was asked too often, or cannot be reached.
	Ask(ctx context.Context, w mfa.Wait, creds []mfa.Credential) error
	// Wait returns a wait as it is now. The error wraps mfa.ErrNotFound if there is none.
	Wait(ctx context.Context, user mfa.UserID, id mfa.WaitID, fresh bool) (mfa.Wait, error)
}

// Trial is a question that lets nobody in: it shows its user that a device, or the number of a
// telephone, works.
type Trial struct {
	ID      mfa.WaitID
	Number  string // two digits, to be typed on the device or the telephone
	Expires time.Time
	Reason  mfa.Reason // what came of it; OK: it was approved there; ReasonNone: nothing yet
}

var waitIDs = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Try asks a device or a telephone of the caller's own, who sits at source, a question that lets
// nobody in. The error is mfa.PromptTooSoon, mfa.TooManyPrompts or mfa.TooManyMessages if they
// were asked a moment ago, and another mfa.Reason if a number cannot be called.
func (o Own) Try(ctx context.Context, id, source string) (Trial, error) {
	c, err := o.tryable(ctx, id)
	if err != nil {
		return Trial{}, err
	}
	a, err := o.s.account(ctx, string(o.by.User))
	if err != nil {
		return Trial{}, err
	}
	w, err := o.s.question(mfa.Wait{User: o.by.User, Method: c.Method, Application: "portal", Source: source})
	if err != nil {
		return Trial{}, err
	}
	if err := o.s.record(ctx, o.by.By, map[mfa.MethodID]string{mfa.MethodPush: "device try", mfa.MethodCall: "number try"}[c.Method], a.User, o.s.describe(c)); err != nil {
		return Trial{}, err
	}
	if err := o.s.Asker.Ask(ctx, w, []mfa.Credential{c}); err != nil {
		return Trial{}, err
	}
	return Trial{w.ID, w.Number, w.Expires, mfa.ReasonNone}, nil
}

// question returns w with a name, a number and a time of its own: no sign-in joins it.
func (s *Service) question(w mfa.Wait) (mfa.Wait, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(90))
	if err != nil {
		return w, err
	}
	var unique [16]byte
	if _, err := rand.Read(unique[:]); err != nil {
		return w, err
	}
	if _, err := rand.Read(w.Nonce[:]); err != nil {
		return w, err
	}
	w.ID, w.Attempt, w.Number = mfa.WaitID(waitIDs.EncodeToString(unique[:])), mfa.NewAttemptID(rand.Reader), fmt.Sprint(10+n.Int64())
	w.Server, w.Asked = s.Server, s.Now()
	w.Expires = w.Asked.Add(s.Settings().Wait.Duration())
	w.Until = w.Expires
	return w, nil
}

// Tried returns what came of a trial of a device or a telephone.
func (o Own) Tried(ctx context.Context, id string, trial mfa.WaitID) (Trial, error) {
	c, err := o.tryable(ctx, id)
	if err != nil {
		return Trial{}, err
	}
	w, err := o.s.Asker.Wait(ctx, o.by.User, trial, false)
	if errors.Is(err, mfa.ErrNotFound) {
		w, err = o.s.Asker.Wait(ctx, o.by.User, trial, true)
	}
	if err != nil {
		return Trial{}, err
	}
	t := Trial{w.ID, w.Number, w.Expires, w.Answer.Reason}
	switch {
	case t.Reason == mfa.OK && w.Answer.Credential != c.ID:
		t.Reason = mfa.NoCredential // another device of theirs did
	case t.Reason == mfa.ReasonNone && !w.Open(o.s.Now()):
		t.Reason = mfa.NotAnsweredInTime
	}
	return t, nil
}

// tryable returns a credential of the caller's own that asks by itself and serves.
func (o Own) tryable(ctx context.Context, id string) (mfa.Credential, error) {
	c, err := o.mine(ctx, id)
	if err == nil && (!c.Method.Waits() || c.Disabled || c.Hold == mfa.CredentialUnproven || o.s.Asker == nil) {
		err = fmt.Errorf("device or number %q: %w", id, mfa.ErrNotFound)
	}
	return c, err
}
