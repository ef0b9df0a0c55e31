// Package enroll holds the use cases on credentials: giving one to a user, proving that
// it works, bringing it back into step, taking it away. It defines the JSON bodies that
// the admin API speaks and the command line prints. Every act that changes something is
// in the trail before it is answered.
package enroll

import (
	"context"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// Store is what enroll needs of the database. Add, Update and Remove also leave the
// notice to the user (DESIGN law 9). Update and UpdateRecord run change on a fresh copy,
// perhaps more than once.
type Store interface {
	Account(ctx context.Context, id mfa.UserID, fresh bool) (settlement.Account, error)
	AddCredential(ctx context.Context, c mfa.Credential) error
	UpdateCredential(ctx context.Context, user mfa.UserID, id mfa.CredentialID, change func(*mfa.Credential) error) (mfa.Credential, error)
	RemoveCredential(ctx context.Context, user mfa.UserID, id mfa.CredentialID) error
	// RemoveCredentialIf is RemoveCredential if may, which gets all that the user has when it is
	// written, returns nil.
	RemoveCredentialIf(ctx context.Context, user mfa.UserID, id mfa.CredentialID, may func([]mfa.Credential) error) error
	UpdateRecord(ctx context.Context, id mfa.UserID, change func(*settlement.Record) error) error
	// AwaitingPasses returns the passes of all users that await their approval, the expired ones too.
	AwaitingPasses(ctx context.Context) ([]mfa.Credential, error)
}

// Devices keeps devices that are still to come; package store does.
type Devices interface {
	// AddDevice stores the credential of one, which whoever brings code before c.Expires
	// completes. The error wraps mfa.ErrInvalid if the user has most already.
	AddDevice(ctx context.Context, c mfa.Credential, code string, most int) error
}

// Applications are those that a pass may be for.
type Applications interface {
	Applications() []mfa.Application
}

// Recorder appends to the trail and returns when the records are durable.
type Recorder interface {
	Append(ctx context.Context, records ...mfa.Record) error
}

// Sessions are those of people who are signed in to pages.
type Sessions interface {
	// EndAll ends every session of a user but one ("" spares none), and reports how many.
	EndAll(ctx context.Context, user mfa.UserID, but mfa.SessionID) (int, error)
	// Enrolled notes that a new factor was proven in a session, which is worth as much from now on.
	Enrolled(ctx context.Context, id mfa.SessionID, m mfa.MethodID) error
}

// Passkeys has browsers make and show passkeys outside of sign-ins; package method/passkey does.
// A ticket is sealed, so that any server of the group can open it. Errors are a mfa.Reason if the
// browser is to blame.
type Passkeys interface {
	// Make has a browser make a passkey for u, which becomes the credential id. has are those that there are.
	Make(u mfa.User, id mfa.CredentialID, has []mfa.Credential) (mfa.Ceremony, error)
	// Show has a browser show that it can use c.
	Show(c mfa.Credential) (mfa.Ceremony, error)
	// Open returns what a ticket of the user's was made for.
	Open(user mfa.UserID, ticket string) (mfa.Handle, error)
	// Made reads a new passkey, and returns what its credential keeps.
	Made(h mfa.Handle, answer secret.Text) (kept secret.Text, err error)
	// Shown checks what a browser returned that was to use c, and returns the floor that it raises.
	Shown(ctx context.Context, h mfa.Handle, c mfa.Credential, f mfa.Floor, answer secret.Text) (mfa.Floor, error)
}

// Passcodes makes and judges passcodes; package method/otp does.
type Passcodes interface {
	// Recovery returns n new recovery codes, and what the credential keeps of them.
	Recovery(c mfa.Credential, n int) (codes []secret.Text, kept secret.Text, err error)
	// Pass returns a new temporary access pass, and what the credential keeps of it.
	Pass(c mfa.Credential) (code, kept secret.Text, err error)
	// Verify checks one code as a sign-in would and returns the floor that it raises.
	// The error is a mfa.Reason if the code is not good.
	Verify(ctx context.Context, c mfa.Credential, f mfa.Floor, code secret.Text) (mfa.Floor, error)
	// Resync looks for two consecutive codes in a wide window above the floor and returns
	// the new floor, never a lower one. The error is a mfa.Reason if there are none.
	Resync(c mfa.Credential, f mfa.Floor, first, second secret.Text, now time.Time) (mfa.Floor, error)
}
