package adminapi

import (
	"context"
	"log/slog"
	"net/http"

	"countersign/internal/admin"
)

// Room is a server that has no database yet, and joins the group to get one.
type Room interface {
	Status(ctx context.Context) (admin.Status, error)
	Doctor(ctx context.Context) (admin.CheckList, error)
	// Leave gives the activation up.
	Leave(ctx context.Context, by string, r admin.LeaveRequest) (admin.Removed, error)
}

// NewRoom returns the API of a server that joins, for its unix socket. Whatever else is asked
// for is answered with missing.
func NewRoom(r Room, version string, missing func() error, log *slog.Logger) http.Handler {
	a := blank("Countersign REST API of a server that joins", "What there is on its unix socket until it has the data of its group.", version, log)
	route(a, readStatus, http.MethodGet, "/status", "Show how far the joining is", func(ctx context.Context, _ desk, _ *none) (admin.Status, error) {
		return r.Status(ctx)
	})
	route(a, changeSettings, http.MethodPost, "/doctor", "Try every connection that the joining needs", func(ctx context.Context, _ desk, _ *slow) (admin.CheckList, error) {
		return r.Doctor(ctx)
	})
	route(a, own, http.MethodPost, "/group/leave", "Give up the activation", func(ctx context.Context, _ desk, in *struct{ Body *admin.LeaveRequest }) (admin.Removed, error) {
		if in.Body == nil {
			return r.Leave(ctx, callerOf(ctx).By, admin.LeaveRequest{})
		}
		return r.Leave(ctx, callerOf(ctx).By, *in.Body)
	})
	return onlyElse(a, []string{"/status", "/doctor", "/group/leave"}, missing)
}
