package adminapi

import (
	"context"
	"encoding/json"
	"net/http"

	"countersign/internal/admin"
)

// Named names one application, directory or token. Like every type that is embedded in an
// input it is exported, because huma passes over those that are not.
type Named struct {
	Name string `path:"name" maxLength:"64"`
}

// object registers the five operations that every kind of object has.
func object[View, List, Change any](a *API, path, what string,
	list func(context.Context) (List, error),
	show func(context.Context, string) (View, error),
	add func(context.Context, string, Change) (View, error),
	set func(ctx context.Context, by, name string, c Change) (View, error),
	remove func(ctx context.Context, by, name string) error) {
	type body struct{ Body Change }
	type change struct {
		Named
		Body Change
	}
	route(a, admin.ScopeRead, http.MethodGet, path, "List every "+what, func(ctx context.Context, _ string, _ *none) (List, error) {
		return list(ctx)
	})
	route(a, admin.ScopeWrite, http.MethodPost, path, "Add a "+what, func(ctx context.Context, by string, in *body) (View, error) {
		return add(ctx, by, in.Body)
	})
	route(a, admin.ScopeRead, http.MethodGet, path+"/{name}", "Show a "+what, func(ctx context.Context, _ string, in *Named) (View, error) {
		return show(ctx, in.Name)
	})
	route(a, admin.ScopeWrite, http.MethodPatch, path+"/{name}", "Change a "+what, func(ctx context.Context, by string, in *change) (View, error) {
		return set(ctx, by, in.Name, in.Body)
	})
	route(a, admin.ScopeWrite, http.MethodDelete, path+"/{name}", "Remove a "+what, func(ctx context.Context, by string, in *Named) (admin.Removed, error) {
		return admin.Removed{Removed: in.Name}, remove(ctx, by, in.Name)
	})
}

func (a *API) applications() {
	s := a.admin
	object(a, "/applications", "application", s.ListApplications, s.Application, s.AddApplication, s.SetApplication, s.RemoveApplication)
	route(a, admin.ScopeRead, http.MethodGet, "/blastradius", "Report which RADIUS clients are safe (CVE-2024-3596)", func(ctx context.Context, _ string, _ *none) (admin.BlastRADIUS, error) {
		return s.BlastRADIUS(ctx)
	})
}

func (a *API) directories() {
	s := a.admin
	object(a, "/directories", "directory", s.ListDirectories, s.Directory, s.AddDirectory, s.SetDirectory, s.RemoveDirectory)
	type test struct {
		Named
		Body admin.DirectoryTest
	}
	route(a, admin.ScopeWrite, http.MethodPost, "/directories/{name}/test", "Try a directory step by step", func(ctx context.Context, by string, in *test) (admin.CheckList, error) {
		return s.TestDirectory(ctx, by, in.Name, in.Body)
	})
}

// group registers what belongs to the whole group: policy, keys and API tokens.
func (a *API) group() {
	s := a.admin
	route(a, admin.ScopeRead, http.MethodGet, "/policy", "Show the defaults", func(ctx context.Context, _ string, _ *none) (admin.Policy, error) {
		return s.Policy(ctx)
	})
	type change struct {
		Body json.RawMessage `doc:"an object with those settings that are to change"`
	}
	route(a, admin.ScopeWrite, http.MethodPatch, "/policy", "Change the defaults", func(ctx context.Context, by string, in *change) (admin.Policy, error) {
		return s.SetPolicy(ctx, by, in.Body)
	})
	type explain struct {
		Login       string `query:"login" required:"true" maxLength:"253"`
		Application string `query:"application" required:"true" maxLength:"64"`
		Source      string `query:"source" maxLength:"64"`
	}
	route(a, admin.ScopeRead, http.MethodGet, "/policy/explain", "Tell which rule decides", func(ctx context.Context, _ string, in *explain) (admin.Explanation, error) {
		return s.Explain(ctx, in.Login, in.Application, in.Source)
	})
	route(a, admin.ScopeRead, http.MethodGet, "/keys", "Show the keyset", func(ctx context.Context, _ string, _ *none) (admin.KeyList, error) {
		return s.ListKeys(ctx)
	})
	route(a, admin.ScopeWrite, http.MethodPost, "/keys/rotate", "Make a new key and reseal in the background", func(ctx context.Context, by string, _ *none) (admin.KeyList, error) {
		return s.RotateKeys(ctx, by)
	})
	route(a, admin.ScopeRead, http.MethodGet, "/api-tokens", "List API tokens", func(ctx context.Context, _ string, _ *none) (admin.APITokenList, error) {
		return s.ListAPITokens(ctx)
	})
	route(a, admin.ScopeOwner, http.MethodPost, "/api-tokens", "Make an API token", func(ctx context.Context, by string, in *struct{ Body admin.APITokenRequest }) (admin.APIToken, error) {
		return s.CreateAPIToken(ctx, by, in.Body)
	})
	route(a, admin.ScopeWrite, http.MethodDelete, "/api-tokens/{name}", "Revoke an API token", func(ctx context.Context, by string, in *Named) (admin.Removed, error) {
		return admin.Removed{Removed: in.Name}, s.RevokeAPIToken(ctx, by, in.Name)
	})
}
