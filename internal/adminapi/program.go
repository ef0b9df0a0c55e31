package adminapi

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// Leg is the part of an input that tells one leg of a sign-in from others.
type Leg struct {
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"your name for this request: the same sent again with it is not counted again"`
	peer netip.AddrPort
}

// Resolve implements huma.Resolver.
func (l *Leg) Resolve(ctx huma.Context) []error {
	l.peer, _ = netip.ParseAddrPort(ctx.RemoteAddr())
	return nil
}

func (l *Leg) leg() admin.ProgramLeg { return admin.ProgramLeg{Key: l.Key, Peer: l.peer} }

// programs registers what applications of kind api ask for. A handler decides nothing: the
// engine does, as for every front-end.
func (a *API) programs() {
	type first struct {
		Leg
		Body admin.AuthenticateRequest
	}
	route(a, needs(mfa.MayAuthenticate), http.MethodPost, "/authenticate", "Sign a user in: the first leg", func(ctx context.Context, d desk, in *first) (admin.Authentication, error) {
		return held(ctx, func(ctx context.Context) (admin.Authentication, error) { return d.Authenticate(ctx, in.leg(), in.Body) })
	})
	type later struct {
		Leg
		Body admin.ChallengeRequest
	}
	route(a, needs(mfa.MayAuthenticate), http.MethodPost, "/challenge", "Sign a user in: the answer to a challenge", func(ctx context.Context, d desk, in *later) (admin.Authentication, error) {
		return held(ctx, func(ctx context.Context) (admin.Authentication, error) { return d.Challenge(ctx, in.leg(), in.Body) })
	})
}

// held carries out a leg that may wait for a person. Of what comes of it nobody is told whose
// token ended meanwhile.
func held(ctx context.Context, do func(context.Context) (admin.Authentication, error)) (admin.Authentication, error) {
	need := needs(mfa.MayAuthenticate)
	within, end := while(ctx, need)
	defer end(nil)
	out, err := do(within)
	if why := still(ctx, need); why != nil {
		return admin.Authentication{}, why
	}
	return out, err
}
