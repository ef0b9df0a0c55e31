package adminapi

import (
	"net/http"
	"slices"
	"strings"
)

// Only serves those of an API's operations whose paths (behind Prefix) are listed, and
// answers the others with refusal. It is for a server that cannot do them.
func Only(api http.Handler, paths []string, refusal error) http.Handler {
	return onlyElse(api, paths, func() error { return refusal })
}

func onlyElse(api http.Handler, paths []string, refusal func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(paths, strings.TrimPrefix(r.URL.Path, Prefix)) {
			err := refusal()
			writeProblem(w, statusOf(err), detail(err))
			return
		}
		api.ServeHTTP(w, r)
	})
}

// While serves an API whose server may lack its database for a while: as long as missing returns
// why, what changes something is answered with that. What only reads is answered by the copy in
// memory.
func While(api http.Handler, missing func() error) http.Handler {
	reads := []string{"/doctor", "/log-level", "/audit/verify"}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !slices.Contains(reads, strings.TrimPrefix(r.URL.Path, Prefix)) {
			if err := missing(); err != nil {
				writeProblem(w, statusOf(err), detail(err))
				return
			}
		}
		api.ServeHTTP(w, r)
	})
}
