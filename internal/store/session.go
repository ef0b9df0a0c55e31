package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
)

// sessionRecord is w/ID. Its key is the digest of 256 random bits, and it names nobody but
// by id: nothing to seal.
type sessionRecord struct {
	V           int       `json:"v"`
	User        string    `json:"user"`
	Application string    `json:"application"`
	Server      string    `json:"server,omitempty"`
	Setup       bool      `json:"setup,omitempty"`
	Method      string    `json:"method,omitempty"`
	Epoch       uint64    `json:"epoch"`
	After       string    `json:"after,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	Seen        time.Time `json:"seen,omitzero"`
	Proven      time.Time `json:"proven,omitzero"`
	Expires     time.Time `json:"expires,omitzero"`
}

func sessionRecordOf(n mfa.Session) sessionRecord {
	return sessionRecord{V: schema, User: string(n.User), Application: n.Application, Server: n.Server, Setup: n.Setup, Method: string(n.Method), Epoch: n.Epoch, After: n.After,
		Created: n.Created.UTC(), Seen: n.Seen.UTC(), Proven: n.Proven.UTC(), Expires: n.Expires.UTC()}
}

func parseSession(id string, b []byte) (mfa.Session, error) {
	var r sessionRecord
	if err := parse(prefixSession+id, b, &r, &r.V); err != nil {
		return mfa.Session{}, err
	}
	return mfa.Session{ID: mfa.SessionID(id), User: mfa.UserID(r.User), Application: r.Application, Server: r.Server, Setup: r.Setup, Method: mfa.MethodID(r.Method), Epoch: r.Epoch, After: r.After,
		Created: r.Created, Seen: r.Seen, Proven: r.Proven, Expires: r.Expires}, nil
}

// sessionIDSize is the length of a SHA-256 in the encoding of ids.
const sessionIDSize = 52

func sessionKey(id mfa.SessionID) (string, error) {
	if len(id) == sessionIDSize {
		if _, err := idEncoding.DecodeString(string(id)); err == nil {
			return prefixSession + string(id), nil
		}
	}
	return "", fmt.Errorf("session id: want %d characters of a-z and 2-7: %w", sessionIDSize, mfa.ErrInvalid)
}

// Sessions returns all sessions, the expired ones included, oldest first.
func (s *Store) Sessions() []mfa.Session {
	c := s.catalog()
	list := make([]mfa.Session, 0, len(c.sessions))
	for _, n := range c.sessions {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b mfa.Session) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Session returns one session from the local copy, expired or not, or mfa.ErrNotFound.
func (s *Store) Session(id mfa.SessionID) (mfa.Session, error) {
	c := s.catalog()
	if n, ok := c.sessions[id]; ok {
		return newest(s, n, prefixSession+string(id), func(b []byte) (mfa.Session, error) { return parseSession(string(id), b) })
	}
	return mfa.Session{}, s.missing(c, prefixSession+string(id), "session")
}

// CreateSession stores a new session, which begins after what has ended those before. The error wraps mfa.ErrExists if there is one of that
// id.
func (s *Store) CreateSession(ctx context.Context, n mfa.Session) error {
	key, err := sessionKey(n.ID)
	if err != nil {
		return err
	}
	if err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, key)
		if err != nil {
			return err
		} else if b != nil {
			return mfa.ErrExists
		}
		if n.After, err = t.sessionsEnd(ctx, n.User); err != nil {
			return err
		}
		t.put(key, sessionRecordOf(n))
		return nil
	}); err != nil {
		return fmt.Errorf("create a session: %w", err)
	}
	return nil
}

// UpdateSession runs change on a fresh copy of a session, perhaps more than once, and stores
// it. One that was ended meanwhile stays so: mfa.ErrNotFound.
func (s *Store) UpdateSession(ctx context.Context, id mfa.SessionID, change func(*mfa.Session) error) error {
	key, err := sessionKey(id)
	if err != nil {
		return err
	}
	if err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, key)
		if err != nil {
			return err
		}
		if b == nil {
			return mfa.ErrNotFound
		}
		n, err := parseSession(string(id), b)
		if err != nil {
			return err
		}
		if err := change(&n); err != nil {
			return err
		}
		n.ID = id
		t.put(key, sessionRecordOf(n))
		return nil
	}); err != nil {
		return fmt.Errorf("change a session: %w", err)
	}
	return nil
}

// RemoveSessions ends sessions; those that are not there count as ended.
func (s *Store) RemoveSessions(ctx context.Context, ids ...mfa.SessionID) error {
	for chunk := range slices.Chunk(ids, 64) {
		keys := make([]string, 0, len(chunk))
		for _, id := range chunk {
			key, err := sessionKey(id)
			if err != nil {
				return err
			}
			keys = append(keys, key)
		}
		if err := s.write(ctx, func(_ context.Context, t *tx) error {
			t.del(keys...)
			return nil
		}); err != nil {
			return fmt.Errorf("end a session: %w", err)
		}
	}
	return nil
}
