package adminapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func (a *API) node() {
	route(a, readStatus, http.MethodGet, "/status", "Show the state of the server and its group", func(ctx context.Context, d desk, _ *none) (admin.Status, error) {
		return d.Status(ctx)
	})
	route(a, readStatus, http.MethodGet, "/group/members", "List the servers of the group", func(ctx context.Context, d desk, _ *none) (admin.MemberList, error) {
		return d.Servers(ctx)
	})
	route(a, own, http.MethodPost, "/group/activations", "Make a code that admits one server", func(ctx context.Context, d desk, in *struct{ Body admin.ActivationRequest }) (admin.ActivationCode, error) {
		return d.CreateActivation(ctx, in.Body)
	})
	route(a, own, http.MethodPost, "/group/forget", "Take a server out of the group for good", func(ctx context.Context, d desk, in *struct{ Body admin.ForgetRequest }) (admin.Removed, error) {
		return d.ForgetServer(ctx, in.Body.Name)
	})
	route(a, own, http.MethodPost, "/group/promote", "Make another server the master, without loss", func(ctx context.Context, d desk, in *struct{ Body admin.PromotionRequest }) (mfa.Promotion, error) {
		return d.PromoteServer(ctx, in.Body)
	})
	route(a, own, http.MethodPost, "/group/disaster", "Begin a new epoch on this server, whose master is lost", func(ctx context.Context, d desk, in *struct{ Body admin.DisasterRequest }) (mfa.DisasterPromotion, error) {
		return d.PromoteDisaster(ctx, in.Body)
	})
	route(a, own, http.MethodPost, "/group/release", "Let codes pass that a promotion holds back", func(ctx context.Context, d desk, _ *none) (admin.Released, error) {
		return d.ReleaseHold(ctx)
	})
	route(a, own, http.MethodPost, "/group/leave", "Take this server out of its group", func(ctx context.Context, d desk, in *struct{ Body *admin.LeaveRequest }) (admin.Removed, error) {
		if in.Body == nil {
			return d.LeaveGroup(ctx, admin.LeaveRequest{})
		}
		return d.LeaveGroup(ctx, *in.Body)
	})
	route(a, changeSettings, http.MethodPost, "/doctor", "Try every connection that the server needs", func(ctx context.Context, d desk, _ *slow) (admin.CheckList, error) {
		return d.Doctor(ctx)
	})
	route(a, changeSettings, http.MethodPost, "/log-level", "Set a component's verbosity", func(ctx context.Context, d desk, in *struct{ Body admin.LogLevel }) (admin.LogLevel, error) {
		return in.Body, d.SetLogLevel(ctx, in.Body)
	})
	route(a, needs(mfa.MayTest), http.MethodPost, "/test", "Make one leg of a real authentication", func(ctx context.Context, d desk, in *struct{ Body admin.TestRequest }) (admin.TestResult, error) {
		return d.TestSignIn(ctx, in.Body)
	})
	backup := operation(own, http.MethodPost, "/backup", "Stream one encrypted backup")
	huma.Register(a.huma, backup, func(ctx context.Context, in *struct{ Body admin.BackupRequest }) (*huma.StreamResponse, error) {
		if in.Body.Passphrase == nil {
			return nil, huma.Error422UnprocessableEntity("passphrase is missing")
		}
		return &huma.StreamResponse{Body: func(c huma.Context) { a.backup(ctx, c, in.Body, a.desk(ctx).Backup) }}, nil
	})
	route(a, readSettings, http.MethodGet, "/backups", "List the backups that were made, and those that a restore has verified", func(ctx context.Context, d desk, _ *none) (admin.BackupList, error) {
		return d.ListBackups(ctx)
	})
	route(a, own, http.MethodPost, "/backups/verified", "Note that a backup was restored from and opened", func(ctx context.Context, d desk, in *struct{ Body admin.VerifiedBackup }) (admin.VerifiedBackup, error) {
		return d.NoteVerified(ctx, in.Body)
	})
	document := operation(needs(mfa.MayKnow), http.MethodGet, "/openapi.json", "Show this description")
	huma.Register(a.huma, document, func(context.Context, *none) (*answer[json.RawMessage], error) {
		doc, err := a.OpenAPI()
		return &answer[json.RawMessage]{Body: doc}, err
	})
}

// backup streams. An error before the first byte is told; a later one ends the
// connection in the middle, so that nobody takes the file for a whole one.
func (a *API) backup(ctx context.Context, c huma.Context, r admin.BackupRequest, write func(ctx context.Context, passphrase secret.Text, w io.Writer) error) {
	_, w := humago.Unwrap(c)
	out := newStream(w, "application/octet-stream")
	by := callerOf(ctx).By
	err := write(ctx, r.Passphrase.Text, out)
	switch {
	case err == nil:
	case !out.begun:
		a.log.Error("admin API", "by", by, "error", err)
		writeProblem(w, statusOf(err), detail(err))
	default:
		a.log.Error("admin API: backup broke off", "by", by, "error", err)
		panic(http.ErrAbortHandler)
	}
}
