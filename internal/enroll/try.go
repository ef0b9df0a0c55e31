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

// Asker puts a question to the devices of a user, as a sign-in does.
type Asker interface {
	// AskDevices keeps w for all servers and has the devices told of it. The error is a mfa.Reason
	// if the user was asked too often.
	AskDevices(ctx context.Context, w mfa.Wait, devices []mfa.Credential) error
	// Wait returns a wait as it is now. The error wraps mfa.ErrNotFound if there is none.
	Wait(ctx context.Context, user mfa.UserID, id mfa.WaitID, fresh bool) (mfa.Wait, error)
}

// Trial is a question that lets nobody in: it shows its user that a device works.
type Trial struct {
	ID      mfa.WaitID
	Number  string // two digits, to be typed on the device
	Expires time.Time
	Reason  mfa.Reason // what came of it; OK: that device approved it; ReasonNone: nothing yet
}

var waitIDs = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// TryDevice asks a device of the caller's own, which sits at source, a question that lets nobody
// in. The error is mfa.PromptTooSoon or mfa.TooManyPrompts if they were asked a moment ago.
func (o Own) TryDevice(ctx context.Context, id, source string) (Trial, error) {
	c, err := o.myDevice(ctx, id)
	if err != nil {
		return Trial{}, err
	}
	a, err := o.s.account(ctx, string(o.by.User))
	if err != nil {
		return Trial{}, err
	}
	n, err := rand.Int(rand.Reader, big.NewInt(90))
	if err != nil {
		return Trial{}, err
	}
	now := o.s.Now()
	w := mfa.Wait{User: o.by.User, Method: mfa.MethodPush, Attempt: mfa.NewAttemptID(rand.Reader), Application: "portal", Number: fmt.Sprint(10 + n.Int64()),
		Source: source, Server: o.s.Server, Asked: now, Expires: now.Add(o.s.Settings().Wait.Duration())}
	w.Until = w.Expires
	var unique [16]byte
	if _, err := rand.Read(unique[:]); err != nil {
		return Trial{}, err
	}
	if _, err := rand.Read(w.Nonce[:]); err != nil {
		return Trial{}, err
	}
	w.ID = mfa.WaitID(waitIDs.EncodeToString(unique[:]))
	if err := o.s.record(ctx, o.by.By, "device try", a.User, describe(c)); err != nil {
		return Trial{}, err
	}
	if err := o.s.Asker.AskDevices(ctx, w, []mfa.Credential{c}); err != nil {
		return Trial{}, err
	}
	return Trial{w.ID, w.Number, w.Expires, mfa.ReasonNone}, nil
}

// Tried returns what came of a trial of a device.
func (o Own) Tried(ctx context.Context, id string, trial mfa.WaitID) (Trial, error) {
	c, err := o.myDevice(ctx, id)
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

// myDevice returns a device of the caller's own that has been activated.
func (o Own) myDevice(ctx context.Context, id string) (mfa.Credential, error) {
	c, err := o.mine(ctx, id)
	if err == nil && (c.Method != mfa.MethodPush || c.Hold == mfa.CredentialUnproven || o.s.Asker == nil) {
		err = fmt.Errorf("device %q: %w", id, mfa.ErrNotFound)
	}
	return c, err
}
