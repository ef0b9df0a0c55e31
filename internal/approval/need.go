package approval

import (
	"context"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Store is what approval needs of the database.
type Store interface {
	Account(ctx context.Context, id mfa.UserID, fresh bool) (settlement.Account, error)
	// Waits returns the waits of a user as the local copy has them.
	Waits(user mfa.UserID) []mfa.Wait
	Wait(ctx context.Context, user mfa.UserID, id mfa.WaitID, fresh bool) (mfa.Wait, error)
	AnswerWait(ctx context.Context, user mfa.UserID, id mfa.WaitID, nonce [16]byte, a mfa.WaitAnswer) (got mfa.Wait, taken bool, err error)
	WaitChange(user mfa.UserID) <-chan struct{}
	// ActivateDevice uses code up, if it is good, and runs change on the credential that it is
	// for, perhaps more than once, in one write; the user is told by a notice in it. The error
	// wraps mfa.ErrNotFound if the code is not good.
	ActivateDevice(ctx context.Context, code string, change func(*mfa.Credential) error) (mfa.Credential, error)
	// UpdateDevice runs change on a fresh copy of a credential, perhaps more than once, and
	// stores it. Nobody is told: it is about where the device is reached.
	UpdateDevice(ctx context.Context, user mfa.UserID, id mfa.CredentialID, change func(*mfa.Credential) error) error
}

// Recorder appends to the trail and returns when the records are durable.
type Recorder interface {
	Append(ctx context.Context, records ...mfa.Record) error
}
