package adminapi

import (
	"context"
	"net/http"

	"countersign/internal/group"
)

// Coordinator adds what a coordinator shows of the groups that it watches. It is called
// before the API serves.
func (a *API) Coordinator(overview func(context.Context) (group.Overview, error)) {
	route(a, readStatus, http.MethodGet, "/coordinator/status", "Show groups, servers, and the rules that they break", func(ctx context.Context, _ desk, _ *none) (group.Overview, error) {
		return overview(ctx)
	})
}
