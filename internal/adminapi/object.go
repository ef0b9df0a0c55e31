package adminapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"countersign/internal/admin"
)

// Named names one application, directory or token. Like every type that is embedded in an
// input it is exported, because huma passes over those that are not.
type Named struct {
	Name string `path:"name" maxLength:"64"`
}

// object registers the five operations that every kind of object has. In set, match is the
// ETag of what the caller saw, or "".
func object[View any, List interface{ Page(admin.Page) List }, Change any](a *API, path, what string,
	list func(admin.Desk, context.Context) (List, error),
	show func(admin.Desk, context.Context, string) (View, error),
	add func(admin.Desk, context.Context, Change) (View, error),
	set func(d admin.Desk, ctx context.Context, name string, c Change, match string) (View, error),
	remove func(d admin.Desk, ctx context.Context, name string) error) {
	type body struct{ Body Change }
	type change struct {
		Named
		Precondition
		Body Change
	}
	route(a, readSettings, http.MethodGet, path, "List every "+what, func(ctx context.Context, d desk, in *Paging) (List, error) {
		all, err := list(d.Desk, ctx)
		return all.Page(in.page()), err
	})
	route(a, changeSettings, http.MethodPost, path, "Add a "+what, func(ctx context.Context, d desk, in *body) (View, error) {
		return add(d.Desk, ctx, in.Body)
	})
	route(a, readSettings, http.MethodGet, path+"/{name}", "Show a "+what, func(ctx context.Context, d desk, in *Named) (View, error) {
		return show(d.Desk, ctx, in.Name)
	})
	route(a, changeSettings, http.MethodPatch, path+"/{name}", "Change a "+what, func(ctx context.Context, d desk, in *change) (View, error) {
		return set(d.Desk, ctx, in.Name, in.Body, in.match())
	})
	route(a, changeSettings, http.MethodDelete, path+"/{name}", "Remove a "+what, func(ctx context.Context, d desk, in *Named) (admin.Removed, error) {
		return admin.Removed{Removed: in.Name}, remove(d.Desk, ctx, in.Name)
	})
}

func (a *API) applications() {
	set := func(d admin.Desk, ctx context.Context, name string, c admin.ApplicationChange, match string) (admin.Application, error) {
		c.IfMatch = match
		return d.SetApplication(ctx, name, c)
	}
	object(a, "/applications", "application", admin.Desk.ListApplications, admin.Desk.Application, admin.Desk.AddApplication, set, admin.Desk.RemoveApplication)
	route(a, readSettings, http.MethodGet, "/blastradius", "Report which RADIUS clients are safe (CVE-2024-3596)", func(ctx context.Context, d desk, _ *none) (admin.BlastRADIUS, error) {
		return d.BlastRADIUS(ctx)
	})
}

func (a *API) directories() {
	set := func(d admin.Desk, ctx context.Context, name string, c admin.DirectoryChange, match string) (admin.Directory, error) {
		c.IfMatch = match
		return d.SetDirectory(ctx, name, c)
	}
	object(a, "/directories", "directory", admin.Desk.ListDirectories, admin.Desk.Directory, admin.Desk.AddDirectory, set, admin.Desk.RemoveDirectory)
	type test struct {
		Named
		Body admin.DirectoryTest
	}
	route(a, changeSettings, http.MethodPost, "/directories/{name}/test", "Try a directory step by step", func(ctx context.Context, d desk, in *test) (admin.CheckList, error) {
		return d.TestDirectory(ctx, in.Name, in.Body)
	})
}

func (a *API) gateways() {
	set := func(d admin.Desk, ctx context.Context, name string, c admin.GatewayChange, match string) (admin.Gateway, error) {
		c.IfMatch = match
		return d.SetGateway(ctx, name, c)
	}
	object(a, "/gateways", "gateway", admin.Desk.ListGateways, admin.Desk.Gateway, admin.Desk.AddGateway, set, admin.Desk.RemoveGateway)
	type test struct {
		Named
		Body admin.GatewayTest
	}
	route(a, changeSettings, http.MethodPost, "/gateways/{name}/test", "Try a gateway step by step, or send a message by it", func(ctx context.Context, d desk, in *test) (admin.CheckList, error) {
		return d.TestGateway(ctx, in.Name, in.Body)
	})
	route(a, readSettings, http.MethodGet, "/gateway-profiles", "List the providers whose HTTP API is known", func(ctx context.Context, d desk, _ *none) (admin.ProviderProfileList, error) {
		return d.Profiles(ctx)
	})
}

