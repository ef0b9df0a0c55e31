// Package adminapi serves the operations of packages admin and enroll over HTTP: to the
// owners of the machine through a unix socket, and over https to bearers of an API token.
// Both get the same operations, errors and limits. An operation without a declared scope
// cannot be reached.
package adminapi

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/time/rate"

	"countersign/internal/admin"
	"countersign/internal/enroll"
)

// Prefix is the path that all operations lie under.
const Prefix = "/api/v1"

// maxBody bounds a request's body in bytes, but for an import.
const maxBody = 1 << 20

// API is an http.Handler for paths under Prefix. It answers requests that come through
// Serve: on a unix socket those of the machine's owners, on TLS those with a token.
type API struct {
	admin  *admin.Service
	enroll *enroll.Service
	log    *slog.Logger
	huma   huma.API
	mux    http.Handler

	creators  map[string]creator // by the pattern of their route
	examples  []example
	elsewhere string // what is said of an operation that there is not; set by who makes the API
	socket    bool   // it is served on a unix socket only, and takes no tokens

	refusals rate.Sometimes // of strangers, for the log
}

// New returns the API. version is the program's, for the OpenAPI document.
func New(a *admin.Service, e *enroll.Service, version string, log *slog.Logger) *API {
	api := blank("Countersign REST API", "What the console and the command line do, for programs. On the unix socket the owners of the machine "+
		"may do everything; over https a token is sent as Authorization: Bearer cs_..., and may do what its scopes say.", version, log)
	api.admin, api.enroll, api.examples = a, e, examples
	api.users()
	api.pins()
	api.callers()
	api.imports()
	api.credentials()
	api.passes()
	api.applications()
	api.directories()
	api.gateways()
	api.recordings()
	api.administrators()
	api.programs()
	api.group()
	api.audit()
	api.reports()
	api.node()
	api.parked()
	api.requires()
	return api
}

// blank returns an API without operations.
func blank(title, description, version string, log *slog.Logger) *API {
	config := huma.DefaultConfig(title, version)
	config.Info.Description = description
	config.Info.License = &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"}
	config.OnAddOperation = append(config.OnAddOperation, refusals)
	config.DocsPath, config.SchemasPath, config.OpenAPIPath = "", "", "" // all three would go past authorise; docs would load from afar
	config.CreateHooks = nil                                             // no $schema in bodies
	config.RejectUnknownQueryParameters = true
	config.Formats = map[string]huma.Format{"application/json": oneMeaning, "json": oneMeaning}
	config.Transformers = []huma.Transformer{plainError}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "an API token, made by `countersign api-token create`"},
	}
	strictly()
	mux := http.NewServeMux()
	api := &API{log: log, refusals: rate.Sometimes{First: 10, Interval: time.Second}}
	api.huma = humago.NewWithPrefix(mux, Prefix, config)
	api.huma.UseMiddleware(api.authorise)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if methods := allowed(mux, r); len(methods) > 0 {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			writeProblem(w, http.StatusMethodNotAllowed, "no operation "+r.Method+" "+r.URL.Path+"; there is "+strings.Join(methods, ", "))
			return
		}
		writeProblem(w, http.StatusNotFound, "no operation "+r.Method+" "+r.URL.Path+api.elsewhere)
	})
	api.mux = api.once(mux)
	return api
}

// strictly has fields named as they are described: {"login":"a","Login":"b"} is no user's.
var strictly = sync.OnceFunc(func() { huma.ValidateStrictCasing = true })

// allowed are the methods that there is an operation of at the path of r.
func allowed(mux *http.ServeMux, r *http.Request) (methods []string) {
	for _, m := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut} {
		if _, pattern := mux.Handler(&http.Request{Method: m, Host: r.Host, URL: r.URL}); pattern != "/" {
			methods = append(methods, m)
		}
	}
	return methods
}

// ServeHTTP implements http.Handler. Who asks is settled before anything else is looked at.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // the value itself is the signal
				a.log.Error("admin API: a panic ended a request", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler) // the connection ends, the server lives
		}
	}()
	who, err := a.identify(r)
	if err != nil {
		a.refusals.Do(func() {
			a.log.Warn("admin API refused a request", "peer", r.RemoteAddr, "path", r.URL.Path, "error", err)
		})
		w.Header().Set("WWW-Authenticate", "Bearer")
		writeProblem(w, http.StatusUnauthorized, err.Error())
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	a.mux.ServeHTTP(w, r.WithContext(asking(r.Context(), who, func() (admin.Caller, error) { return a.identify(r) })))
}

// none is the input of an operation that needs none.
type none struct{}

// answer is a JSON body.
type answer[T any] struct{ Body T }

// tagged is the JSON body of an object that has an ETag.
type tagged[T any] struct {
	ETag string `header:"ETag" doc:"names this state of the object, for If-Match"`
	Body T
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

// desk is what a caller may do: the use cases, each of which asks whether they may.
type desk struct {
	admin.Desk
	enroll enroll.Desk
}

// desk returns that of who asks.
func (a *API) desk(ctx context.Context) desk {
	who := callerOf(ctx)
	if a.admin == nil {
		return desk{}
	}
	d := a.admin.As(who)
	if a.enroll == nil {
		return desk{Desk: d}
	}
	return desk{d, a.enroll.As(who, d.Allowed)}
}

// route registers an operation that a caller may reach who has one of the permissions of
// need. do decides the rest with the caller's desk.
func route[In, Out any](a *API, need rule, method, path, summary string, do func(ctx context.Context, d desk, in *In) (Out, error)) {
	handle := func(ctx context.Context, in *In) (out Out, err error) {
		if out, err = do(ctx, a.desk(ctx), in); err != nil {
			unsure(ctx, err)
			err = a.problem(ctx, err)
		}
		return out, err
	}
	op := operation(need, method, path, summary)
	a.creates(&op, reflect.TypeFor[Out]())
	if _, ok := any(*new(Out)).(etagged); ok {
		huma.Register(a.huma, op, func(ctx context.Context, in *In) (*tagged[Out], error) {
			out, err := handle(ctx, in)
			if err != nil {
				return nil, err
			}
			return &tagged[Out]{tagOf(out), out}, nil
		})
		return
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *In) (*answer[Out], error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, err
		}
		return &answer[Out]{out}, nil
	})
}

// refusals describes an operation's answers to requests that it does not carry out.
func refusals(_ *huma.OpenAPI, op *huma.Operation) {
	ours, ok := op.Responses["default"]
	if !ok {
		return
	}
	ours.Description = "This server could not do it: the detail says why, and whether another one can."
	op.Responses["4XX"] = &huma.Response{Content: ours.Content, Headers: ours.Headers,
		Description: "Refused: who asks may not (401, 403), it is not there (404), it has changed or is in the way (409, 412), it is no good request (400, 413, 422), or too many came (429). The detail says what to do."}
}

func operation(need rule, method, path, summary string) huma.Operation {
	id := strings.ToLower(method) + strings.ReplaceAll(pathParameter.ReplaceAllString(path, "by-$1"), "/", "-")
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: maxBody,
		Tags: []string{strings.Split(path, "/")[1]}, Metadata: map[string]any{ruleKey: need},
		Description: need.String(), Security: []map[string][]string{{"token": need.scopes()}}}
}
