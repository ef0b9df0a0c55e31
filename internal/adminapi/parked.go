package adminapi

import (
	"context"
	"net/http"

	"countersign/internal/admin"
)

// parked registers what becomes of the changes of epochs that ended.
func (a *API) parked() {
	route(a, readSettings, http.MethodGet, "/group/parked", "List the changes that servers brought back from epochs that ended", func(ctx context.Context, d desk, _ *none) (admin.ParkedList, error) {
		return d.ListParked(ctx)
	})
	route(a, own, http.MethodPost, "/group/parked/{id}/apply", "Make one of them", func(ctx context.Context, d desk, in *struct {
		ID   string `path:"id"`
		Body admin.ParkedRequest
	}) (admin.ParkedChange, error) {
		return d.ApplyParked(ctx, in.ID, in.Body)
	})
	route(a, own, http.MethodPost, "/group/parked/{id}/discard", "Take one of them off the list", func(ctx context.Context, d desk, in *struct {
		ID string `path:"id"`
	}) (admin.ParkedChange, error) {
		return d.DiscardParked(ctx, in.ID)
	})
}
