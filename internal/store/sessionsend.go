package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
)

// sessionsEndRecord is we/USER.
type sessionsEndRecord struct {
	V    int       `json:"v"`
	ID   string    `json:"id"`
	But  string    `json:"but,omitempty"`
	Time time.Time `json:"time,omitzero"`
}

func parseSessionsEnd(user string, b []byte) (mfa.SessionsEnd, error) {
	var r sessionsEndRecord
	if err := parse(prefixSessionsEnd+user, b, &r, &r.V); err != nil {
		return mfa.SessionsEnd{}, err
	}
	return mfa.SessionsEnd{User: mfa.UserID(user), ID: r.ID, But: mfa.SessionID(r.But), Time: r.Time}, nil
}

// SessionsEnd returns what ended a user's sessions last, from the local copy; the zero value if
// nothing did that a session could have outlived.
func (s *Store) SessionsEnd(user mfa.UserID) (mfa.SessionsEnd, error) {
	c, key := s.catalog(), prefixSessionsEnd+string(user)
	if b, ok := c.broken[key]; ok {
		return mfa.SessionsEnd{}, b.err
	}
	e, err := newest(s, c.ends[user], key, func(b []byte) (mfa.SessionsEnd, error) { return parseSessionsEnd(string(user), b) })
	if errors.Is(err, mfa.ErrNotFound) {
		return mfa.SessionsEnd{}, nil
	}
	return e, err
}

// sessionsEnd returns what a session that is made now begins after.
func (t *tx) sessionsEnd(ctx context.Context, user mfa.UserID) (string, error) {
	b, err := t.get(ctx, prefixSessionsEnd+string(user))
	if err != nil || b == nil {
		return "", err
	}
	e, err := parseSessionsEnd(string(user), b)
	return e.ID, err
}

// EndSessions ends all sessions of e.User but e.But at every server, and removes those in ids, in
// one write. A user who is not there any more needs no end.
func (s *Store) EndSessions(ctx context.Context, e mfa.SessionsEnd, ids ...mfa.SessionID) error {
	if _, ok := parseID(e.User); !ok {
		return fmt.Errorf("user %.40q: %w", e.User, mfa.ErrNotFound)
	}
	var keys []string
	for _, id := range ids {
		key, err := sessionKey(id)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	first := keys[:min(len(keys), 64)]
	if err := s.write(ctx, func(ctx context.Context, t *tx) error {
		t.del(first...)
		if b, err := t.get(ctx, prefixUser+string(e.User)); err != nil || b == nil {
			return err
		}
		t.put(prefixSessionsEnd+string(e.User), sessionsEndRecord{V: schema, ID: e.ID, But: string(e.But), Time: e.Time.UTC()})
		return nil
	}); err != nil {
		return fmt.Errorf("end the sessions of a user: %w", err)
	}
	return s.RemoveSessions(ctx, ids[len(first):]...)
}

// ForgetSessionsEnds removes ends from before a time, which no session has outlived.
func (s *Store) ForgetSessionsEnds(ctx context.Context, before time.Time) error {
	var keys []string
	for user, e := range s.catalog().ends {
		if e.Time.Before(before) {
			keys = append(keys, prefixSessionsEnd+string(user))
		}
	}
	slices.Sort(keys)
	for chunk := range slices.Chunk(keys, 64) {
		if err := s.write(ctx, func(ctx context.Context, t *tx) error {
			for _, key := range chunk {
				b, err := t.get(ctx, key)
				if err != nil {
					return err
				}
				if e, bad := parseSessionsEnd("", b); b != nil && bad == nil && e.Time.Before(before) {
					t.del(key)
				}
			}
			return nil
		}); err != nil {
			return fmt.Errorf("forget when sessions ended: %w", err)
		}
	}
	return nil
}
