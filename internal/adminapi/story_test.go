package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/authn"
	"countersign/internal/challenge"
	"countersign/internal/directory"
	"countersign/internal/enroll"
	"countersign/internal/group"
	"countersign/internal/keyring"
	"countersign/internal/method/otp"
	"countersign/internal/method/otp/otptest"
	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// real is the API on the real store and engine, with the database in memory, at noon.
type real struct {
	*rig
	store *store.Store
	down  bool         // the engine cannot decide
	fault atomic.Value // func(puts, deletes) storetest.Fault: what goes wrong in the database
}

func newReal(t *testing.T) *real {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, log, now := t.Context(), slog.New(slog.DiscardHandler), func() time.Time { return noon }
	keys, err := keyring.New(nil, noon)
	must(err)
	identity, err := keyring.NewIdentity()
	must(err)
	r := &real{}
	kv, ring := &storetest.Memory{Fault: r.goesWrong}, keyring.NewRing(keys)
	must(store.PutKeyset(ctx, kv, "nyc1", identity.Recipient(), keys))
	db, err := store.Open(ctx, kv, ring, store.Options{Epoch: 1, Server: "nyc1", Identity: identity, Now: now, Log: log})
	must(err)
	stop, ended := context.CancelFunc(nil), make(chan error, 1)
	ctx, stop = context.WithCancel(ctx)
	go func() { ended <- db.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	must(db.Sync(ctx))
	r.rig, r.store = &rig{trail: admintest.NewTrail(), node: &admintest.Node{Now: now}}, db
	totp := otp.TOTP{Now: now, Skew: func() int { return 1 }}
	checker := directory.New(db, directory.Options{Now: now})
	engine := authn.New(authn.Config{Server: "nyc1", Store: db, First: checker, Methods: []authn.Method{totp, otp.Recovery{}, otp.TAP{}},
		Trail: r.trail, Handles: challenge.Sealer{Keys: ring}, Settings: db.Settings, CodeLength: otp.CodeLength, Now: now, Log: log})
	carol := mfa.User{ID: "carolcarolcarol2", Login: "carol"}
	parked := &admintest.Parked{}
	for _, id := range []string{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"} {
		parked.Changes = append(parked.Changes, parking.Change{ID: id, Epoch: 1, Server: "nyc1", Kind: parking.User, What: parking.Added, Object: string(carol.ID), After: parking.Object{User: &carol}, Found: noon})
	}
	a := &admin.Service{Server: "nyc1", Users: db, Credentials: db, Applications: db, Directories: db, Gateways: db, Recordings: db, Messenger: r.node, APITokens: db, Administrators: db, Settings: db,
		Keys: db, Radius: db, Trail: r.trail, Audit: r.trail, Node: r.node, Group: r.node, Parked: parked, Tests: r.node, Passwords: checker, PINs: checker, Engine: engine,
		Decider: fallible{r, engine}, Digests: ring, Requests: db, Sealed: db, Web: func() string { return "https://nyc1.example.net:8443" }, Now: now}
	e := &enroll.Service{Server: "nyc1", Issuer: "acme", Store: db, Applications: db, Settings: db.Settings, Resolve: a.Resolve, Passcodes: otptest.Passcodes{TOTP: totp}, Prover: prover{}, Trail: r.trail, Now: now}
	a.Portal, e.Portal = func() string { return "https://nyc1.example.net:8443/portal" }, a
	r.api = New(a, e, "test", log)
	r.api.Coordinator(func(context.Context) (group.Overview, error) { return group.Overview{}, nil })
	return r
}

func (r *real) goesWrong(puts map[string][]byte, deletes []string) storetest.Fault {
	if f, ok := r.fault.Load().(func(map[string][]byte, []string) storetest.Fault); ok {
		return f(puts, deletes)
	}
	return storetest.None
}

// fallible is an engine that can be made to fail.
type fallible struct {
	r *real
	mfa.Authenticator
}

func (f fallible) Authenticate(ctx context.Context, q mfa.Request) (mfa.Decision, error) {
	if f.r.down {
		return mfa.Decision{}, errors.New("no directory")
	}
	return f.Authenticator.Authenticate(ctx, q)
}

// application returns the caller who bears the token of an application.
func (r *real) application(t *testing.T, name string) admin.Caller {
	t.Helper()
	app, err := r.store.ApplicationByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return admin.Caller{By: "token:till", Permissions: admin.ScopePermissions(admin.ScopeAuthenticate), Reach: mfa.Reach{All: true}, Application: app.ID}
}

// as makes a request one of a caller's.
func as(req *http.Request, who admin.Caller) *http.Request {
	return req.WithContext(asking(req.Context(), who, func() (admin.Caller, error) { return who, nil }))
}

// request is what a client sends.
func (x example) request(handle string) *http.Request {
	method, path, _ := strings.Cut(x.operation, " ")
	req := httptest.NewRequest(method, Prefix+x.target(), strings.NewReader(strings.ReplaceAll(x.body, "HANDLE", handle)))
	if x.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if path == "/import/users" {
		req.Header.Set("Content-Type", "text/csv")
	}
	return req
}

// ask sends an example as a caller.
func (r *real) ask(t *testing.T, x example, handle string, who admin.Caller) *httptest.ResponseRecorder {
	t.Helper()
	req := x.request(handle)
	ctx := as(req, who).Context()
	if req.URL.Path == Prefix+"/audit/tail" {
		var stop context.CancelFunc
		ctx, stop = context.WithCancel(ctx)
		go func() { r.trail.Listening(); stop() }()
	}
	w := httptest.NewRecorder()
	r.api.mux.ServeHTTP(w, req.WithContext(ctx))
	return w
}

// Every operation has an example, and every example works: with one permission of the
// operation's rule, and with no other. Example and answer are as described.
func TestExamples(t *testing.T) {
	r, outside := newReal(t), newOutsider(t, Document)
	var handle string
	known := mfa.Attempt{Time: time.Date(2026, 11, 25, 11, 0, 0, 0, time.UTC), Server: "nyc1", Login: "carol", Reason: mfa.UnknownUser}
	if err := errors.Join(known.ID.UnmarshalText([]byte("mfrggzdfmztwq2lk")), r.trail.Append(t.Context(), mfa.Record{Attempt: &known})); err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, x := range examples {
		method, path, _ := strings.Cut(x.operation, " ")
		op := r.operations()[x.operation]
		if op == nil {
			t.Errorf("example of %s, which there is not", x.operation)
			continue
		}
		need, _ := op.Metadata[ruleKey].(rule)
		who := admin.Caller{By: "adam (console)", Role: mfa.RoleOwner, Reach: mfa.Reach{All: true}}
		if need[0] == mfa.MayAuthenticate {
			who = r.application(t, "shop")
		}
		who.Permissions = (mfa.RoleOwner.Permissions() | mfa.SetOf(mfa.MayAuthenticate)) &^ mfa.SetOf(need...)
		if path == "/audit/tail" { // who is refused never listens; TestRules has that
		} else if w := r.ask(t, x, handle, who); w.Code != http.StatusForbidden {
			t.Errorf("%s without %s: %d %s", x.operation, need, w.Code, w.Body)
		} else if wrong := outside.answer(x.request(handle), w.Result()); wrong != "" {
			t.Errorf("%s: a refusal is not as described: %s%s", x.operation, wrong, w.Body)
		}
		who.Permissions = mfa.SetOf(need...)
		if path == "/users" && method == "POST" { // the example sets fields that ask for more
			who.Permissions |= mfa.SetOf(admin.UserChangers...)
		}
		if strings.HasSuffix(path, "/invitation") { // and this one a time of its own
			who.Permissions |= mfa.SetOf(mfa.MayChoosePassLife)
		}
		if strings.HasSuffix(path, "/approve") {
			who.User = r.awaits(t, "alice")
		}
		w := r.ask(t, x, handle, who)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", x.operation, w.Code, w.Body)
		}
		if wrong := outside.request(x.request(handle)); wrong != "" {
			t.Errorf("%s: the example is not as described: %s", x.operation, wrong)
		}
		if wrong := outside.answer(x.request(handle), w.Result()); wrong != "" {
			t.Errorf("%s: the answer is not as described: %s%s", x.operation, wrong, w.Body)
		}
		var out struct {
			Handle  string `json:"handle"`
			Verdict string `json:"verdict"`
		}
		_ = json.Unmarshal(w.Body.Bytes(), &out)
		if path == "/authenticate" {
			handle = out.Handle
		}
		if path == "/challenge" && out.Verdict != "accept" {
			t.Errorf("the sign-in of the examples ends in %s", w.Body)
		}
		told[x.operation] = true
	}
	for name := range r.operations() {
		if !told[name] {
			t.Errorf("%s has no example", name)
		}
	}
}