// group registers what belongs to the whole group: policy, keys and API tokens.
func (a *API) group() {
	route(a, readSettings, http.MethodGet, "/policy", "Show the defaults", func(ctx context.Context, d desk, _ *none) (admin.Policy, error) {
		return d.Policy(ctx)
	})
	type change struct {
		Precondition
		Confirm string          `query:"confirm" maxLength:"253" doc:"the passkey_site that is given up, if users have passkeys of it: they stop working. Without it such a change is refused (409), and the refusal says how many"`
		Body    json.RawMessage `doc:"an object with those settings that are to change"`
	}
	route(a, changeSettings, http.MethodPatch, "/policy", "Change the defaults", func(ctx context.Context, d desk, in *change) (admin.Policy, error) {
		return d.SetPolicy(ctx, in.Body, in.match(), in.Confirm)
	})
	setRule := func(d admin.Desk, ctx context.Context, name string, c admin.PolicyRuleChange, match string) (admin.PolicyRule, error) {
		c.IfMatch = match
		return d.SetRule(ctx, name, c)
	}
	object(a, "/policy/rules", "policy rule", admin.Desk.ListRules, admin.Desk.Rule, admin.Desk.AddRule, setRule, admin.Desk.RemoveRule)
	type move struct {
		Named
		Body admin.PolicyRuleMove
	}
	route(a, changeSettings, http.MethodPost, "/policy/rules/{name}/move", "Put a policy rule elsewhere in the order", func(ctx context.Context, d desk, in *move) (admin.PolicyRule, error) {
		return d.MoveRule(ctx, in.Name, in.Body)
	})
	type explain struct {
		Login       string    `query:"login" required:"true" maxLength:"253"`
		Application string    `query:"application" required:"true" maxLength:"64"`
		Source      string    `query:"source" maxLength:"64" doc:"address that the user comes from"`
		At          time.Time `query:"at" doc:"another time than now"`
		Group       []string  `query:"group,explode" maxItems:"64" doc:"directory groups to be supposed"`
	}
	route(a, readUsers, http.MethodGet, "/policy/explain", "Tell which rule decides", func(ctx context.Context, d desk, in *explain) (admin.Explanation, error) {
		return d.Explain(ctx, in.Login, admin.ExplainQuery{Application: in.Application, Source: in.Source, At: in.At, Groups: in.Group})
	})
	route(a, readSettings, http.MethodGet, "/keys", "Show the keyset", func(ctx context.Context, d desk, _ *none) (admin.KeyList, error) {
		return d.ListKeys(ctx)
	})
	route(a, changeSettings, http.MethodPost, "/keys/rotate", "Make a new key and reseal in the background", func(ctx context.Context, d desk, _ *none) (admin.KeyList, error) {
		return d.RotateKeys(ctx)
	})
	route(a, readSettings, http.MethodGet, "/api-tokens", "List API tokens", func(ctx context.Context, d desk, in *Paging) (admin.APITokenList, error) {
		all, err := d.ListAPITokens(ctx)
		return all.Page(in.page()), err
	})
	route(a, own, http.MethodPost, "/api-tokens", "Make an API token", func(ctx context.Context, d desk, in *struct{ Body admin.APITokenRequest }) (admin.APIToken, error) {
		return d.CreateAPIToken(ctx, in.Body)
	})
	route(a, changeSettings, http.MethodDelete, "/api-tokens/{name}", "Revoke an API token", func(ctx context.Context, d desk, in *Named) (admin.Removed, error) {
		return admin.Removed{Removed: in.Name}, d.RevokeAPIToken(ctx, in.Name)
	})
}
