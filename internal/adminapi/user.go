package adminapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/secret"
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

func (p Paging) page() admin.Page { return admin.Page{After: p.After, Limit: p.Limit} }

func (a *API) users() {
	type listInput struct {
		Paging
		State     string `query:"state" enum:"protected,exempt,denied"`
		Search    string `query:"search" maxLength:"253" doc:"in login, aliases, name and mail address; who has it at the beginning of one comes first"`
		Factor    string `query:"factor" enum:"none,totp,hotp,sms,email,call,push,passkey,recovery,tap" doc:"only those whom such a second factor serves; none: none at all"`
		Tag       string `query:"tag" maxLength:"64" doc:"only those who have it"`
		Directory string `query:"directory" maxLength:"64" doc:"only those whose own it is; local: whose password is the local one"`
	}
	route(a, readUsers, http.MethodGet, "/users", "List users", func(ctx context.Context, d desk, in *listInput) (admin.UserList, error) {
		return d.ListUsers(ctx, admin.UserQuery{After: in.After, Limit: in.Limit, State: in.State, Search: in.Search, Factor: in.Factor, Tag: in.Tag, Directory: in.Directory})
	})
	route(a, needs(mfa.MayAddUser), http.MethodPost, "/users", "Add a user", func(ctx context.Context, d desk, in *struct{ Body admin.UserChange }) (admin.User, error) {
		return d.AddUser(ctx, in.Body)
	})
	route(a, readUsers, http.MethodGet, "/users/{login}", "Show a user", func(ctx context.Context, d desk, in *UserPath) (admin.User, error) {
		return d.User(ctx, in.Login)
	})
	type change struct {
		UserPath
		Precondition
		Body admin.UserChange
	}
	route(a, needs(admin.UserChangers...), http.MethodPatch, "/users/{login}", "Change a user", func(ctx context.Context, d desk, in *change) (admin.User, error) {
		in.Body.IfMatch = in.match()
		return d.SetUser(ctx, in.Login, in.Body)
	})
	route(a, needs(mfa.MayRemoveUser), http.MethodDelete, "/users/{login}", "Remove a user", func(ctx context.Context, d desk, in *UserPath) (admin.Removed, error) {
		return admin.Removed{Removed: in.Login}, d.RemoveUser(ctx, in.Login)
	})
	type block struct {
		UserPath
		Body admin.BlockRequest
	}
	route(a, needs(mfa.MayBlock), http.MethodPost, "/users/{login}/block", "Block a user", func(ctx context.Context, d desk, in *block) (admin.User, error) {
		return d.BlockUser(ctx, in.Login, in.Body)
	})
	route(a, needs(mfa.MayBlock), http.MethodPost, "/users/{login}/unblock", "Lift a user's block", func(ctx context.Context, d desk, in *UserPath) (admin.User, error) {
		return d.UnblockUser(ctx, in.Login)
	})
	route(a, needs(mfa.MayBlock), http.MethodPost, "/users/{login}/unlock", "Forget a user's failures", func(ctx context.Context, d desk, in *UserPath) (admin.User, error) {
		return d.UnlockUser(ctx, in.Login)
	})
}

// pins registers what is about PINs, and callers registers the verification of who is on the
// phone.
func (a *API) pins() {
	const path = "/users/{login}/pin"
	route(a, readUsers, http.MethodGet, path, "Tell about a user's PIN", func(ctx context.Context, d desk, in *UserPath) (admin.PINState, error) {
		return d.PIN(ctx, in.Login)
	})
	type set struct {
		UserPath
		Body admin.PINChange
	}
	route(a, needs(mfa.MayChangePassword), http.MethodPatch, path, "Set a user's PIN, or have it changed", func(ctx context.Context, d desk, in *set) (admin.PINState, error) {
		return d.SetPIN(ctx, in.Login, in.Body)
	})
	route(a, needs(mfa.MayChangePassword), http.MethodDelete, path, "Take a user's PIN away", func(ctx context.Context, d desk, in *UserPath) (admin.PINState, error) {
		return d.SetPIN(ctx, in.Login, admin.PINChange{PIN: secret.NewWire("")})
	})
}

func (a *API) callers() {
	type ask struct {
		UserPath
		Body enroll.CallerRequest
	}
	route(a, needs(mfa.MayVerifyCaller), http.MethodPost, "/users/{login}/verify", "Have somebody on the phone prove who they are", func(ctx context.Context, d desk, in *ask) (enroll.CallerCheck, error) {
		return d.enroll.VerifyCaller(ctx, in.Login, in.Body)
	})
	type answer struct {
		UserPath
		Body enroll.CallerAnswer
	}
	route(a, needs(mfa.MayVerifyCaller), http.MethodPost, "/users/{login}/verify/answer", "Check what the caller has read out or answered", func(ctx context.Context, d desk, in *answer) (enroll.CallerVerified, error) {
		return d.enroll.CheckCaller(ctx, in.Login, in.Body)
	})
}

// imports registers what makes many users at once.
func (a *API) imports() {
	route(a, needs(mfa.MayChangeScope), http.MethodPost, "/import/users", "Import users from CSV", func(ctx context.Context, d desk, in *upload) (admin.ImportReport, error) {
		return d.ImportUsers(ctx, in.file, in.DryRun)
	})
	op := a.huma.OpenAPI().Paths["/import/users"].Post
	op.Description = strings.TrimSpace(op.Description + " The first line names the columns: " + strings.Join(admin.ImportColumns(), ", ") +
		"; login has to be there. Several aliases or tags stand in one field with spaces between them. Whoever is there already is left as they are.")
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"text/csv": {}}}
}
