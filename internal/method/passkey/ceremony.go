package passkey

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// A Sealer makes and opens handles; package challenge does.
type Sealer interface {
	Seal(h mfa.Handle) ([]byte, error)
	Open(b []byte) (mfa.Handle, error)
}

// Ceremonies are those outside of sign-ins: a browser makes a passkey, and shows that it can use
// it. A ticket is a sealed handle that names no application, so it opens no sign-in, and says what
// it is for. All fields must be set.
type Ceremonies struct {
	Method Method
	Sealer Sealer
	Epoch  func() uint64 // of the database: tickets of another one are over
	Now    func() time.Time
	Life   time.Duration // of a ticket
}

// What a ticket is for.
const (
	ticketMake = "make a passkey"
	ticketShow = "show a passkey"
)

// handle is what a ticket holds.
func (p Ceremonies) handle(user mfa.UserID, id mfa.CredentialID, what string) (mfa.Handle, error) {
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return mfa.Handle{}, err
	}
	now := p.Now()
	return mfa.Handle{Attempt: mfa.NewAttemptID(nil), User: user, Credential: id, Nonce: binary.BigEndian.Uint64(nonce[:]) | 1, Started: now,
		Expires: now.Add(p.Life).Truncate(time.Second), Epoch: p.Epoch(), State: []byte(what)}, nil
}

func (p Ceremonies) ceremony(h mfa.Handle, options []byte) (mfa.Ceremony, error) {
	b, err := p.Sealer.Seal(h)
	return mfa.Ceremony{Credential: h.Credential, Options: options, Ticket: base64.RawURLEncoding.EncodeToString(b)}, err
}

// Make has a browser make a passkey for u, which becomes the credential id. has are u's passkeys.
func (p Ceremonies) Make(u mfa.User, id mfa.CredentialID, has []mfa.Credential) (mfa.Ceremony, error) {
	h, err := p.handle(u.ID, id, ticketMake)
	if err != nil {
		return mfa.Ceremony{}, err
	}
	options, err := p.Method.Creation(u, h.Attempt, h.Nonce, has, p.Life)
	if err != nil {
		return mfa.Ceremony{}, err
	}
	return p.ceremony(h, options)
}

// Show has a browser show that it can use c.
func (p Ceremonies) Show(c mfa.Credential) (mfa.Ceremony, error) {
	h, err := p.handle(c.User, c.ID, ticketShow)
	if err != nil {
		return mfa.Ceremony{}, err
	}
	step, err := p.Method.Begin(context.Background(), mfa.Ask{Attempt: h.Attempt, Nonce: h.Nonce, Alike: []mfa.Credential{c}}, c)
	if err != nil {
		return mfa.Ceremony{}, err
	}
	return p.ceremony(h, step.Options)
}

// Open returns what a ticket of the user's was made for. The error is a mfa.Reason.
func (p Ceremonies) Open(user mfa.UserID, ticket string) (mfa.Handle, error) {
	b, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil {
		return mfa.Handle{}, mfa.ChallengeInvalid
	}
	h, err := p.Sealer.Open(b)
	switch {
	case err != nil:
		return mfa.Handle{}, err
	case h.User != user:
		return mfa.Handle{}, mfa.ChallengeOtherUser
	case h.Application != "":
		return mfa.Handle{}, mfa.ChallengeInvalid
	case !p.Now().Before(h.Expires) || h.Epoch != p.Epoch():
		return mfa.Handle{}, mfa.ChallengeExpired
	}
	return h, nil
}

// Made reads a new passkey, and returns what its credential keeps.
func (p Ceremonies) Made(h mfa.Handle, answer secret.Text) (secret.Text, error) {
	if string(h.State) != ticketMake {
		return secret.Text{}, mfa.ChallengeInvalid
	}
	k, err := p.Method.Made(h.Attempt, h.Nonce, answer)
	if err != nil {
		return secret.Text{}, err
	}
	return k.Kept()
}

// Shown checks what a browser returned that was to use c, and returns the floor that it raises.
func (p Ceremonies) Shown(ctx context.Context, h mfa.Handle, c mfa.Credential, f mfa.Floor, answer secret.Text) (mfa.Floor, error) {
	if string(h.State) != ticketShow || h.Credential != c.ID {
		return f, mfa.ChallengeInvalid
	}
	proof, err := p.Method.Finish(ctx, c, f, mfa.Step{Attempt: h.Attempt, Nonce: h.Nonce}, answer)
	if err != nil {
		return f, err
	}
	return proof.Floor, nil
}
