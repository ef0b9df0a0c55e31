package directory

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"strconv"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// nobody stands in where there is no hash, so that a user without a password takes as
// long as one with.
var nobody = argonHash{params: ours, salt: make([]byte, saltLen), sum: make([]byte, sumLen)}

// checkLocal checks password against the local one among creds, in the queue of turn.
// The password's state (expired, disabled) is told only if it is right.
func (c *Checker) checkLocal(ctx context.Context, turn string, u mfa.User, creds []mfa.Credential, password secret.Text) error {
	cred, found := localPassword(creds)
	var h hash = nobody
	if found {
		var err error
		if h, err = parseHash(cred.Secret.Expose()); err != nil {
			return fmt.Errorf("user %s: credential %s: password hash: %w (set the password again)", u.ID, cred.ID, err)
		}
	}
	release, err := c.gate.acquire(ctx, turn)
	if err != nil {
		return err
	}
	defer release()

	right := verify(h, password.Expose())
	renew := right && c.o.Upgrade != nil && !h.current() && h.covers(password.Expose())
	if h.cheap() && !renew {
		nobody.verify(password.Expose())
	}
	switch {
	case !found:
		return mfa.NoLocalPassword
	case !right:
		return mfa.WrongPassword
	case cred.Disabled:
		return mfa.CredentialDisabled
	case !cred.Expires.IsZero() && !c.o.Now().Before(cred.Expires):
		return mfa.PasswordExpired
	}
	if renew {
		c.renew(u.ID, cred, password)
	}
	return nil
}

// verify tries the normalised form, then the bytes as they came if they differ.
func verify(h hash, password []byte) bool {
	n := normalise(password)
	return h.verify(n) || !bytes.Equal(n, password) && h.verify(password)
}

// renew makes the new hash now, while the password is at hand and the slot is ours, and
// leaves it to Run, so that its write does not get into the way of this sign-in's own.
func (c *Checker) renew(user mfa.UserID, cred mfa.Credential, password secret.Text) {
	to, err := HashPassword(c.o.Random, password)
	if err != nil {
		return // the old one still serves
	}
	select {
	case c.upgrades <- upgrade{user, cred.ID, cred.Secret, to}:
	default: // Run is behind: the next sign-in tries again
	}
}

// localPassword returns the password to check: one that is not disabled, if there is.
func localPassword(creds []mfa.Credential) (found mfa.Credential, ok bool) {
	for _, c := range creds {
		if c.Method == mfa.MethodPassword && (!ok || found.Disabled && !c.Disabled) {
			found, ok = c, true
		}
	}
	return found, ok
}

// strangersTurn is the queue that a check of a name waits in that is nobody's: a handful
// for all of them, so that a flood of made-up names takes no more turns than a handful of
// users.
func (c *Checker) strangersTurn(login string) string {
	return "nobody " + strconv.FormatUint(maphash.String(c.seed, login)%8, 10)
}
