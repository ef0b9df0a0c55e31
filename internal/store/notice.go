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

	Sealed []byte `json:"sealed,omitempty"` // mail address that it goes to; none: the one in the user's profile

	Tries int       `json:"tries,omitempty"`
	Next  time.Time `json:"next,omitzero"` // not before it is tried again: somebody has it now, or it failed
	Error string    `json:"error,omitempty"`
	Dead  bool      `json:"dead,omitempty"` // given up
}

// notice adds a notice to t: law 9, a change of a factor and its notice are one write. Ids
// begin with the time, so that notices are read in order.
func (t *tx) notice(user mfa.UserID, what, by string) {
	now := t.s.now()
	id := fmt.Sprintf("%011x-%s", now.UnixMilli(), mfa.NewID(t.s.o.Random))
	t.put(prefixNotice+id, noticeRecord{V: schema, User: user, Time: now, What: what, By: by})
}

// noticeTo adds a notice to t that goes to one mail address, whatever the profile has when it is
// carried.
func (t *tx) noticeTo(user mfa.UserID, address, what string) error {
	now := t.s.now()
	id := fmt.Sprintf("%011x-%s", now.UnixMilli(), mfa.NewID(t.s.o.Random))
	sealed, err := t.s.ring.Seal("notice", id, prefixNotice+id, []byte(address))
	t.put(prefixNotice+id, noticeRecord{V: schema, User: user, Time: now, What: what, Sealed: sealed})
	return err
}

// contacts adds notices of a change of where a user is told things. The address before hears of
// it too: only there is somebody reached whom the change is meant to leave in the dark.
func (t *tx) contacts(old, u mfa.User) error {
	var what []string
	if old.Email != u.Email {
		what = append(what, "mail address changed")
	}
	if old.Phone != u.Phone {
		what = append(what, "phone number changed")
	}
	for _, w := range what {
		if old.Email == "" && u.Email == "" {
			t.notice(u.ID, w, "")
		}
		for i, address := range []string{old.Email, u.Email} {
			if address == "" || i == 1 && address == old.Email {
				continue
			}
			if err := t.noticeTo(u.ID, address, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// readNotice converts a record, with the address that is sealed in it.
func (s *Store) readNotice(key string, r noticeRecord) (mfa.Notice, error) {
	id := strings.TrimPrefix(key, prefixNotice)
	n := mfa.Notice{ID: id, User: r.User, Time: r.Time, What: r.What, By: r.By, Tries: r.Tries}
	if len(r.Sealed) == 0 {
		return n, nil
	}
	to, err := s.ring.Open("notice", id, key, r.Sealed)
	if err != nil {
		return n, fmt.Errorf("record %s: %w", key, err)
	}
	n.To = string(to.Expose())
	return n, nil
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
		n, err := s.readNotice(key, r)
		if bad = err; bad != nil {
			return false
		}
		list = append(list, n)
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

// Claim returns up to limit notices that are due and makes them this server's for a while: of
// several servers that look at the same time one gets each. Who has not removed a notice when
// the while is over loses it to whoever looks next.
func (s *Store) Claim(ctx context.Context, limit int, hold time.Duration) ([]mfa.Notice, error) {
	var due []string
	_, err := s.kv.Scan(ctx, prefixNotice, func(key string, value []byte, _ int64) bool {
		var r noticeRecord
		if parse(key, value, &r, &r.V) == nil && r.due(s.now()) {
			due = append(due, key)
		}
		return len(due) < limit
	})
	if err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	var mine []mfa.Notice
	for _, key := range due {
		var got *noticeRecord
		if err := s.notices(ctx, key, func(r *noticeRecord) bool {
			if got = nil; !r.due(s.now()) {
				return false
			}
			r.Tries, r.Next = r.Tries+1, s.now().Add(hold)
			got = r
			return true
		}); err != nil {
			return mine, err
		}
		if got == nil {
			continue
		}
		n, err := s.readNotice(key, *got)
		if err != nil {
			return mine, err
		}
		mine = append(mine, n)
	}
	return mine, nil
}

func (r noticeRecord) due(now time.Time) bool { return !r.Dead && !now.Before(r.Next) }

// Postpone has a notice that could not be carried tried again from next on; zero: it is given
// up, and kept for the doctor to tell of.
func (s *Store) Postpone(ctx context.Context, id, why string, next time.Time) error {
	return s.notices(ctx, prefixNotice+id, func(r *noticeRecord) bool {
		r.Error, r.Next, r.Dead = why, next, next.IsZero()
		return true
	})
}

// notices changes one notice; one that is gone is no error.
func (s *Store) notices(ctx context.Context, key string, change func(*noticeRecord) bool) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, key)
		if err != nil || b == nil {
			return err
		}
		var r noticeRecord
		if err := parse(key, b, &r, &r.V); err != nil {
			return err
		}
		if change(&r) {
			t.put(key, r)
		}
		return nil
	})
}

// deadKept is how long a notice that was given up is kept, for the doctor to tell of, from when
// it was made.
const deadKept = 30 * 24 * time.Hour

// SweepNotices deletes notices that were given up long ago.
func (s *Store) SweepNotices(ctx context.Context) error {
	return s.sweepOld(ctx, prefixNotice, deadKept, func(key string, value []byte) (time.Time, error) {
		var r noticeRecord
		err := parse(key, value, &r, &r.V)
		if err == nil && !r.Dead {
			return s.now(), nil
		}
		return r.Time, err
	})
}

// Outbox is what waits to be carried.
type Outbox struct {
	Waiting int
	Oldest  time.Time // of those that wait; zero: none do
	Dead    int       // given up
	Error   string    // of one that failed last
}

// Outbox counts the notices, as the master has them.
func (s *Store) Outbox(ctx context.Context) (o Outbox, err error) {
	_, err = s.kv.Scan(ctx, prefixNotice, func(key string, value []byte, _ int64) bool {
		var r noticeRecord
		if parse(key, value, &r, &r.V) != nil {
			return true
		}
		if r.Error != "" {
			o.Error = r.Error
		}
		if r.Dead {
			o.Dead++
			return true
		}
		if o.Waiting++; o.Oldest.IsZero() || r.Time.Before(o.Oldest) {
			o.Oldest = r.Time
		}
		return true
	})
	return o, err
}
