// Package approval holds what a user's device may do: become one, say where it is reached, look
// at the questions that wait for it, answer them, stop being one. A device proves itself by a
// signature under each request; there is no session.
package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/device"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// What a device is told.
var (
	ErrCode      = errors.New("this code is not good: it was typed wrong, used, or is over")
	ErrGone      = errors.New("this device is not known any more")
	ErrSignature = errors.New("the signature is not this device's")
)

// ClockError says that a device's clock is off by more than is allowed.
type ClockError struct{ Now time.Time }

// Error implements error.
func (e ClockError) Error() string { return "the clock of this device is off" }

const (
	maxSkew  = 2 * time.Minute // of a device's clock
	maxName  = 64              // bytes
	maxField = 2048            // bytes of a part of a subscription
	// LongestPoll is how long a device may have its look at questions wait for one.
	LongestPoll = 25 * time.Second
)

// Service carries out what devices ask for. All fields must be set; it is safe for concurrent
// use.
type Service struct {
	Server string // this server's name, for the trail
	Group  string // shown by the device
	Store  Store
	Trail  Recorder
	Fraud  func(ctx context.Context, f mfa.Fraud) error // a user says that a sign-in is not theirs
	// TakeAway removes a credential of by.User's own, by the rules of the portal. The error wraps
	// mfa.ErrForbidden where these are against it.
	TakeAway func(ctx context.Context, by mfa.Caller, id mfa.CredentialID) error
	// PIN judges a try of the user's PIN, and counts it before it tells: nil, or mfa.WrongPIN, mfa.Locked, or a
	// fault of ours.
	PIN func(ctx context.Context, user mfa.UserID, typed secret.Text) error
	// Guessed counts a wrong number as a wrong second factor, where no sign-in does.
	Guessed  func(ctx context.Context, user mfa.UserID) error
	Settings func() policy.Settings
	VAPID    func(ctx context.Context) (public string, err error) // of the group, as a browser wants it
	Judge    func(to Subscription) error                          // what is wrong with where a device says that it is reached
	Now      func() time.Time
}

// Activation is what a device brings to become one.
type Activation struct {
	Code  string `json:"code"`
	Name  string `json:"name"`
	Key   string `json:"public_key"`
	Proof string `json:"proof"`
}

// Activated is what it gets.
type Activated struct {
	Device string `json:"device"`
	User   string `json:"user"`
	Group  string `json:"group"`
	VAPID  string `json:"vapid_key"`
}

// Activate makes a device of whoever brings a code that is good, and the proof that they have
// the key. Whatever is wrong with the code is one error: ErrCode.
func (s *Service) Activate(ctx context.Context, r Activation) (Activated, error) {
	key, err := device.ParseKey(r.Key)
	if err != nil {
		return Activated{}, fmt.Errorf("public_key: %w: %w", mfa.ErrInvalid, err)
	}
	if !device.Signed(key, device.Activation(r.Code), r.Proof) {
		return Activated{}, fmt.Errorf("proof: %w: %w", mfa.ErrInvalid, ErrSignature)
	}
	name, err := cleanName(r.Name)
	if err != nil {
		return Activated{}, err
	}
	vapid, err := s.VAPID(ctx) // before the code is used up
	if err != nil {
		return Activated{}, err
	}
	c, err := s.Store.ActivateDevice(ctx, device.CleanCode(r.Code), func(c *mfa.Credential) error {
		c.Secret, c.Label, c.Hold, c.Confirmed, c.Expires = device.Device{Key: key}.Secret(), name, mfa.ReasonNone, s.Now(), time.Time{}
		return nil
	})
	if errors.Is(err, mfa.ErrNotFound) {
		return Activated{}, ErrCode
	}
	if err != nil {
		return Activated{}, fmt.Errorf("activate a device: %w", err)
	}
	a, err := s.Store.Account(ctx, c.User, false)
	if err != nil {
		return Activated{}, err
	}
	return Activated{Device: device.ID(c), User: a.User.Login, Group: s.Group, VAPID: vapid},
		s.record(ctx, by(a.User, c), "device activate", a.User.Login, fmt.Sprintf("push %s %q", c.ID, name))
}

func cleanName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.IndexFunc(name, unicode.IsControl) >= 0 {
		return "", fmt.Errorf("name: want one short line of text, at most %d bytes: %w", maxName, mfa.ErrInvalid)
	}
	return name, nil
}

// Signed is a request with what proves whose it is, as its headers say.
type Signed struct {
	device.Request
	Device    string
	Signature string
	PIN       secret.Text // typed with an answer; beside what is signed, because that may go into the trail
}

