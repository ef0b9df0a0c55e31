package peer

import (
	"context"
	"net/http"

	"countersign/internal/group"
)

// PathOverview asks the inside coordinator, on the master, what it sees.
const PathOverview = "/peer/v1/overview"

// Watch serves PathOverview; more serves everything else.
func Watch(overview func() group.Overview, more http.Handler) http.Handler {
	return Overviews(func(context.Context) (group.Overview, error) { return overview(), nil }, more)
}

// Overviews is Watch for an overview that may be wanting.
func Overviews(overview func(context.Context) (group.Overview, error), more http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathOverview, func(w http.ResponseWriter, r *http.Request) {
		o, err := overview(r.Context())
		group.WriteAnswer(w, o, err)
	})
	mux.Handle("/", more)
	return mux
}
