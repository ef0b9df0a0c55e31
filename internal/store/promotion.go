package store

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
)

// swapRecord is g/promotion. There is nothing secret in it.
type swapRecord struct {
	V int `json:"v"`
	mfa.Swap
}

// Swap reads at the master the planned promotion that is on its way; the error wraps
// mfa.ErrNotFound if there is none.
func (s *Store) Swap(ctx context.Context) (mfa.Swap, error) {
	b, rev, err := s.kv.Get(ctx, keySwap)
	if err == nil && rev == 0 {
		err = mfa.ErrNotFound
	}
	var r swapRecord
	if err == nil {
		err = parse(keySwap, b, &r, &r.V)
	}
	if err != nil {
		return mfa.Swap{}, fmt.Errorf("planned promotion: %w", err)
	}
	return r.Swap, nil
}

// BeginSwap records a planned promotion; the error wraps mfa.ErrExists while another one
// is on its way.
func (s *Store) BeginSwap(ctx context.Context, p mfa.Swap) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, keySwap)
		if err != nil {
			return err
		}
		if b != nil {
			return fmt.Errorf("another one is on its way: %w", mfa.ErrExists)
		}
		t.put(keySwap, swapRecord{schema, p})
		return nil
	})
	if err != nil {
		return fmt.Errorf("record the planned promotion: %w", err)
	}
	return nil
}

// EndSwap removes the record of a planned promotion, if that is still the one.
func (s *Store) EndSwap(ctx context.Context, p mfa.Swap) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, keySwap)
		if err != nil || b == nil {
			return err
		}
		var r swapRecord
		if err := parse(keySwap, b, &r, &r.V); err != nil {
			return err
		}
		if r.To != p.To || r.From != p.From || !r.Since.Equal(p.Since) {
			return nil
		}
		t.del(keySwap)
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove the record of the planned promotion: %w", err)
	}
	return nil
}
