package store

import (
	"context"
	"strings"

	"countersign/internal/mfa"
)

// AwaitingPasses returns the passes of all users that await their approval, those that have expired
// too. Of all others it looks at one byte.
func (s *Store) AwaitingPasses(ctx context.Context) (all []mfa.Credential, err error) {
	ids, err := s.view.userIDs()
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if err := ctx.Err(); i%256 == 0 && err != nil {
			return nil, err
		}
		e, err := s.view.entryOf(id)
		if err != nil {
			return nil, err
		}
		for _, c := range e.creds {
			if !mayAwait(c.data) {
				continue
			}
			one, err := s.openCred(mfa.UserID(id.String()), mfa.CredentialID(c.id.String()), c.data)
			if err != nil {
				return nil, err
			}
			if one.Awaits {
				all = append(all, one)
			}
		}
	}
	return all, nil
}

// mayAwait reports whether a credential as the view keeps it may be a pass that awaits its approval.
func mayAwait(data string) bool {
	return strings.HasPrefix(data, "{") || data != "" && data[0]&packedAwaits != 0
}