var update = flag.Bool("update", false, "write docs/api/openapi.json anew")

// What lies in docs/api is what the program says of itself.
func TestDocumentIsCurrent(t *testing.T) {
	for name, made := range map[string]func() ([]byte, error){"openapi.json": Document, "index.html": Page,
		"coordinator.json": CoordinatorDocument, "coordinator.html": CoordinatorPage} {
		want, err := made()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("..", "..", "docs", "api", name)
		if *update {
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, want, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not what the program says of itself (%v): run `make api` and look at the difference", file, err)
		}
	}
}

// The page has every operation and loads nothing from anywhere.
func TestPageIsWhole(t *testing.T) {
	page, err := Page()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range examples {
		method, path, _ := strings.Cut(x.operation, " ")
		if !strings.Contains(string(page), "<code>"+method+" "+Prefix+path+"</code>") {
			t.Errorf("%s is missing", x.operation)
		}
	}
	for _, bad := range []string{"<script", "http://", "https://", "src="} {
		if strings.Contains(string(page), bad) {
			t.Errorf("there is %s in it", bad)
		}
	}
}

// The document is one that others' programs can read: what it refers to is there, names are
// unique, everything is described and has an example.
func TestDocumentIsSound(t *testing.T) {
	for name, made := range map[string]func() ([]byte, error){"server": Document, "coordinator": CoordinatorDocument} {
		t.Run(name, func(t *testing.T) {
			raw, err := made()
			if err != nil {
				t.Fatal(err)
			}
			sound(t, raw, name == "server")
		})
	}
}

