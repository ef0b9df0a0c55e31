package adminapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"countersign/internal/admin"
	"countersign/internal/group"
)

// Coordinator is what the owner of an independent coordinator does with it.
type Coordinator interface {
	Overview(ctx context.Context) (group.Overview, error)
	CreateActivation(ctx context.Context, by string, r admin.FoundingRequest) (admin.ActivationCode, error)
	Retire(ctx context.Context, by string, r admin.RetireRequest) (admin.Removed, error)
}

// errNoTokens: a coordinator has no users and no tokens.
var errNoTokens = errors.New("a coordinator is cared for on its own machine only, through its unix socket")

// NewCoordinator returns the API of an independent coordinator, for its unix socket.
func NewCoordinator(c Coordinator, version string, log *slog.Logger) *API {
	a := blank("Countersign coordinator API", version, log)
	route(a, admin.ScopeRead, http.MethodGet, "/coordinator/status", "Show groups, servers, and the rules that they break", func(ctx context.Context, _ string, _ *none) (group.Overview, error) {
		return c.Overview(ctx)
	})
	route(a, admin.ScopeOwner, http.MethodPost, "/coordinator/activations", "Make a code that founds a group", func(ctx context.Context, by string, in *struct{ Body admin.FoundingRequest }) (admin.ActivationCode, error) {
		return c.CreateActivation(ctx, by, in.Body)
	})
	route(a, admin.ScopeOwner, http.MethodPost, "/coordinator/retire", "Forget a group or one of its servers", func(ctx context.Context, by string, in *struct{ Body admin.RetireRequest }) (admin.Removed, error) {
		return c.Retire(ctx, by, in.Body)
	})
	return a
}
