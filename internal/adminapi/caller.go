package adminapi

import (
	"fmt"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

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
func (a *API) identify(r *http.Request) (admin.Caller, error) {
	if p, ok := r.Context().Value(peerKey{}).(peer); ok {
		if p.err != nil {
			return admin.Caller{}, fmt.Errorf("the system does not tell who is at the other end of the socket: %w", p.err)
		}
		if !p.owner() {
			return admin.Caller{}, fmt.Errorf("%s does not own this server: become root or the user that the server runs as, or use an API token over https", p.name())
		}
		root := mfa.Owner(p.name() + " (unix socket)")
		root.Root = true
		return root, nil
	}
	if r.TLS == nil {
		return admin.Caller{}, fmt.Errorf("the admin API is served on the unix socket and over https only")
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return admin.Caller{}, fmt.Errorf("an API token is needed: Authorization: Bearer cs_... (`countersign api-token create` on the server makes one)")
	}
	if a.socket {
		return admin.Caller{}, errNoTokens
	}
	return a.admin.TokenCaller(secret.FromString(strings.TrimSpace(token)))
}
