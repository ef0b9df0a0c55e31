package directory

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// MatchPIN reports whether pin is the one that hash was made of by Hash. It waits for its turn
// among the checks of that user's passwords.
func (c *Checker) MatchPIN(ctx context.Context, user mfa.UserID, hash, pin secret.Text) (bool, error) {
	h, err := parseHash(hash.Expose())
	if err != nil {
		return false, fmt.Errorf("user %s: hash of the PIN: %w (set the PIN again)", user, err)
	}
	release, err := c.gate.acquire(ctx, string(user))
	if err != nil {
		return false, err
	}
	defer release()
	return verify(h, pin.Expose()), nil
}
