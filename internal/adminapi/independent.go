package adminapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/group"
	"countersign/internal/secret"
)

// Coordinator is what the owner of an independent coordinator does with it.
type Coordinator interface {
	Overview(ctx context.Context) (group.Overview, error)
	// Status is this coordinator among the others; Overview is what they see of groups.
	Status(ctx context.Context) (admin.Status, error)
	CreateActivation(ctx context.Context, by string, r admin.FoundingRequest) (admin.ActivationCode, error)
	Retire(ctx context.Context, by string, r admin.RetireRequest) (admin.Removed, error)
	// Forget takes one of several coordinators out for good, Leave this one.
	Forget(ctx context.Context, by, name string) (admin.Removed, error)
	Leave(ctx context.Context, by string) (admin.Removed, error)
	SetLogLevel(ctx context.Context, by string, l admin.LogLevel) error
	Doctor(ctx context.Context) (admin.CheckList, error)
	Acts(ctx context.Context, q admin.AuditQuery) (admin.ActList, error)
	VerifyAudit(ctx context.Context) (admin.AuditVerification, error)
	Backup(ctx context.Context, by string, passphrase secret.Text, w io.Writer) error
}

// coordinatorHas is what is said of an operation that only a server has.
const coordinatorHas = "; this is an independent coordinator: it has the verbs status, doctor, coordinator (status, activation, retire, forget, leave), audit list --acts (what was done at this one; each keeps its own), audit verify, backup create and log level; user, credential and administrator are about its own operators, and console link about the first; users of groups, applications and sign-ins are at the servers of the groups"

// errNoTokens: programs have nothing to do at a coordinator.
var errNoTokens = errors.New("a coordinator takes no API tokens: it is cared for through its unix socket, and by people in its management portal")

// NewCoordinator returns the API of an independent coordinator, for its unix socket. o and e
// are the use cases on its operators, who sign in to its portal.
func NewCoordinator(c Coordinator, o *admin.Service, e *enroll.Service, version string, log *slog.Logger) *API {
	a := blank("Countersign coordinator API", "What the owner of an independent coordinator does with it, on the unix socket in its data folder.", version, log)
	a.admin, a.enroll, a.examples = o, e, slices.Concat(coordinatorExamples, examplesUnder("/users", "/administrators", "/console"))
	route(a, readStatus, http.MethodGet, "/coordinator/status", "Show groups, servers, and the rules that they break", func(ctx context.Context, _ desk, _ *none) (group.Overview, error) {
		return c.Overview(ctx)
	})
	route(a, own, http.MethodPost, "/coordinator/activations", "Make a code that founds a group, or admits another coordinator", func(ctx context.Context, _ desk, in *struct{ Body admin.FoundingRequest }) (admin.ActivationCode, error) {
		return c.CreateActivation(ctx, callerOf(ctx).By, in.Body)
	})
	route(a, own, http.MethodPost, "/coordinator/retire", "Forget a group or one of its servers", func(ctx context.Context, _ desk, in *struct{ Body admin.RetireRequest }) (admin.Removed, error) {
		return c.Retire(ctx, callerOf(ctx).By, in.Body)
	})
	route(a, own, http.MethodPost, "/coordinator/forget", "Take one of several coordinators out for good", func(ctx context.Context, _ desk, in *struct{ Body admin.ForgetRequest }) (admin.Removed, error) {
		return c.Forget(ctx, callerOf(ctx).By, in.Body.Name)
	})
	route(a, own, http.MethodPost, "/coordinator/leave", "Take this one of several coordinators out", func(ctx context.Context, _ desk, _ *none) (admin.Removed, error) {
		return c.Leave(ctx, callerOf(ctx).By)
	})
	route(a, readStatus, http.MethodGet, "/status", "Show the state of this coordinator and of the others", func(ctx context.Context, _ desk, _ *none) (admin.Status, error) {
		return c.Status(ctx)
	})
	a.elsewhere = coordinatorHas
	a.care(c)
	a.users()
	a.credentials()
	a.administrators()
	a.requires()
	backup := operation(own, http.MethodPost, "/backup", "Stream one encrypted backup")
	huma.Register(a.huma, backup, func(ctx context.Context, in *struct{ Body admin.BackupRequest }) (*huma.StreamResponse, error) {
		if in.Body.Passphrase == nil {
			return nil, huma.Error422UnprocessableEntity("passphrase is missing")
		}
		if err := admin.CheckPassphrase(in.Body.Passphrase.Text); err != nil {
			return nil, a.problem(ctx, err)
		}
		by := callerOf(ctx).By
		write := func(ctx context.Context, p secret.Text, w io.Writer) error { return c.Backup(ctx, by, p, w) }
		return &huma.StreamResponse{Body: func(hc huma.Context) { a.backup(ctx, hc, in.Body, write) }}, nil
	})
	a.withoutTokens()
	return a
}

// withoutTokens has the document say that there are none: who asks is known by the socket.
func (a *API) withoutTokens() {
	a.socket = true
	doc := a.huma.OpenAPI()
	doc.Components.SecuritySchemes = nil
	for _, item := range doc.Paths {
		for _, op := range methodsOf(item) {
			op.Security, op.Description = []map[string][]string{}, "For root and the user that the coordinator runs as."
		}
	}
}

// care adds what its owner looks after a coordinator with.
func (a *API) care(c Coordinator) {
	type acts struct {
		Paging
		Since time.Time `query:"since"`
	}
	route(a, own, http.MethodPost, "/doctor", "Try every connection that the coordinator needs", func(ctx context.Context, _ desk, _ *slow) (admin.CheckList, error) {
		return c.Doctor(ctx)
	})
	route(a, own, http.MethodPost, "/log-level", "Set a component's verbosity", func(ctx context.Context, _ desk, in *struct{ Body admin.LogLevel }) (admin.LogLevel, error) {
		return in.Body, c.SetLogLevel(ctx, callerOf(ctx).By, in.Body)
	})
	route(a, own, http.MethodGet, "/audit/acts", "List what was done at this coordinator, newest first", func(ctx context.Context, _ desk, in *acts) (admin.ActList, error) {
		return c.Acts(ctx, admin.AuditQuery{Since: in.Since, After: in.After, Limit: in.Limit})
	})
	route(a, own, http.MethodPost, "/audit/verify", "Read the whole trail again and check its chain", func(ctx context.Context, _ desk, _ *slow) (admin.AuditVerification, error) {
		return c.VerifyAudit(ctx)
	})
}
