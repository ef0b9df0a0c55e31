package node

import (
	"net/http"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/reach"
)

// What only tables have proven otherwise, on servers that run: one that answers 503, one that is
// behind or ahead, and a setting that nobody heeds.
func TestDoctorOverTheWire(t *testing.T) {
	n1, two := pair(t)
	defer n1.stop()
	two.Config.Coordinator = []string{"https://coordinator.example.net"}
	n2 := startInner(t, two)
	defer func() { n2.stop(); must(t, <-n2.done) }()
	check := func(name string) (c admin.Check) {
		t.Helper()
		var doc admin.CheckList
		onSocket(t, two.Config.DataDir, "POST", "/doctor", "", &doc)
		for _, c = range doc.Checks {
			if c.Name == name {
				return c
			}
		}
		return admin.Check{}
	}
	until(t, "group in order", func() bool { return check("server nyc1").OK && check("master").OK })
	if c := check("coordinator.urls"); !c.Warning || !strings.Contains(c.NextStep, "take coordinator.urls out") {
		t.Errorf("a setting that is not heeded: %+v", c)
	}
	api := n1.peers.api.Load()
	defer n1.peers.api.Store(api)
	n1.peers.api.Store(nil) // as while it starts
	if c := check("server nyc1"); c.OK || c.Layer != reach.HTTP || !strings.Contains(c.Detail, "is starting") || !strings.Contains(c.NextStep, "wait until nyc1 has started") {
		t.Errorf("a server that answers 503: %+v", c)
	}
	for _, by := range []int64{group.DefaultLimits.Behind + 100, -group.DefaultLimits.Behind - 100} {
		h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/report") {
				report := n1.report()
				report.Revision += by
				group.WriteAnswer(w, report, nil)
				return
			}
			(*api).ServeHTTP(w, r)
		}))
		n1.peers.api.Store(&h)
		next, detail := "the disk here", "the copy here is"
		if by < 0 {
			next, detail = "at its disk", "its copy is"
		}
		if c := check("server nyc1"); c.OK || c.Layer != reach.Lag || !strings.Contains(c.Detail, detail) || !strings.Contains(c.NextStep, next) {
			t.Errorf("%d revisions away: %+v", by, c)
		}
	}
}
