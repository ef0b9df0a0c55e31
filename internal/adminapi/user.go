package adminapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/admin"
)

// UserPath names one user by any of their login forms, or by their id.
type UserPath struct {
	Login string `path:"login" maxLength:"253"`
}

// Paging is the part of a query that every long list has.
type Paging struct {
	After string `query:"after" maxLength:"256" doc:"the next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
}

func (a *API) users() {
	s := a.admin
	type listInput struct {
		Paging
		State  string `query:"state" enum:"protected,exempt,denied"`
		Search string `query:"search" maxLength:"253" doc:"in login, aliases, name and mail address"`
	}
	route(a, admin.ScopeRead, http.MethodGet, "/users", "List users", func(ctx context.Context, _ string, in *listInput) (admin.UserList, error) {
		return s.ListUsers(ctx, admin.UserQuery{After: in.After, Limit: in.Limit, State: in.State, Search: in.Search})
	})
	route(a, admin.ScopeWrite, http.MethodPost, "/users", "Add a user", func(ctx context.Context, by string, in *struct{ Body admin.UserChange }) (admin.User, error) {
		return s.AddUser(ctx, by, in.Body)
	})
	route(a, admin.ScopeRead, http.MethodGet, "/users/{login}", "Show a user", func(ctx context.Context, _ string, in *UserPath) (admin.User, error) {
		return s.User(ctx, in.Login)
	})
	type change struct {
		UserPath
		Body admin.UserChange
	}
	route(a, admin.ScopeWrite, http.MethodPatch, "/users/{login}", "Change a user", func(ctx context.Context, by string, in *change) (admin.User, error) {
		return s.SetUser(ctx, by, in.Login, in.Body)
	})
	route(a, admin.ScopeWrite, http.MethodDelete, "/users/{login}", "Remove a user", func(ctx context.Context, by string, in *UserPath) (admin.Removed, error) {
		return admin.Removed{Removed: in.Login}, s.RemoveUser(ctx, by, in.Login)
	})
	type block struct {
		UserPath
		Body admin.BlockRequest
	}
	route(a, admin.ScopeWrite, http.MethodPost, "/users/{login}/block", "Block a user", func(ctx context.Context, by string, in *block) (admin.User, error) {
		return s.BlockUser(ctx, by, in.Login, in.Body)
	})
	route(a, admin.ScopeWrite, http.MethodPost, "/users/{login}/unblock", "Lift a user's block", func(ctx context.Context, by string, in *UserPath) (admin.User, error) {
		return s.UnblockUser(ctx, by, in.Login)
	})
	route(a, admin.ScopeWrite, http.MethodPost, "/users/{login}/unlock", "Forget a user's failures", func(ctx context.Context, by string, in *UserPath) (admin.User, error) {
		return s.UnlockUser(ctx, by, in.Login)
	})
	route(a, admin.ScopeWrite, http.MethodPost, "/import/users", "Import users from CSV", func(ctx context.Context, by string, in *upload) (admin.ImportReport, error) {
		return s.ImportUsers(ctx, by, in.file, in.DryRun)
	})
	op := a.huma.OpenAPI().Paths["/import/users"].Post
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"text/csv": {}}}
}
