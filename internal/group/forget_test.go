package group

import (
	"testing"
	"time"
)

// A server that has the master forget another one gets its answer before it loses its own
// vote, which two servers do not need.
func TestForgetAnswersFirst(t *testing.T) {
	w := newWorld(t, "n1:vm n2:v n3:v")
	for _, n := range w.nodes {
		r := w.reports[n.Name]
		r.MemberID = n.ID
		w.reports[n.Name] = r
	}
	s := w.server("n1")
	now := midday
	s.Now = func() time.Time { return now }
	if err := s.Forget(t.Context(), "root at n2", "n3"); err != nil {
		t.Fatal(err)
	}
	w.members = w.members[:2]
	if step, err := s.look(t.Context()); err != nil || step.Name != "" {
		t.Errorf("at once: %+v, %v", step, err)
	}
	now = now.Add(2 * balanceEvery)
	if step, err := s.look(t.Context()); err != nil || step.Name != "n2" {
		t.Errorf("after a moment: %+v, %v", step, err)
	}
}
