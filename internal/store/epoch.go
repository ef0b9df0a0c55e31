package store

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/parking"
)

// EpochRecord says how the database's epoch began. The zero record is that of a group's
// first epoch, which has none.
type EpochRecord struct {
	Epoch       uint64          `json:"epoch"`
	ClusterID   string          `json:"cluster_id"`
	Previous    PreviousEpoch   `json:"previous,omitzero"`
	Earlier     []PreviousEpoch `json:"earlier,omitempty"`    // those before Previous, oldest first, at most maxEarlier
	OldMaster   string          `json:"old_master,omitempty"` // name; "": none was known
	Members     []string        `json:"members,omitempty"`    // names of the servers at that time
	Since       time.Time       `json:"since"`
	DecidedBy   string          `json:"decided_by"` // operator, coordinator, restore
	By          string          `json:"by,omitempty"`
	Unconfirmed bool            `json:"unconfirmed,omitempty"` // no coordinator granted it
	Hold        *EpochHold      `json:"hold,omitempty"`        // nil: nothing is held back
}

// maxEarlier is how many epochs before the previous one are remembered: a server that was
// away for longer than these is compared as a whole.
const maxEarlier = 32

// Ancestors returns the epochs that this one came from, oldest first.
func (r EpochRecord) Ancestors() []parking.Ancestor {
	var list []parking.Ancestor
	for _, p := range append(slices.Clone(r.Earlier), r.Previous) {
		if p.Epoch != 0 {
			list = append(list, parking.Ancestor{Epoch: p.Epoch, ClusterID: p.ClusterID, Fork: p.ForkRevision})
		}
	}
	return list
}

// PreviousEpoch is what an epoch was made from.
type PreviousEpoch struct {
	Epoch             uint64 `json:"epoch"`
	ClusterID         string `json:"cluster_id"`
	ForkRevision      int64  `json:"fork_revision"`                 // of the copy that was taken
	LastRevisionHeard int64  `json:"last_revision_heard,omitempty"` // from the old master; 0: never
}

// EpochHold is what keeps back codes that have no time.
type EpochHold struct {
	Awaits     []string  `json:"awaits,omitempty"` // servers whose trail is not merged yet
	Merged     []string  `json:"merged,omitempty"` // those whose trail is
	ReleasedBy string    `json:"released_by,omitempty"`
	ReleasedAt time.Time `json:"released_at,omitzero"`
}

// Released reports whether nothing is held any more.
func (h EpochHold) Released() bool { return !h.ReleasedAt.IsZero() }

// Carry has h await besides what before, the hold of the epoch before, still does: that of a
// server which is here, but has not merged its trail yet. What was released stays so.
func (h *EpochHold) Carry(before *EpochHold) {
	if before == nil || before.Released() {
		return
	}
	for _, name := range before.Awaits {
		if !slices.Contains(h.Awaits, name) {
			h.Awaits = append(h.Awaits, name)
		}
	}
}

// epochRecord is g/epoch.
type epochRecord struct {
	V int `json:"v"`
	EpochRecord
}

func parseEpoch(b []byte) (EpochRecord, error) {
	var r epochRecord
	err := parse(keyEpoch, b, &r, &r.V)
	return r.EpochRecord, err
}

// EpochRecord returns how this epoch began, from the local copy. The error wraps
// mfa.ErrUnavailable before that is loaded, and says so if the record cannot be read.
func (s *Store) EpochRecord() (EpochRecord, error) {
	c := s.catalog()
	if b, ok := c.broken[keyEpoch]; ok {
		return EpochRecord{}, b.err
	}
	if s.view.cat.Load() == nil {
		return EpochRecord{}, errNotLoaded
	}
	return c.epoch, nil
}

// Fork returns what the record of the epoch means for decisions.
func (s *Store) Fork() (mfa.Fork, error) {
	r, err := s.EpochRecord()
	if err != nil || r.Hold == nil {
		return mfa.Fork{}, err
	}
	return mfa.Fork{Time: r.Since, Held: !r.Hold.Released()}, nil
}

// UpdateEpochRecord runs change on a fresh copy of the record, perhaps more than once, and
// stores what it made of it.
func (s *Store) UpdateEpochRecord(ctx context.Context, change func(*EpochRecord) error) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, keyEpoch)
		if err != nil {
			return err
		}
		var before EpochRecord
		if b != nil {
			if before, err = parseEpoch(b); err != nil {
				return err
			}
		}
		after := before
		if before.Hold != nil {
			h := *before.Hold
			h.Awaits, h.Merged = slices.Clone(h.Awaits), slices.Clone(h.Merged)
			after.Hold = &h
		}
		after.Members = slices.Clone(before.Members)
		if err := change(&after); err != nil {
			return err
		}
		if after.Earlier = slices.Clone(before.Earlier); after.Epoch != before.Epoch && before.Previous.Epoch != 0 {
			after.Earlier = append(after.Earlier, before.Previous)
			after.Earlier = after.Earlier[max(0, len(after.Earlier)-maxEarlier):]
		}
		if b == nil || !reflect.DeepEqual(before, after) {
			t.put(keyEpoch, epochRecord{schema, after})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record of the epoch: %w", err)
	}
	return nil
}

// TrailMerged notes that what server had settled in the epochs before is merged, and
// reports whether that was the last that was awaited.
func (s *Store) TrailMerged(ctx context.Context, server string) (released bool, err error) {
	err = s.UpdateEpochRecord(ctx, func(r *EpochRecord) error {
		released = false
		h := r.Hold
		if h == nil || !slices.Contains(h.Awaits, server) {
			return nil
		}
		h.Awaits = slices.DeleteFunc(h.Awaits, func(name string) bool { return name == server })
		h.Merged = append(h.Merged, server)
		released = len(h.Awaits) == 0 && h.ReleasedAt.IsZero()
		if released {
			h.ReleasedBy, h.ReleasedAt = "merge", s.now().Truncate(time.Second)
		}
		return nil
	})
	return released, err
}

// ReleaseHold lets codes without a time pass though some trails are not merged. awaited are
// those. The error wraps mfa.ErrNotFound if nothing is held.
func (s *Store) ReleaseHold(ctx context.Context, by string) (awaited []string, err error) {
	err = s.UpdateEpochRecord(ctx, func(r *EpochRecord) error {
		if r.Hold == nil || r.Hold.Released() {
			return told{"nothing is held back", mfa.ErrNotFound}
		}
		awaited = r.Hold.Awaits
		r.Hold.ReleasedBy, r.Hold.ReleasedAt = by, s.now().Truncate(time.Second)
		return nil
	})
	return awaited, err
}
