package adminapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// rule is the permissions of which a caller must have one to reach an operation. An operation
// without one cannot be reached.
type rule []mfa.Permission

// ruleKey is where an operation's metadata holds its rule.
const ruleKey = "rule"

// needs makes a rule of the permissions.
func needs(anyOf ...mfa.Permission) rule { return anyOf }

// Most operations need one of these.
var (
	readUsers      = needs(mfa.MayReadUsers)
	readSettings   = needs(mfa.MayReadSettings)
	readStatus     = needs(mfa.MayReadStatus)
	readAudit      = needs(mfa.MayReadAudit)
	changeSettings = needs(mfa.MayChangeSettings)
	own            = needs(mfa.MayOwn)
)

// String says it for the document.
func (r rule) String() string {
	names := make([]string, len(r))
	for i, p := range r {
		names[i] = p.String()
	}
	s := "Needs the permission " + strings.Join(names, " or ") + "."
	if scopes := r.scopes(); len(scopes) > 0 {
		return s + " Tokens have it by the scope " + strings.Join(scopes, " or ") + "."
	}
	return s + " Tokens never have it."
}

// scopes returns those that give a token one of the permissions.
func (r rule) scopes() []string {
	out := []string{}
	for _, s := range admin.Scopes() {
		if slices.ContainsFunc(r, admin.ScopePermissions(s).Has) {
			out = append(out, s)
		}
	}
	return out
}

// authorise lets an operation be reached only by who satisfies its rule. What else there is
// to decide, of which user and which fields, the desk does.
func (a *API) authorise(ctx huma.Context, next func(huma.Context)) {
	if refusal := refused(callerOf(ctx.Context()), ctx.Operation()); refusal != "" {
		_ = huma.WriteErr(a.huma, ctx, http.StatusForbidden, refusal)
		return
	}
	if twice := repeated(ctx); twice != "" {
		_ = huma.WriteErr(a.huma, ctx, http.StatusUnprocessableEntity, twice)
		return
	}
	next(ctx)
}

// repeated says which parameter of the query was given more than once and is no list, or "".
func repeated(ctx huma.Context) string {
	u := ctx.URL()
	if u.RawQuery == "" {
		return ""
	}
	given := u.Query()
	for _, p := range ctx.Operation().Parameters {
		if n := len(given[p.Name]); p.In == "query" && n > 1 && p.Schema != nil && p.Schema.Type != huma.TypeArray {
			return fmt.Sprintf("%s: given %d times, and has one value", p.Name, n)
		}
	}
	return ""
}

// refused says why the caller may not, or "".
func refused(who admin.Caller, op *huma.Operation) string {
	need, _ := op.Metadata[ruleKey].(rule)
	return need.refuses(who)
}

// refuses says why the caller may not, or "".
func (r rule) refuses(who admin.Caller) string {
	switch {
	case len(r) == 0:
		return "this operation declares no rule, so nobody may use it"
	case slices.ContainsFunc(r, who.Can):
		return ""
	}
	text := who.Lacks(r[0]).Error()
	if scopes := r.scopes(); who.Role == mfa.RoleNone && len(scopes) > 0 {
		text += "; these scopes do: " + strings.Join(scopes, ", ")
	}
	return text
}

// callerOf returns who asks; the zero Caller, who may nothing, if that is not known.
func callerOf(ctx context.Context) admin.Caller {
	who, _ := ctx.Value(callerKey{}).(admin.Caller)
	return who
}
