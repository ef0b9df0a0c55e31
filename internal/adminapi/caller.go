package adminapi

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/admin"
	"countersign/internal/secret"
)

// caller is who asks, and what they may.
type caller struct {
	by     string
	scopes []string
}

type (
	callerKey struct{}
	peerKey   struct{}
)

// peer is the process at the other end of a unix socket, as the kernel tells.
type peer struct {
	uid int
	err error // the kernel did not tell
}

// owner reports whether the peer may do everything: root and the server's own user.
func (p peer) owner() bool { return p.err == nil && (p.uid == 0 || p.uid == os.Geteuid()) }

// name is the user's name, or their number.
func (p peer) name() string {
	if u, err := user.LookupId(strconv.Itoa(p.uid)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", p.uid)
}

// identify tells who sends the request. Without a unix peer or TLS nobody is anybody.
func (a *API) identify(r *http.Request) (caller, error) {
	if p, ok := r.Context().Value(peerKey{}).(peer); ok {
		if p.err != nil {
			return caller{}, fmt.Errorf("the system does not tell who is at the other end of the socket: %w", p.err)
		}
		if !p.owner() {
			return caller{}, fmt.Errorf("%s does not own this server: become root or the user that the server runs as, or use an API token over https", p.name())
		}
		return caller{p.name() + " (unix socket)", []string{admin.ScopeRead, admin.ScopeWrite, admin.ScopeOwner}}, nil
	}
	if r.TLS == nil {
		return caller{}, fmt.Errorf("the admin API is served on the unix socket and over https only")
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return caller{}, fmt.Errorf("an API token is needed: Authorization: Bearer cs_... (`countersign api-token create` on the server makes one)")
	}
	if a.admin == nil {
		return caller{}, errNoTokens
	}
	by, scopes, err := a.admin.CheckAPIToken(secret.FromString(strings.TrimSpace(token)))
	return caller{by, scopes}, err
}

// authorise lets an operation be reached only by a caller with the scope that it declares.
func (a *API) authorise(ctx huma.Context, next func(huma.Context)) {
	if refusal := refused(ctx.Context(), ctx.Operation()); refusal != "" {
		_ = huma.WriteErr(a.huma, ctx, http.StatusForbidden, refusal)
		return
	}
	next(ctx)
}

// refused says why the caller may not, or "".
func refused(ctx context.Context, op *huma.Operation) string {
	who, _ := ctx.Value(callerKey{}).(caller)
	scope, _ := op.Metadata[scopeKey].(string)
	switch {
	case scope == "":
		return "this operation declares no scope, so nobody may use it"
	case slices.Contains(who.scopes, scope):
		return ""
	case scope == admin.ScopeOwner:
		return "this works only on the server itself, through its unix socket"
	}
	return fmt.Sprintf("%s lacks the scope %q", who.by, scope)
}
