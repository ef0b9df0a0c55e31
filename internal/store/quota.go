package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"countersign/internal/mfa"
)

// quotaRecord is gq/DIGEST: how much was taken in the window that begins at At, and in the one
// before.
type quotaRecord struct {
	V      int       `json:"v"`
	At     time.Time `json:"at"`
	N      int       `json:"n"`
	Before int       `json:"before,omitempty"`
}

// take returns the record after q was taken at now, or that there is not so much left. What was
// taken in the window before counts by how much of it the sliding window still covers.
func (r quotaRecord) take(q mfa.Quota, now time.Time) (quotaRecord, bool) {
	now = now.UTC()
	counted := r.N
	if q.Window > 0 {
		start := now.Truncate(q.Window)
		switch {
		case r.At.Equal(start):
		case r.At.Equal(start.Add(-q.Window)):
			r = quotaRecord{At: start, Before: r.N}
		default:
			r = quotaRecord{At: start}
		}
		counted = r.N + int(math.Ceil(float64(r.Before)*float64(start.Add(q.Window).Sub(now))/float64(q.Window)))
	} else {
		r.At = now
	}
	if counted+q.N > q.Most {
		return r, false
	}
	r.V, r.N = schema, r.N+q.N
	return r, true
}

// quotas are those that this server has counted alone, without a master, by key.
type quotas struct {
	mu    sync.Mutex
	alone map[string]quotaRecord
}

// Take takes from all quotas together in one conditional write, or from none: then the error
// is the reason of the first that is used up. Without a master this server counts by itself.
func (s *Store) Take(ctx context.Context, quotas ...mfa.Quota) error {
	_, contact := s.Contact()
	err := mfa.ErrUnavailable
	if contact {
		err = s.write(ctx, func(ctx context.Context, t *tx) error {
			for _, q := range quotas {
				key := s.nameKey(prefixQuota, q.Name)
				var r quotaRecord
				b, err := t.get(ctx, key)
				if err == nil && b != nil {
					err = parse(key, b, &r, &r.V)
				}
				if err != nil {
					return err
				}
				next, ok := r.take(q, s.now())
				if !ok {
					return fmt.Errorf("%w: %d of %d", q.Full, r.N, q.Most)
				}
				t.put(key, next)
			}
			return nil
		})
	}
	if errors.Is(err, mfa.ErrUnavailable) {
		return s.takeAlone(quotas)
	}
	return err
}

func (s *Store) takeAlone(all []mfa.Quota) error {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	if s.quotas.alone == nil || len(s.quotas.alone) > 100_000 {
		s.quotas.alone = map[string]quotaRecord{}
	}
	next := map[string]quotaRecord{}
	for _, q := range all {
		r, ok := s.quotas.alone[q.Name].take(q, s.now())
		if !ok {
			return fmt.Errorf("%w: %d of %d, counted by this server alone", q.Full, r.N, q.Most)
		}
		next[q.Name] = r
	}
	for name, r := range next {
		s.quotas.alone[name] = r
	}
	return nil
}

// quotaKept is how long a count is kept that nobody adds to: longer than any window.
const quotaKept = 33 * 24 * time.Hour

// SweepQuotas deletes counts that are over.
func (s *Store) SweepQuotas(ctx context.Context) error {
	return s.sweepOld(ctx, prefixQuota, quotaKept, func(key string, value []byte) (time.Time, error) {
		var r quotaRecord
		err := parse(key, value, &r, &r.V)
		return r.At, err
	})
}
