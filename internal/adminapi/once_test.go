package adminapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/store/storetest"
)

// keyed sends a request with an Idempotency-Key.
func (r *real) keyed(key, path, body string, who admin.Caller) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, Prefix+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(onceKey, key)
	w := httptest.NewRecorder()
	r.api.mux.ServeHTTP(w, as(req, who))
	return w
}

func TestOnce(t *testing.T) {
	r, root := newReal(t), mfa.Owner("root (unix socket)")
	const alice, bob = `{"login":"alice","name":"Alice"}`, `{"login":"bob"}`
	first := r.keyed("k1", "/users", alice, root)
	if first.Code != http.StatusOK || first.Header().Get(onceReplayed) != "" {
		t.Fatalf("first: %d %s", first.Code, first.Body)
	}
	again := r.keyed("k1", "/users", alice, root)
	if again.Code != http.StatusOK || again.Header().Get(onceReplayed) != "true" || again.Header().Get("ETag") != first.Header().Get("ETag") || !same(t, again, first) {
		t.Errorf("again: %d %v %s, first %s", again.Code, again.Header(), again.Body, first.Body)
	}
	if n := r.store.CountUsers(); n != 1 {
		t.Errorf("%d users were made", n)
	}
	if w := r.keyed("k1", "/users", bob, root); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "another body") {
		t.Errorf("the key with another body: %d %s", w.Code, w.Body)
	}
	if w := r.keyed("k1", "/users", alice, mfa.Owner("token:other")); w.Code != http.StatusConflict || w.Header().Get(onceReplayed) != "" {
		t.Errorf("the key of another caller: %d %s", w.Code, w.Body)
	}
	if w := r.keyed("k1", "/users/alice/credentials", `{"method":"totp"}`, root); w.Code != http.StatusOK {
		t.Errorf("the key for another operation: %d %s", w.Code, w.Body)
	}
	// What came to nothing is carried out when it is sent again.
	if w := r.keyed("k2", "/users", bob, admin.Caller{By: "root (unix socket)"}); w.Code != http.StatusForbidden {
		t.Errorf("without the permission: %d", w.Code)
	}
	if w := r.keyed("k2", "/users", `{"login":""}`, root); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a bad request: %d %s", w.Code, w.Body)
	}
	if w := r.keyed("k2", "/users", bob, root); w.Code != http.StatusOK {
		t.Errorf("the key of a bad request: %d %s", w.Code, w.Body)
	}
	if w := r.keyed(strings.Repeat("k", 256), "/users", bob, root); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("a long key: %d", w.Code)
	}
}

func same(t *testing.T, a, b *httptest.ResponseRecorder) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal(a.Body.Bytes(), &x) != nil || json.Unmarshal(b.Body.Bytes(), &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

// What is shown only once is not in what is kept: neither in the answer nor in the database.
func TestOnceKeepsNoSecret(t *testing.T) {
	r, root := newReal(t), mfa.Owner("root (unix socket)")
	r.keyed("u", "/users", `{"login":"alice"}`, root)
	for _, x := range []struct{ path, body, field, stays string }{
		{"/api-tokens", `{"name":"till","scopes":["read"],"seconds":3600}`, "token", "till"},
		{"/users/alice/credentials", `{"method":"totp"}`, "secret", "totp"},
		{"/users/alice/credentials", `{"method":"recovery"}`, "codes", "recovery"},
		{"/group/activations", `{}`, "code", "server"},
		{"/console/links", ``, "link", "expires"},
	} {
		key := "k for " + x.field
		first := r.keyed(key, x.path, x.body, root)
		var shown map[string]any
		if err := json.Unmarshal(first.Body.Bytes(), &shown); err != nil || shown[x.field] == nil {
			t.Errorf("%s: %d %s", x.path, first.Code, first.Body)
		}
		again := r.keyed(key, x.path, x.body, root)
		if again.Code != http.StatusOK || again.Header().Get(onceReplayed) != "true" || strings.Contains(again.Body.String(), `"`+x.field+`"`) || !strings.Contains(again.Body.String(), x.stays) {
			t.Errorf("%s again: %d %s", x.path, again.Code, again.Body)
		}
		if strings.Contains(again.Body.String(), "otpauth:") {
			t.Errorf("%s again tells the secret: %s", x.path, again.Body)
		}
	}
}

// Of many that come at once one is carried out, and the others wait or get its answer.
func TestOnceAtOnce(t *testing.T) {
	r, root := newReal(t), mfa.Owner("root (unix socket)")
	r.keyed("u", "/users", `{"login":"alice"}`, root)
	answers := make([]*httptest.ResponseRecorder, 12)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = r.keyed("k", "/users/alice/credentials", `{"method":"totp"}`, root) })
	}
	all.Wait()
	made := 0
	for _, w := range answers {
		switch {
		case w.Code == http.StatusOK && w.Header().Get(onceReplayed) == "":
			made++
		case w.Code != http.StatusOK && w.Code != http.StatusConflict:
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	list := r.as(http.MethodGet, "/users/alice/credentials", "", root)
	if n := strings.Count(list.Body.String(), `"id"`); made != 1 || n != 1 {
		t.Errorf("%d were told that they made one, and there are %d", made, n)
	}
}

// When nobody knows whether the request made something, its key makes nothing any more.
func TestOnceUnknown(t *testing.T) {
	r, root := newReal(t), mfa.Owner("root (unix socket)")
	var lose atomic.Bool
	r.fault.Store(func(puts map[string][]byte, _ []string) storetest.Fault {
		for key := range puts {
			if lose.Load() && strings.HasPrefix(key, "u/") {
				return storetest.LostBefore // again and again: it cannot be told apart from one that comes late
			}
		}
		return storetest.None
	})
	lose.Store(true)
	w := r.keyed("k", "/users", `{"login":"alice"}`, root)
	lose.Store(false)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("the write was lost: %d %s", w.Code, w.Body)
	}
	if w := r.keyed("k", "/users", `{"login":"alice"}`, root); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "idempotency key") {
		t.Errorf("sent again: %d %s", w.Code, w.Body)
	}
}

// Every operation that makes something takes a key, and says so.
func TestCreators(t *testing.T) {
	r := newRig(t)
	makes := regexp.MustCompile(`^(Add|Give|Make|Invite)\b`)
	not := map[string]bool{"POST /test": true, "POST /group/promote": true, "POST /keys/rotate": true, "POST /group/parked/{id}/apply": true,
		"POST /authenticate": true, "POST /challenge": true} // the latter two have keys of their own kind
	for name, op := range r.operations() {
		if op.Method != http.MethodPost || not[name] {
			continue
		}
		said := false
		for _, p := range op.Parameters {
			said = said || p.Name == onceKey
		}
		if makes.MatchString(op.Summary) != creators[name] || creators[name] != said {
			t.Errorf("%s (%s): takes a key: %v, says so: %v", name, op.Summary, creators[name], said)
		}
	}
}
