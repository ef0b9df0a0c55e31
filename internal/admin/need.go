// Package admin holds the use cases of an administrator on users, applications,
// directories, API tokens and the group's keys; package enroll those on credentials.
package admin

import (
	"context"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Users is what admin needs of the database for users. List calls yield in the order of
// ids after the given one until it returns false. Create returns mfa.ErrExists, wrapped
// with the login form that is taken. Update runs change on a fresh copy, perhaps more
// than once, and keeps the login forms in step. Remove deletes the user with forms,
// credentials and settlement.
type Users interface {
	UserByForm(ctx context.Context, form string) (mfa.UserID, error)
	Account(ctx context.Context, id mfa.UserID, fresh bool) (settlement.Account, error)
	ListUsers(ctx context.Context, after mfa.UserID, yield func(mfa.User) bool) error
	CountUsers() int
	CreateUser(ctx context.Context, u mfa.User, creds []mfa.Credential) (mfa.User, error)
	CreateUsers(ctx context.Context, users []NewUser) ([]error, error)
	UpdateUser(ctx context.Context, id mfa.UserID, change func(*mfa.User) error) (mfa.User, error)
	RemoveUser(ctx context.Context, id mfa.UserID) error
	// UpdateRecord changes the settlement record conditionally; change may run more than once.
	UpdateRecord(ctx context.Context, id mfa.UserID, change func(*settlement.Record) error) error
}

// NewUser is a user with credentials, to be created in one write: both or neither.
type NewUser = mfa.NewUser
