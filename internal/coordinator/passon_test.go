package coordinator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"countersign/internal/pki"
)

// What a coordinator passes on counts as from the server that sent it; the same words from
// anybody else count for nothing.
func TestPassedOn(t *testing.T) {
	r := newRig(t)
	m, _ := r.founded("a")
	h := Independent(r.Service, nil, nil)
	report, err := json.Marshal(beat("n1", "a", 1))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(h http.Handler, key string) int {
		q := httptest.NewRequest(http.MethodPost, "https://c1"+PathReport, bytes.NewReader(report))
		q.Header.Set(GroupHeader, "a")
		q.Header.Set(callerName, "n1")
		q.Header.Set(callerKey, key)
		q.Header.Set(callerAddress, "192.0.2.7:1")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w.Code
	}
	key := pki.KeyDigest(m.request.PublicKey)
	if got := ask(h, key); got != http.StatusForbidden {
		t.Errorf("a stranger who names a server: status %d", got)
	}
	if got := ask(PassedOn(h), "another key"); got != http.StatusForbidden {
		t.Errorf("passed on, of a key that is not on record: status %d", got)
	}
	if got := ask(PassedOn(h), ""); got != http.StatusForbidden {
		t.Errorf("passed on, without a certificate: status %d", got)
	}
	if got := ask(PassedOn(h), key); got != http.StatusOK {
		t.Errorf("passed on: status %d", got)
	}
	if o, err := r.Overview(t.Context()); err != nil || len(o.Servers) != 1 || o.Servers[0].Address != "192.0.2.7:1" {
		t.Errorf("overview %+v, %v", o, err)
	}
	// Nobody can have words of his own taken for another's on the way.
	in := httptest.NewRequest(http.MethodPost, "https://c2"+PathReport, nil)
	in.Header.Set(callerKey, key)
	out := in.Clone(t.Context())
	Introduce(in, out)
	if out.Header.Get(callerKey) != "" || out.Header.Get(callerName) != "" {
		t.Errorf("passes on %v", out.Header)
	}
}
