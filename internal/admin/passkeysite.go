package admin

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// LosesPasskeys says that a change has to be confirmed, because passkeys stop working with it.
type LosesPasskeys struct {
	Site     string // that they are of
	Passkeys int
	Users    int
}

// Error implements error.
func (l LosesPasskeys) Error() string {
	return fmt.Sprintf("passkey_site: %d passkeys of %d users belong to %s and work no longer with another one; confirm it with confirm=%[3]s", l.Passkeys, l.Users, l.Site)
}

// Is makes it a mfa.ErrConflict.
func (LosesPasskeys) Is(target error) bool { return target == mfa.ErrConflict }

// losesPasskeys returns a LosesPasskeys if there are passkeys, which are all of site.
func (s *Service) losesPasskeys(ctx context.Context, site string) error {
	l := LosesPasskeys{Site: site}
	if err := s.Users.Kinds(ctx, func(like settlement.Account, n int) bool {
		has := 0
		for _, c := range like.Credentials {
			if c.Method == mfa.MethodPasskey {
				has++
			}
		}
		if has > 0 {
			l.Passkeys, l.Users = l.Passkeys+has*n, l.Users+n
		}
		return true
	}); err != nil {
		return fmt.Errorf("how many passkeys of %s there are is not known: %w", site, err)
	}
	if l.Passkeys > 0 {
		return l
	}
	return nil
}
