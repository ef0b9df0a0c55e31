package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

func (a *API) audit() {
	type query struct {
		Paging
		User        string    `query:"user" maxLength:"253" doc:"a login, or the id of a user who is gone"`
		Login       string    `query:"login" maxLength:"253" doc:"as it was typed, in any case, also of nobody"`
		Application string    `query:"application" maxLength:"64"`
		Server      string    `query:"server" maxLength:"64" doc:"only what that server has recorded"`
		Since       time.Time `query:"since"`
		Until       time.Time `query:"until" doc:"before"`
		Reason      string    `query:"reason" maxLength:"64"`
		Method      string    `query:"method" maxLength:"64"`
		Verdict     string    `query:"verdict" enum:"accept,reject"`
		Here        bool      `query:"here" doc:"only what this server has recorded; else that of all servers of the group"`
	}
	route(a, needs(mfa.MayReadAudit, mfa.MayReadUsers), http.MethodGet, "/audit/attempts", "List attempts, newest first", func(ctx context.Context, d desk, in *query) (admin.AttemptList, error) {
		return d.Attempts(ctx, in.User, admin.AuditQuery{Login: in.Login, Application: in.Application, Server: in.Server, Since: in.Since, Until: in.Until, Reason: in.Reason,
			Method: in.Method, Verdict: in.Verdict, After: in.After, Limit: in.Limit, Here: in.Here})
	})
	type acts struct {
		Paging
		Since time.Time `query:"since"`
		Here  bool      `query:"here" doc:"only what was done at this server; else at all servers of the group"`
	}
	route(a, readAudit, http.MethodGet, "/audit/acts", "List administrative acts, newest first", func(ctx context.Context, d desk, in *acts) (admin.ActList, error) {
		return d.Acts(ctx, admin.AuditQuery{Since: in.Since, After: in.After, Limit: in.Limit, Here: in.Here})
	})
	type attempt struct {
		ID string `path:"id" maxLength:"64"`
	}
	route(a, needs(mfa.MayReadAudit, mfa.MayReadUsers), http.MethodGet, "/audit/attempts/{id}", "Tell everything about one attempt: who decided, and why", func(ctx context.Context, d desk, in *attempt) (admin.Story, error) {
		return d.Story(ctx, in.ID)
	})
	verify := func(ctx context.Context, d desk, _ *slow) (admin.AuditVerification, error) {
		return d.VerifyAudit(ctx)
	}
	route(a, readAudit, http.MethodPost, "/audit/verify", "Read the whole trail again and check its chain", verify)
	tail := operation(readAudit, http.MethodGet, "/audit/tail", "Stream attempts as JSON lines from now on")
	tail.Description += " When its caller may not go on, because the token was revoked or has expired, the stream ends with the line {\"ended\": why}."
	huma.Register(a.huma, tail, func(ctx context.Context, _ *none) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(c huma.Context) { a.tail(ctx, c) }}, nil
	})
}

// ended is the last line of a stream whose caller may not go on.
type ended struct {
	Why string `json:"ended"`
}

// tail streams until the client goes or may not go on, or the server stops.
func (a *API) tail(ctx context.Context, c huma.Context) {
	_, w := humago.Unwrap(c)
	ctx, end := while(ctx, readAudit)
	defer end(nil)
	if stopping, ok := ctx.Value(stoppingKey{}).(chan struct{}); ok {
		go func() {
			select {
			case <-stopping:
				end(nil)
			case <-ctx.Done():
			}
		}()
	}
	out := newStream(w, "application/x-ndjson")
	if err := out.flush(); err != nil { // headers now, so that the client knows it listens
		return
	}
	enc := json.NewEncoder(out)
	err := a.desk(ctx).TailAttempts(ctx, func(t admin.Attempt) bool {
		if err := still(ctx, readAudit); err != nil {
			end(err)
			return false
		}
		return enc.Encode(t) == nil && out.flush() == nil
	})
	if why := (gone{}); errors.As(context.Cause(ctx), &why) {
		_ = enc.Encode(ended{why.Error()})
		_ = out.flush()
	} else if err != nil && ctx.Err() == nil {
		a.log.Error("admin API: audit tail", "error", err)
	}
}
