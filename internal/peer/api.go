package peer

import (
	"context"
	"net/http"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// The paths of our own calls.
const (
	PathReport  = "/peer/v1/report"
	PathJoin    = "/peer/v1/join"
	PathForget  = "/peer/v1/forget"
	PathPromote = "/peer/v1/promote"
	PathEpoch   = "/peer/v1/epoch"
	// PathTestimony has what servers of this epoch and those before have signed about theirs.
	// Also a caller that is on no record here may send such: each stands for itself.
	PathTestimony = "/peer/v1/testimony"
	// PathCertificate renews the caller's certificate.
	PathCertificate = "/peer/v1/certificate"
)

// Forget is the body of PathForget.
type Forget struct {
	Name string `json:"name"`
	By   string `json:"by"`
}

// Promote is the body of PathPromote, which is answered with a mfa.Promotion.
type Promote struct {
	To     string `json:"to"`
	By     string `json:"by"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// Join is the body of PathJoin.
type Join struct {
	Was string `json:"was,omitempty"` // the id of an earlier membership that ended
}

// Testimony is the body of PathTestimony, and its answer.
type Testimony struct {
	Epochs []group.SignedEpoch `json:"epochs"`
}

// CertificateRequest is the body of PathCertificate, Certificate its answer.
type CertificateRequest struct {
	PublicKey []byte `json:"public_key"` // DER
}

// Certificate is one.
type Certificate struct {
	PEM []byte `json:"pem"`
}

// API serves our own calls. report tells what this server is; beat takes what another one,
// who calls from address, says of itself; more serves everything else.
func API(g *group.Service, report func() group.Report, beat func(caller, address string, r group.Report), more http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathReport, func(w http.ResponseWriter, _ *http.Request) {
		group.WriteAnswer(w, report(), nil)
	})
	mux.HandleFunc("POST "+PathReport, func(w http.ResponseWriter, r *http.Request) {
		var in group.Report
		err := group.ReadBody(r, &in)
		if err == nil {
			beat(Caller(r.Context()), r.RemoteAddr, in)
		}
		group.WriteAnswer(w, report(), err)
	})
	mux.HandleFunc("POST "+PathJoin, func(w http.ResponseWriter, r *http.Request) {
		var in Join
		var info group.JoinInfo
		err := group.ReadBody(r, &in)
		if err == nil {
			info, err = g.Join(r.Context(), Caller(r.Context()), in.Was)
		}
		group.WriteAnswer(w, info, err)
	})
	mux.HandleFunc("POST "+PathForget, func(w http.ResponseWriter, r *http.Request) {
		var in Forget
		err := group.ReadBody(r, &in)
		if err == nil {
			err = g.Forget(r.Context(), in.By+" at "+Caller(r.Context()), in.Name)
		}
		group.WriteAnswer(w, struct{}{}, err)
	})
	mux.HandleFunc("POST "+PathCertificate, func(w http.ResponseWriter, r *http.Request) {
		var in CertificateRequest
		var out Certificate
		err := group.ReadBody(r, &in)
		if err == nil {
			out.PEM, err = g.Certify(r.Context(), Caller(r.Context()), in.PublicKey)
		}
		group.WriteAnswer(w, out, err)
	})
	mux.HandleFunc("POST "+PathPromote, func(w http.ResponseWriter, r *http.Request) {
		var in Promote
		var out mfa.Promotion
		err := group.ReadBody(r, &in)
		if err == nil {
			out, err = g.Promote(context.WithoutCancel(r.Context()), in.By+" at "+Caller(r.Context()), in.To, in.DryRun)
		}
		group.WriteAnswer(w, out, err)
	})
	mux.Handle("/", more)
	return mux
}
