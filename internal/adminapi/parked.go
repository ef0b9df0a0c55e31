package adminapi

import (
	"context"
	"net/http"

	"countersign/internal/admin"
)

// parked registers what becomes of the changes of epochs that ended.
func (a *API) parked() {
	s := a.admin
	route(a, admin.ScopeRead, http.MethodGet, "/group/parked", "List the changes that servers brought back from epochs that ended", func(ctx context.Context, _ string, _ *none) (admin.ParkedList, error) {
		return s.ListParked(ctx)
	})
	route(a, admin.ScopeOwner, http.MethodPost, "/group/parked/{id}/apply", "Make one of them", func(ctx context.Context, by string, in *struct {
		ID   string `path:"id"`
		Body admin.ParkedRequest
	}) (admin.ParkedChange, error) {
		return s.ApplyParked(ctx, by, in.ID, in.Body)
	})
	route(a, admin.ScopeOwner, http.MethodPost, "/group/parked/{id}/discard", "Take one of them off the list", func(ctx context.Context, by string, in *struct {
		ID string `path:"id"`
	}) (admin.ParkedChange, error) {
		return s.DiscardParked(ctx, by, in.ID)
	})
}
