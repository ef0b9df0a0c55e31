// Package coordinator is the coordinator as strangers and servers reach it: it admits
// servers by an activation code and says who the master is. The inside one runs on the
// group's master; the other servers pass its requests on. An independent one (Independent)
// serves several groups, whose servers call it through a Link.
package coordinator

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// The paths.
const (
	Prefix       = "/coordinator/v1/"
	PathPreview  = Prefix + "preview"
	PathActivate = Prefix + "activate"
	PathMaster   = Prefix + "master"
)

// Protocol is what programs of this kind offer in the handshake (ALPN) with a coordinator,
// beside what HTTP offers: a coordinator then shows the certificate of its CA, by which they
// know it, and to everybody else the operator's, if it has one.
const Protocol = "countersign"

// protocols are what a caller offers.
var protocols = []string{Protocol, "http/1.1"}

// Paths are all of them.
var Paths = []string{PathPreview, PathActivate, PathMaster}

// Standing says who the master is.
type Standing struct {
	Group string    `json:"group"`
	Epoch uint64    `json:"epoch"`
	Name  string    `json:"master"` // "": none, as far as who says it knows
	Time  time.Time `json:"time"`
	By    string    `json:"by"`

	// The last master that reported, since when it leads as far as who says so knows, and who
	// decided on the epoch.
	Last      string    `json:"last_master,omitempty"`
	Since     time.Time `json:"since,omitzero"`
	DecidedBy string    `json:"decided_by,omitempty"`
	// Coordinators are the addresses (host:port) of all of them: one that is silent is not missed.
	Coordinators []string `json:"coordinators,omitempty"`
}

// Signed is a Standing with the signature of the server that gave it.
type Signed struct {
	Standing  json.RawMessage `json:"standing"`
	Signature []byte          `json:"signature"`
}

// signingContext keeps the signature from being taken for one of something else.
const signingContext = "countersign standing 1\n"

// Sign signs a standing.
func Sign(s Standing, sign func([]byte) ([]byte, error)) (Signed, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return Signed{}, err
	}
	sig, err := sign(append([]byte(signingContext), b...))
	return Signed{b, sig}, err
}

// Open checks the signature by the key of the server that the standing names.
func (s Signed) Open(key func(server string) ed25519.PublicKey) (Standing, error) {
	var st Standing
	if err := json.Unmarshal(s.Standing, &st); err != nil {
		return Standing{}, fmt.Errorf("%w: standing: %w", mfa.ErrInvalid, err)
	}
	k := key(st.By)
	if len(k) != ed25519.PublicKeySize || !ed25519.Verify(k, append([]byte(signingContext), s.Standing...), s.Signature) {
		return Standing{}, fmt.Errorf("%w: standing: not signed by server %q", mfa.ErrInvalid, st.By)
	}
	return st, nil
}

// purposeStanding is what the CA of an independent coordinator signs a standing for.
const purposeStanding = "standing"

// SignBy signs a standing with the CA of an independent coordinator.
func SignBy(ca pki.CA, s Standing) (Signed, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return Signed{}, err
	}
	sig, err := ca.SignMessage(purposeStanding, b)
	return Signed{b, sig}, err
}

// OpenBy checks a standing that an independent coordinator has signed.
func (s Signed) OpenBy(ca *x509.Certificate) (Standing, error) {
	var st Standing
	if err := pki.VerifyMessage(ca, purposeStanding, s.Standing, s.Signature); err != nil {
		return st, fmt.Errorf("%w: standing: %w", mfa.ErrInvalid, err)
	}
	if err := json.Unmarshal(s.Standing, &st); err != nil {
		return Standing{}, fmt.Errorf("%w: standing: %w", mfa.ErrInvalid, err)
	}
	return st, nil
}

// errBusy: more strangers than there are servers to admit.
var errBusy = fmt.Errorf("too many requests for activation; try again in a moment: %w", mfa.ErrUnavailable)

// Handler serves the coordinator's paths on the master. standing says who the master is.
func Handler(g *group.Service, standing func() (Signed, error)) http.Handler {
	limit := newSources()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathPreview, func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, limit, func(in group.Request) (any, error) { return g.Preview(r.Context(), in) })
	})
	mux.HandleFunc("POST "+PathActivate, func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, limit, func(in group.Request) (any, error) { return g.Activate(r.Context(), in) })
	})
	mux.HandleFunc("GET "+PathMaster, func(w http.ResponseWriter, _ *http.Request) {
		s, err := standing()
		group.WriteAnswer(w, s, err)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		group.WriteAnswer(w, nil, fmt.Errorf("%s: %w", r.URL.Path, mfa.ErrNotFound))
	})
	return mux
}

func answer(w http.ResponseWriter, r *http.Request, limit *sources, do func(group.Request) (any, error)) {
	var in group.Request
	err := group.ReadBody(r, &in)
	if err == nil && !limit.allow(introduced(r).address) {
		err = errBusy
	}
	var out any
	if err == nil {
		out, err = do(in)
	}
	if errors.Is(err, group.ErrNotMaster) {
		err = fmt.Errorf("the group has just changed its master; try again: %w", mfa.ErrUnavailable)
	}
	group.WriteAnswer(w, out, err)
}
