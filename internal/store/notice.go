package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// noticeRecord is o/ID.
type noticeRecord struct {
	V    int        `json:"v"`
	User mfa.UserID `json:"user"`
	Time time.Time  `json:"time"`
	What string     `json:"what"`
	By   string     `json:"by,omitempty"`
}

// notice adds a notice to t: law 9, a change of a factor and its notice are one write. Ids
// begin with the time, so that notices are read in order.
func (t *tx) notice(user mfa.UserID, what, by string) {
	now := t.s.now()
	id := fmt.Sprintf("%011x-%s", now.UnixMilli(), mfa.NewID(t.s.o.Random))
	t.put(prefixNotice+id, noticeRecord{V: schema, User: user, Time: now, What: what, By: by})
}

// AddNotice leaves a notice for a user that goes with no other change.
func (s *Store) AddNotice(ctx context.Context, user mfa.UserID, what, by string) error {
	return s.write(ctx, func(_ context.Context, t *tx) error {
		t.notice(user, what, by)
		return nil
	})
}

// Notices returns up to limit waiting notices, oldest first, read at the master. They are
// not kept in memory.
func (s *Store) Notices(ctx context.Context, limit int) ([]mfa.Notice, error) {
	var list []mfa.Notice
	var bad error
	_, err := s.kv.Scan(ctx, prefixNotice, func(key string, value []byte, _ int64) bool {
		var r noticeRecord
		if bad = parse(key, value, &r, &r.V); bad != nil {
			return false
		}
		list = append(list, mfa.Notice{ID: strings.TrimPrefix(key, prefixNotice), User: r.User, Time: r.Time, What: r.What, By: r.By})
		return len(list) < limit
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	return list, nil
}

// RemoveNotice deletes a notice that was carried to its user; one that is gone already is
// no error.
func (s *Store) RemoveNotice(ctx context.Context, id string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if b, err := t.get(ctx, prefixNotice+id); err != nil || b == nil {
			return err
		}
		t.del(prefixNotice + id)
		return nil
	})
}
