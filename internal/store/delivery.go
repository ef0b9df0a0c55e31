package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// deliveryRecord is gd/TAG.
type deliveryRecord struct {
	V    int       `json:"v"`
	Time time.Time `json:"time"`
	Fate string    `json:"fate"`
	Why  string    `json:"why,omitempty"`
}

// deliveryKey is that of a message at a gateway.
func deliveryKey(tag []byte) string { return prefixDelivery + idEncoding.EncodeToString(tag) }

// TellDelivery makes known to the group what became of a message; what was told of it before
// is forgotten.
func (s *Store) TellDelivery(ctx context.Context, d mfa.Delivery) error {
	return s.write(ctx, func(_ context.Context, t *tx) error {
		t.put(deliveryKey(d.Tag), deliveryRecord{V: schema, Time: s.now(), Fate: d.Fate, Why: d.Why})
		return nil
	})
}

// Delivery returns what the group was told of a message, as the master has it, or
// mfa.ErrNotFound.
func (s *Store) Delivery(ctx context.Context, tag []byte) (mfa.Delivery, error) {
	key := deliveryKey(tag)
	b, rev, err := s.kv.Get(ctx, key)
	if err != nil {
		return mfa.Delivery{}, fmt.Errorf("read what became of a message: %w", err)
	}
	if rev == 0 {
		return mfa.Delivery{}, mfa.ErrNotFound
	}
	return parseDelivery(key, b)
}

func parseDelivery(key string, b []byte) (mfa.Delivery, error) {
	var r deliveryRecord
	if err := parse(key, b, &r, &r.V); err != nil {
		return mfa.Delivery{}, err
	}
	tag, err := idEncoding.DecodeString(strings.TrimPrefix(key, prefixDelivery))
	if err != nil {
		return mfa.Delivery{}, fmt.Errorf("record %s: %w", key, err)
	}
	return mfa.Delivery{Tag: tag, Fate: r.Fate, Why: r.Why}, nil
}

// delivered hands what a server has told of a message to who sent it.
func (s *Store) delivered(key string, value []byte) {
	if s.o.Delivery == nil {
		return
	}
	if d, err := parseDelivery(key, value); err == nil {
		s.o.Delivery(d)
	}
}

// deliveryKept is longer than anybody waits for a message.
const deliveryKept = time.Hour

// SweepDeliveries deletes what nobody asks for any more.
func (s *Store) SweepDeliveries(ctx context.Context) error {
	return s.sweepOld(ctx, prefixDelivery, deliveryKept, func(key string, value []byte) (time.Time, error) {
		var r deliveryRecord
		err := parse(key, value, &r, &r.V)
		return r.Time, err
	})
}

// sweepOld deletes records under a prefix whose time, which at reads, is longer ago than kept.
// At most a thousand at a time; one that cannot be read stays.
func (s *Store) sweepOld(ctx context.Context, prefix string, kept time.Duration, at func(key string, value []byte) (time.Time, error)) error {
	before := s.now().Add(-kept)
	old := func(key string, value []byte) bool {
		t, err := at(key, value)
		return err == nil && t.Before(before)
	}
	var all []string
	if _, err := s.kv.Scan(ctx, prefix, func(key string, value []byte, _ int64) bool {
		if old(key, value) {
			all = append(all, key)
		}
		return len(all) < 1000
	}); err != nil {
		return fmt.Errorf("read what is old under %s: %w", prefix, err)
	}
	for _, key := range all {
		if err := s.write(ctx, func(ctx context.Context, t *tx) error {
			b, err := t.get(ctx, key)
			if err != nil || b == nil || !old(key, b) {
				return err
			}
			t.del(key)
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
