package mfa

import (
	"errors"
	"fmt"
)

// Sentinels that callers branch on. All of them are faults or states of ours, never a
// user's: those are Reasons.
var (
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("not found")
	// ErrExists: an object of that name, or a login form of it, is taken.
	ErrExists = errors.New("exists already")
	// ErrConflict: somebody else changed the object at the same time.
	ErrConflict = errors.New("changed by somebody else at the same time")
	// ErrUnavailable: no acknowledged write or read is possible now.
	ErrUnavailable = errors.New("database not available")
	// ErrUnknownOutcome: a write was sent and its fate is open.
	ErrUnknownOutcome = errors.New("outcome of the write is not known")
	// ErrReadOnly: the disk is nearly full or the database refuses writes.
	ErrReadOnly = errors.New("writes are refused")
	// ErrOutdated: this program is older than what the group has agreed on.
	ErrOutdated = errors.New("this program is too old for the group")
	// ErrTooMany: who asks has asked for more than one may; later, or for less, it is done.
	ErrTooMany = errors.New("too many requests")
	// ErrForbidden: who asks is known, and may not.
	ErrForbidden = errors.New("not allowed")
	// ErrChanged: the object is not as the caller saw it when they decided to change it.
	ErrChanged = errors.New("changed by somebody else since it was read")
	// ErrInvalid: what was asked for cannot be, whatever the state.
	ErrInvalid = errors.New("invalid")
)

// ErrLastOwner: after that the group would have no owner who can sign in.
var ErrLastOwner = fmt.Errorf("%w: the last owner who can sign in, and nobody else gives roles: make another one first (administrator add LOGIN --role owner), or have root say `countersign administrator remove LOGIN --yes` on a server", ErrInvalid)
