package adminapi

import (
	"net/http"
	"slices"
	"strings"
)

// Only serves those of an API's operations whose paths (behind Prefix) are listed, and
// answers the others with refusal. It is for a server that cannot do them.
func Only(api http.Handler, paths []string, refusal error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(paths, strings.TrimPrefix(r.URL.Path, Prefix)) {
			writeProblem(w, statusOf(refusal), detail(refusal))
			return
		}
		api.ServeHTTP(w, r)
	})
}
