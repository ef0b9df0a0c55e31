package node

import (
	"testing"
	"time"

	"countersign/internal/group"
)

// A server is taken for gone when it has not answered for some seconds, and not before. One
// that only calls is heard, but nobody says that it is reached.
func TestHeard(t *testing.T) {
	var h heard
	if _, ok := h.Heard("n2"); ok {
		t.Error("a server that was never heard answers")
	}
	h.called("n2", "corp", "192.0.2.2:50000", group.Report{Name: "n2", Instance: "one", Revision: 6}, 0)
	if _, ok := h.Heard("n2"); ok {
		t.Error("a server that only calls answers")
	}
	h.answered("n2", "corp", "n2:7443", group.Report{Name: "n2", Instance: "one", Revision: 7}, time.Second)
	h.called("n2", "corp", "192.0.2.2:50001", group.Report{Name: "n2", Instance: "one", Revision: 8}, 0)
	if r, ok := h.Heard("n2"); !ok || r.Revision != 7 {
		t.Errorf("answered just now: %+v, %v", r, ok)
	}
	if s, _ := h.Last("n2"); s.Address != "n2:7443" || s.Report.Revision != 8 {
		t.Errorf("last heard: %+v", s)
	}
	h.called("n2", "corp", "192.0.2.9:50001", group.Report{Name: "n2", Instance: "two"}, 0)
	if s, _ := h.Last("n2"); s.Address != "192.0.2.9:50001" {
		t.Errorf("another one under the same name is said to be at %s", s.Address)
	}
	h.answers["n2"] = word{group.Report{Name: "n2"}, time.Now().Add(-heardFor)}
	if _, ok := h.Heard("n2"); ok {
		t.Error("a server answers that has not for a while")
	}
}
