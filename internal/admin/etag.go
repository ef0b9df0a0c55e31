package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"countersign/internal/mfa"
)

// An ETag names one state of an object. A change that is told the ETag of what its author saw
// is refused with mfa.ErrChanged, in the write itself, if the object is another by now.

// etag digests a view, from which what changes by itself was left out.
func etag(view any) string {
	b, err := json.Marshal(view)
	if err != nil {
		panic("admin: " + err.Error()) // views are plain fields
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// ETag names the state of a user, locks and credentials apart.
func (u User) ETag() string {
	u.HasPIN = false
	u.Blocked, u.HasPassword, u.Credentials, u.Failures, u.LockedUntil, u.FirstFactorFailures, u.FirstFactorLockedUntil = false, false, 0, 0, nil, 0, nil
	return etag(u)
}

// ETag names the state of an application.
func (a Application) ETag() string {
	a.Warnings, a.Patience = nil, nil
	return etag(a)
}

// ETag names the state of a directory.
func (d Directory) ETag() string { return etag(d) }

// ETag names the state of the defaults.
func (p Policy) ETag() string {
	p.Warnings = nil
	return etag(p)
}

// ETag names the state of a role.
func (a Administrator) ETag() string {
	a.Login = ""
	return etag(a)
}

// unchanged refuses a change that was decided from another state.
func unchanged(seen, now string) error {
	if seen == "" || seen == now {
		return nil
	}
	return fmt.Errorf("%w: look at it again", mfa.ErrChanged)
}
