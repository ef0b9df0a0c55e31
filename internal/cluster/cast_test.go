package cluster

import (
	"testing"
	"time"
)

// The copy of a member that was removed can be opened for good, has all records, and has
// no master.
func TestOpenCast(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	b := g.server("b").join(a)
	_, _, err := a.Commit(t.Context(), map[string]int64{"early": 0}, map[string][]byte{"early": []byte("x")}, nil)
	must(t, err)
	for !changePlaces(t, a, b) {
	}
	select {
	case <-a.Removed():
	case <-time.After(20 * time.Second):
		t.Fatal("it does not hear that it was removed")
	}
	b.kill()
	a.kill()
	n, err := OpenCast(t.Context(), a.o)
	must(t, err)
	t.Cleanup(n.Close)
	select {
	case <-n.srv.StopNotify():
		t.Fatal("it stopped by itself")
	case <-time.After(3 * time.Second): // etcd's delay is one
	}
	if st, err := n.Status(); err != nil || st.Role != "removed" || !n.Cast() || st.Quorum {
		t.Errorf("status %+v, %v", st, err)
	}
	if localValue(t, n, "early") != "x" {
		t.Error("a write that was acknowledged is not in the copy")
	}
}
