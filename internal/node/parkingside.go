package node

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/admin"
	"countersign/internal/cluster"
)

const parkedCount = 2 * time.Second // to count what waits

// openParking prepares the taking over of parked copies; the trail and the records must be open.
func (s *server) openParking(ctx context.Context) {
	s.parked = &parkedCopies{server: s.Config.Name, dataDir: s.Config.DataDir, counts: s.node.Folder().Copy, store: s.store, ledger: s.ledger,
		open: func(ctx context.Context, copy string) (*cluster.ParkedReader, error) {
			return cluster.OpenParked(ctx, s.clusterOptions(), copy)
		}, now: s.Now, log: s.log.Logger("parking")}
	s.ledger.lineage = s.parked.lineage
	from := s.trail.Merged()
	if !s.isolated {
		if m, err := s.loadMark(ctx); err == nil {
			from = m.Position
		}
	}
	if err := s.parked.found(from); err != nil {
		s.own.Warn("the parked copies could not be noted; the list of changes may not tell who made them", "error", err)
	}
}

// unpark takes the parked copies over before anything is served, as far as that goes: a code that
// this server accepted in an epoch that ended is then used here too.
func (s *server) unpark(ctx context.Context) {
	if s.isolated || s.aside.Load() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, parkedStart)
	defer cancel()
	if err := s.parked.pass(ctx); err != nil {
		s.own.Warn("what epochs that ended have left on this server is not taken over yet; this goes on while it serves", "error", err)
	}
}

// countParked counts the changes that wait for an administrator.
func (s *server) countParked(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, parkedCount)
	defer cancel()
	n, err := s.store.CountParked(ctx)
	if err != nil {
		return 0 // the database tells by itself that it cannot be read
	}
	return n
}

// parkedWarnings says what waits for somebody.
func (s *server) parkedWarnings() []string {
	if s.parked == nil { // a witness reads nothing
		return nil
	}
	w := s.parked.warnings()
	if n := s.countParked(context.Background()); n > 0 {
		w = append(w, waiting(n))
	}
	return w
}

func waiting(n int) string {
	if n == 1 {
		return "parked: 1 change of an epoch that ended waits: run `countersign group parked list`"
	}
	return fmt.Sprintf("parked: %d changes of an epoch that ended wait: run `countersign group parked list`", n)
}

// checkParked is what doctor says of it; nothing if nothing is parked.
func (s *server) checkParked(ctx context.Context) []admin.Check {
	if s.parked == nil {
		return nil
	}
	w := s.parked.warnings()
	if n := s.countParked(ctx); n > 0 {
		w = append(w, waiting(n))
	}
	var all []admin.Check
	for _, text := range w {
		all = append(all, admin.Check{Name: "parked", Target: s.Config.DataDir, Layer: "database", Detail: text, NextStep: "run `countersign group parked list`, then apply or discard what it shows"})
	}
	return all
}
