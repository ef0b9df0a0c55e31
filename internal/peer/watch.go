package peer

import (
	"net/http"

	"countersign/internal/group"
)

// PathOverview asks the inside coordinator, on the master, what it sees.
const PathOverview = "/peer/v1/overview"

// Watch serves PathOverview; more serves everything else.
func Watch(overview func() group.Overview, more http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathOverview, func(w http.ResponseWriter, _ *http.Request) {
		group.WriteAnswer(w, overview(), nil)
	})
	mux.Handle("/", more)
	return mux
}
