package node

import (
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/radiusd"
)

// Every outcome is counted, the last ones too.
func TestMetricsCountEveryOutcome(t *testing.T) {
	m := newMetrics()
	for _, o := range radiusd.Outcomes() {
		m.RADIUS(o)
	}
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, o := range radiusd.Outcomes() {
		if want := `countersign_radius_packets_total{outcome="` + o.String() + `"} 1`; !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
