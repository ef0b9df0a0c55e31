package store

import (
	"context"
	"fmt"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Outlines yields every user in the order of ListUsers without what is sealed of them and of
// their credentials: no names, no secrets. To open that is what is dear about a hundred
// thousand users. One that cannot be read is left out, and the first such error is returned
// at the end.
func (s *Store) Outlines(ctx context.Context, yield func(settlement.Account) bool) error {
	ids, err := s.view.userIDs()
	if err != nil {
		return err
	}
	var bad error
	for i, id := range ids {
		if err := ctx.Err(); i%256 == 0 && err != nil {
			return err
		}
		a, ok, err := s.outline(id)
		if err != nil && bad == nil {
			bad = err
		}
		if ok && err == nil && !yield(a) {
			break
		}
	}
	return bad
}

// outline reads one user; ok is false if there is none (any more).
func (s *Store) outline(id rawID) (a settlement.Account, ok bool, err error) {
	if a, ok, err = s.bareOutline(id); ok && err == nil {
		a = s.overlay.show(a, s.settingsOf, s.now())
	}
	return a, ok, err
}

// bareOutline is outline without what only this server has.
func (s *Store) bareOutline(id rawID) (a settlement.Account, ok bool, err error) {
	e, err := s.view.entryOf(id)
	if err != nil || e.profile.rev == 0 {
		return a, false, err
	}
	user := mfa.UserID(id.String())
	a.UserRev, a.RecordRev = e.profile.rev, e.record.rev
	if a.User, err = s.plainUser(user, e.profile.data); err != nil {
		return a, true, err
	}
	if e.record.rev != 0 {
		if err := a.Record.UnmarshalBinary([]byte(e.record.data)); err != nil {
			return a, true, fmt.Errorf("record %s: %w", recordKey(user), err)
		}
	}
	if len(e.creds) > 0 {
		a.Credentials = make([]mfa.Credential, len(e.creds))
	}
	for i, c := range e.creds {
		if a.Credentials[i], err = plainCred(user, mfa.CredentialID(c.id.String()), c.data); err != nil {
			return a, true, err
		}
	}
	return a, true, nil
}

// plainCred decodes what is not sealed of a credential as the view keeps it.
func plainCred(user mfa.UserID, id mfa.CredentialID, data string) (mfa.Credential, error) {
	r, err := unpackCred(data)
	if strings.HasPrefix(data, "{") {
		r, err = parseCred(credKey(user, id), []byte(data))
	}
	if err != nil {
		return mfa.Credential{}, fmt.Errorf("user %s, credential %s: %w", user, id, err)
	}
	return r.plain(user, id)
}
