package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// visits are the pages that a test has still to see.
type visits struct {
	mux  *http.ServeMux
	left map[string]bool
}

// visitsOf has patterns of pages to be seen, but for those that are parts of a page, a file, or
// lead elsewhere.
func visitsOf(patterns []string, but ...string) *visits {
	v := &visits{http.NewServeMux(), map[string]bool{}}
	for _, p := range slices.Compact(slices.Sorted(slices.Values(patterns))) {
		v.mux.Handle(p, http.NotFoundHandler())
		v.left[p] = !slices.Contains(but, p)
	}
	return v
}

// see notes that a page was seen.
func (v *visits) see(path string) {
	_, pattern := v.mux.Handler(httptest.NewRequest(http.MethodGet, path, nil))
	v.left[pattern] = false
}

// done fails for every page that was not: one that is new has to be visited.
func (v *visits) done(t *testing.T) {
	t.Helper()
	for p, left := range v.left {
		if left {
			t.Errorf("%s was not looked at: have the test make what leads there, or visit it", p)
		}
	}
}