// sound looks at one document, of an API with tokens or without.
func sound(t *testing.T, raw []byte, tokens bool) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string                                      `json:"operationId"`
			Summary     string                                      `json:"summary"`
			Description string                                      `json:"description"`
			Tags        []string                                    `json:"tags"`
			Security    []map[string]any                            `json:"security"`
			Responses   map[string]struct{ Content map[string]any } `json:"responses"`
			Parameters  []struct {
				Name, In string
				Example  any
			} `json:"parameters"`
			RequestBody *struct {
				Content map[string]struct{ Example any } `json:"content"`
			} `json:"requestBody"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			where := method + " " + path
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || op.Description == "" || len(op.Tags) == 0 || tokens != (len(op.Security) > 0) {
				t.Errorf("%s is not described, or not alone: %+v", where, op)
			}
			ids[op.OperationID] = true
			if _, ok := op.Responses["default"].Content["application/problem+json"]; !ok {
				t.Errorf("%s does not say what its errors look like", where)
			}
			for _, p := range op.Parameters {
				if p.In == "path" && p.Example == nil {
					t.Errorf("%s: parameter %s has no example", where, p.Name)
				}
			}
			if op.RequestBody != nil {
				for kind, media := range op.RequestBody.Content {
					if media.Example == nil {
						t.Errorf("%s: the body (%s) has no example", where, kind)
					}
				}
			}
		}
	}
	for _, part := range strings.Split(string(raw), `"$ref": "`)[1:] {
		ref, _, _ := strings.Cut(part, `"`)
		name, ok := strings.CutPrefix(ref, "#/components/schemas/")
		if _, there := doc.Components.Schemas[name]; !ok || !there {
			t.Errorf("%s refers to nothing", ref)
		}
	}
}

// prover sends nothing: each proof is the challenge "sent".
type prover struct{}

func (prover) SendProof(context.Context, mfa.Credential, string, time.Duration) (string, error) {
	return "sent", nil
}

func (prover) CheckProof(_ context.Context, _ mfa.Credential, _, challenge string, code secret.Text) (settlement.Nonce, error) {
	if challenge != "sent" || !code.Equal(secret.FromString("123456")) {
		return settlement.Nonce{}, mfa.WrongCode
	}
	return settlement.Nonce{ID: rand.Uint64() | 1}, nil // each code is another
}

func (prover) Carries(mfa.MethodID) bool { return true }

// awaits has the passes of a user await their approval, and returns who may approve them.
func (r *real) awaits(t *testing.T, login string) mfa.UserID {
	t.Helper()
	form, err := r.store.UserByForm(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.store.Account(t.Context(), form, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range a.Credentials {
		if c.Method == mfa.MethodTAP {
			if _, err := r.store.UpdateCredential(t.Context(), form, c.ID, func(c *mfa.Credential) error {
				c.Awaits, c.Issuer = true, "helenhelenhelenh"
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return "idaidaidaidaidai"
}
