package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"countersign/internal/trail"
)

// sealedLost holds the heads that the trail had and has no longer, of the server with the
// name behind it. A start finds them; the head that is saved from then on is that of the
// shorter trail, so they are kept for audit verify until retention would have removed
// their records anyway.
const (
	sealedLost = "trail/lost/"
	lostMax    = 16 // kept: the oldest, which know most
)

// lostHead is a place that the trail had reached.
type lostHead struct {
	Position trail.Position `json:"position"`
	Found    time.Time      `json:"found"` // missing
	End      uint64         `json:"end"`   // last record of the trail at that time
}

// String says it as a problem of the trail.
func (l lostHead) String() string {
	return fmt.Sprintf("the tail was cut off or changed: the trail had reached record %d; at the start on %s it ended with record %d",
		l.Position.Seq, l.Found.Format(time.RFC3339), l.End)
}

// checkHead compares the trail with the head that the database has of it: whoever cut its
// tail off is found at the start, and told; the server starts all the same.
func (s *server) checkHead(ctx context.Context) error {
	head, err := s.loadHead(ctx)
	if err != nil {
		return err
	}
	held, err := s.trail.Holds(head)
	if err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	if s.cutTrail = !held; !s.cutTrail {
		return nil
	}
	s.own.Error("the trail ends before, or differs from, what the database knows of it: records were cut off or changed",
		"known_record", head.Seq, "next", "run `countersign audit verify`, keep the files of "+s.trailDir()+", and find out who could write there")
	if err := s.keepLost(ctx, lostHead{Position: head, Found: s.Now().UTC().Truncate(time.Second), End: s.trail.Head().Seq}); err != nil {
		s.own.Error("the lost records could not be noted in the database; only this line tells of them", "known_record", head.Seq, "error", err)
	}
	return nil
}

// lost returns the lost heads whose records retention would still keep.
func (s *server) lost(ctx context.Context) (all []lostHead, err error) {
	if err := s.loadJSON(ctx, sealedLost+s.Config.Name, &all); err != nil {
		return nil, err
	}
	var kept []lostHead
	for _, l := range all {
		if s.Now().Sub(l.Found) < s.retain() {
			kept = append(kept, l)
		}
	}
	return kept, nil
}

func (s *server) keepLost(ctx context.Context, l lostHead) error {
	all, err := s.lost(ctx)
	if err != nil || len(all) >= lostMax {
		return err
	}
	for _, had := range all {
		if had.Position == l.Position {
			return nil
		}
	}
	b, err := json.Marshal(append(all, l))
	if err != nil {
		return err
	}
	return s.putSealed(ctx, sealedLost+s.Config.Name, b)
}
