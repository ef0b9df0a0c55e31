package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"countersign/internal/mfa"
)

// nasRecord is n/APP/ADDRESS.
type nasRecord struct {
	V         int       `json:"v"`
	FirstSeen time.Time `json:"first_seen,omitzero"`
	Proven    time.Time `json:"proven,omitzero"`
	Without   time.Time `json:"without,omitzero"`

	GivesUp time.Duration `json:"gives_up_ns,omitempty"`
	Every   time.Duration `json:"repeats_every_ns,omitempty"`
	GaveUp  time.Time     `json:"gave_up,omitzero"`
}

func parseNAS(key string, b []byte) (mfa.NAS, error) {
	id, ok := cutNASKey(key[len(prefixNAS):])
	if !ok {
		return mfa.NAS{}, fmt.Errorf("record %s: no address in its key", key)
	}
	var r nasRecord
	if err := parse(key, b, &r, &r.V); err != nil {
		return mfa.NAS{}, err
	}
	return mfa.NAS{Application: id.app, Address: id.addr, FirstSeen: r.FirstSeen, Proven: r.Proven, Without: r.Without,
		Patience: mfa.Patience{GivesUp: r.GivesUp, Every: r.Every, Seen: r.GaveUp}}, nil
}

// plain makes an IPv4 address that came in IPv6's clothes, or with a zone, the one that
// it is.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// NAS returns what was learnt about one RADIUS client address.
func (s *Store) NAS(app mfa.ApplicationID, addr netip.Addr) (mfa.NAS, bool) {
	n, ok := s.catalog().nas[nasID{app, plain(addr)}]
	return n, ok
}

// NASes returns what was learnt about all RADIUS client addresses, in order of application
// and address.
func (s *Store) NASes() []mfa.NAS {
	c := s.catalog()
	list := make([]mfa.NAS, 0, len(c.nas))
	for _, n := range c.nas {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b mfa.NAS) int {
		if a.Application != b.Application {
			if a.Application < b.Application {
				return -1
			}
			return 1
		}
		return a.Address.Compare(b.Address)
	})
	return list
}

// RecordNAS adds what was learnt about one address: the earliest FirstSeen and Proven
// stand, and the latest Without and Patience. So no server that has learnt less takes anything back.
// The application must exist.
func (s *Store) RecordNAS(ctx context.Context, n mfa.NAS) error {
	n.Address = plain(n.Address)
	if !n.Address.IsValid() {
		return fmt.Errorf("RADIUS client of application %s without an address: %w", n.Application, mfa.ErrInvalid)
	}
	key := nasKey(n.Application, n.Address)
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		if b, err := t.get(ctx, appKey(n.Application)); err != nil {
			return err
		} else if b == nil {
			return fmt.Errorf("application %s: %w", n.Application, mfa.ErrNotFound)
		}
		b, err := t.get(ctx, key)
		if err != nil {
			return err
		}
		var old mfa.NAS
		if b != nil {
			if old, err = parseNAS(key, b); err != nil {
				return err
			}
		}
		r := nasRecord{V: schema, FirstSeen: earlier(old.FirstSeen, n.FirstSeen), Proven: earlier(old.Proven, n.Proven), Without: old.Without,
			GivesUp: old.Patience.GivesUp, Every: old.Patience.Every, GaveUp: old.Patience.Seen}
		was := r
		was.FirstSeen, was.Proven = old.FirstSeen, old.Proven
		if p := n.Patience; p.Seen.After(r.GaveUp) {
			r.GivesUp, r.Every, r.GaveUp = p.GivesUp, p.Every, p.Seen.UTC()
		}
		if n.Without.After(r.Without) {
			r.Without = n.Without.UTC()
		}
		if b == nil || r != was {
			t.put(key, r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record RADIUS client %s: %w", n.Address, err)
	}
	return nil
}

// earlier returns the earlier of two times of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b.UTC()
	}
	return a.UTC()
}

// forgetNASes deletes what was learnt about an application that is removed, in pieces.
func (s *Store) forgetNASes(ctx context.Context, app mfa.ApplicationID) error {
	var keys []string
	_, err := s.kv.Scan(ctx, prefixNAS+string(app)+"/", func(key string, _ []byte, _ int64) bool {
		keys = append(keys, key)
		return true
	})
	for chunk := range slices.Chunk(keys, bulkOps) {
		if err == nil {
			err = s.write(ctx, func(_ context.Context, t *tx) error { t.del(chunk...); return nil })
		}
	}
	if err != nil {
		return fmt.Errorf("forget RADIUS clients of application %s: %w", app, err)
	}
	return nil
}
