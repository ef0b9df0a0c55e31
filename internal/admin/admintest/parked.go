package admintest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"countersign/internal/mfa"
	"countersign/internal/parking"
)

// Parked is a list of parked changes. Those that stand in conflict are refused without force.
type Parked struct {
	Changes []parking.Change
	Reports []parking.Report

	mu sync.Mutex
}

// ParkedChanges implements admin.Parked.
func (p *Parked) ParkedChanges(context.Context) ([]parking.Change, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.Changes), nil
}

// ParkingReports implements admin.Parked.
func (p *Parked) ParkingReports(context.Context) ([]parking.Report, error) { return p.Reports, nil }

// ApplyParked implements admin.Parked.
func (p *Parked) ApplyParked(_ context.Context, id string, force bool) (parking.Change, error) {
	return p.take(id, force)
}

// DiscardParked implements admin.Parked.
func (p *Parked) DiscardParked(_ context.Context, id string) (parking.Change, error) {
	return p.take(id, true)
}

func (p *Parked) take(id string, force bool) (parking.Change, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.Changes, func(c parking.Change) bool { return c.ID == id })
	if i < 0 {
		return parking.Change{}, fmt.Errorf("parked change %s: %w", id, mfa.ErrNotFound)
	}
	c := p.Changes[i]
	if c.Standing == parking.Conflict && !force {
		return c, fmt.Errorf("it was changed in this epoch too: %w", mfa.ErrConflict)
	}
	p.Changes = slices.Delete(p.Changes, i, i+1)
	return c, nil
}