// Device is one that has proven itself.
type Device struct {
	user  mfa.User
	cred  mfa.Credential
	spent func(w mfa.Wait) bool // decided already
}

// Who returns the device that has signed a request. The error is ErrGone if there is none any
// more, a ClockError, or ErrSignature.
func (s *Service) Who(ctx context.Context, r Signed) (Device, error) {
	at, err := strconv.ParseInt(r.Time, 10, 64)
	if err != nil || s.Now().Sub(time.Unix(at, 0)).Abs() > maxSkew {
		return Device{}, ClockError{s.Now()}
	}
	if len(r.Nonce) < 16 || len(r.Nonce) > 64 {
		return Device{}, fmt.Errorf("nonce: want 16 random bytes in base64url: %w", ErrSignature)
	}
	user, id, ok := device.ParseID(r.Device)
	if !ok {
		return Device{}, ErrGone
	}
	if _, err := s.Store.Account(ctx, user, false); errors.Is(err, mfa.ErrNotFound) {
		return Device{}, ErrGone // the master is not asked for whoever makes names up: a user is known here long before a device is
	}
	d, err := s.find(ctx, user, id, false)
	if errors.Is(err, ErrGone) { // activated elsewhere a moment ago
		if d, err = s.find(ctx, user, id, true); errors.Is(err, mfa.ErrUnavailable) {
			err = fmt.Errorf("device %s is not known here, and the master does not say: %w", r.Device, mfa.ErrUnavailable)
		}
	}
	if err != nil {
		return Device{}, err
	}
	known, err := device.Parse(d.cred.Secret)
	if err != nil {
		return Device{}, ErrGone
	}
	if !device.Signed(known.Key, r.Message(), r.Signature) {
		return Device{}, ErrSignature
	}
	return d, nil
}

func (s *Service) find(ctx context.Context, user mfa.UserID, id mfa.CredentialID, fresh bool) (Device, error) {
	a, err := s.Store.Account(ctx, user, fresh)
	if errors.Is(err, mfa.ErrNotFound) {
		return Device{}, ErrGone
	}
	if err != nil {
		return Device{}, err
	}
	i := slices.IndexFunc(a.Credentials, func(c mfa.Credential) bool {
		return c.ID == id && c.Method == mfa.MethodPush && c.Hold == mfa.ReasonNone
	})
	if i < 0 {
		return Device{}, ErrGone
	}
	return Device{a.User, a.Credentials[i], func(w mfa.Wait) bool { return a.Record.Spent(w.Token()) }}, nil
}

// by names a device in the trail.
func by(u mfa.User, c mfa.Credential) string { return fmt.Sprintf("device %s of %s", c.ID, u.Login) }

// Subscription is where a browser is reached when its page is not open.
type Subscription struct {
	Endpoint string `json:"endpoint"`
	P256DH   string `json:"p256dh"`
	Auth     string `json:"auth"`
}

// Subscribe keeps where a device is reached; an empty one: nowhere.
func (s *Service) Subscribe(ctx context.Context, d Device, to Subscription) error {
	if to != (Subscription{}) {
		for name, v := range map[string]string{"endpoint": to.Endpoint, "p256dh": to.P256DH, "auth": to.Auth} {
			if v == "" || len(v) > maxField {
				return fmt.Errorf("%s: want up to %d bytes: %w", name, maxField, mfa.ErrInvalid)
			}
		}
		if err := s.Judge(to); err != nil {
			return err
		}
	}
	return s.Store.UpdateDevice(ctx, d.user.ID, d.cred.ID, func(c *mfa.Credential) error {
		known, err := device.Parse(c.Secret)
		if err != nil {
			return err
		}
		known.Endpoint, known.P256DH, known.Auth = to.Endpoint, to.P256DH, to.Auth
		c.Secret = known.Secret()
		return nil
	})
}

// Remove takes the device away from its user, by the rules of any factor that its user removes.
func (s *Service) Remove(ctx context.Context, d Device) error {
	err := s.TakeAway(ctx, mfa.Caller{By: by(d.user, d.cred), User: d.user.ID, Proven: mfa.MethodPush}, d.cred.ID)
	if errors.Is(err, mfa.ErrNotFound) { // by somebody else, just now
		return nil
	}
	return err
}

func (s *Service) record(ctx context.Context, by, verb, object, detail string) error {
	act := mfa.Act{Time: s.Now(), Server: s.Server, By: by, Verb: verb, Object: object, Detail: detail}
	if err := s.Trail.Append(context.WithoutCancel(ctx), mfa.Record{Act: &act}); err != nil {
		return fmt.Errorf("%s was done, but could not be recorded in the trail: %w", verb, err)
	}
	return nil
}
