package coordinator

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"countersign/internal/pki"
)

// What a coordinator tells of a caller whose request it passes on to the one that leads.
const (
	callerName    = "X-Countersign-Caller"
	callerKey     = "X-Countersign-Caller-Key"
	callerAddress = "X-Countersign-Caller-Address"
	callerExpired = "X-Countersign-Caller-Expired" // "true": its certificate has
)

// caller is who has sent a request: the name and key (pki.KeyDigest) of its certificate,
// both "" without one, and where it called from.
type caller struct {
	name, key, address string
	expired            bool // the certificate has
}

type introducedKey struct{}

// introduced is the caller of r: by its certificate, or by the word of the coordinator that
// has passed it on.
func introduced(r *http.Request) caller {
	if c, ok := r.Context().Value(introducedKey{}).(caller); ok {
		return c
	}
	c := caller{address: r.RemoteAddr}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 { // ServerTLS has verified it
		leaf := r.TLS.PeerCertificates[0]
		c.name, c.key, c.expired = leaf.Subject.CommonName, pki.KeyDigest(leaf.RawSubjectPublicKeyInfo), time.Now().After(leaf.NotAfter)
	}
	return c
}

// Introduce writes into out, a request to another coordinator, who has sent in.
func Introduce(in, out *http.Request) {
	c := introduced(in)
	out.Header.Set(callerName, c.name)
	out.Header.Set(callerKey, c.key)
	out.Header.Set(callerAddress, c.address)
	out.Header.Set(callerExpired, strconv.FormatBool(c.expired))
}

// PassedOn serves, by h, what other coordinators, or servers of the group, pass on. It must be reached by them alone:
// it takes their word for who has sent a request.
func PassedOn(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := caller{r.Header.Get(callerName), r.Header.Get(callerKey), r.Header.Get(callerAddress), r.Header.Get(callerExpired) == "true"}
		if c.address == "" { // of a program that does not tell
			c.address = r.RemoteAddr
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), introducedKey{}, c)))
	})
}
