package adminapi

import (
	"context"
	"net/http"

	"countersign/internal/admin"
)

// administrators registers who may do what.
func (a *API) administrators() {
	const all, one = "/administrators", "/administrators/{login}"
	route(a, readSettings, http.MethodGet, all, "List who holds a role", func(ctx context.Context, d desk, in *Paging) (admin.AdministratorList, error) {
		list, err := d.ListAdministrators(ctx)
		return list.Page(in.page()), err
	})
	route(a, own, http.MethodPost, all, "Give a user a role", func(ctx context.Context, d desk, in *struct{ Body admin.AdministratorChange }) (admin.Administrator, error) {
		return d.AddAdministrator(ctx, in.Body)
	})
	route(a, readSettings, http.MethodGet, one, "Show the role of a user", func(ctx context.Context, d desk, in *UserPath) (admin.Administrator, error) {
		return d.Administrator(ctx, in.Login)
	})
	type change struct {
		UserPath
		Precondition
		Body admin.AdministratorChange
	}
	route(a, own, http.MethodPatch, one, "Change the role of a user", func(ctx context.Context, d desk, in *change) (admin.Administrator, error) {
		in.Body.IfMatch = in.match()
		return d.SetAdministrator(ctx, in.Login, in.Body)
	})
	type removal struct {
		UserPath
		LastOwner bool `query:"last_owner" doc:"also the role of the last owner: only by the unix socket of a server"`
	}
	route(a, own, http.MethodPost, "/console/links", "Make a one-time link for the first administrator", func(ctx context.Context, d desk, _ *none) (admin.SetupLink, error) {
		return d.SetupLink(ctx)
	})
	route(a, own, http.MethodDelete, one, "Take a user's role away", func(ctx context.Context, d desk, in *removal) (admin.Removed, error) {
		return admin.Removed{Removed: in.Login}, d.RemoveAdministrator(ctx, in.Login, in.LastOwner)
	})
}
