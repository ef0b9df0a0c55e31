package deviceapi_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/approval"
	"countersign/internal/authn"
	"countersign/internal/challenge"
	"countersign/internal/device"
	"countersign/internal/deviceapi"
	"countersign/internal/directory"
	"countersign/internal/enroll"
	"countersign/internal/keyring"
	"countersign/internal/method/otp"
	"countersign/internal/method/push"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// one is one server of a group: the real engine and store on a map in memory that both share.
type one struct {
	db     *store.Store
	engine *authn.Engine
	api    http.Handler
	admin  *admin.Service
	enroll *enroll.Service
	push   *push.Method
}

// rig is a group of two servers with a user alice, who has a local password and no device yet.
type rig struct {
	t     testing.TB
	kv    *storetest.Memory
	trail *admintest.Trail
	sent  *sender
	all   [2]*one
	user  mfa.UserID
	alarm chan mfa.Fraud

	mu    sync.Mutex
	clock time.Time
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

// sender is a push service.
type sender struct {
	mu   sync.Mutex
	sent []string // payloads
	gone map[string]bool
	all  chan struct{}
}

func (s *sender) Send(_ context.Context, to device.Device, payload []byte, _ time.Duration, topic string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, to.Endpoint+" "+topic+" "+string(payload))
	s.all <- struct{}{}
	if s.gone[to.Endpoint] {
		return fmt.Errorf("404: %w", push.ErrGone)
	}
	return nil
}

func (s *sender) Forget(context.Context, mfa.UserID, mfa.CredentialID, string) error {
	s.all <- struct{}{}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, kv: &storetest.Memory{}, trail: admintest.NewTrail(), clock: noon, alarm: make(chan mfa.Fraud, 4),
		sent: &sender{gone: map[string]bool{}, all: make(chan struct{}, 64)}}
	keys, err := keyring.New(nil, noon)
	must(t, err)
	for i, name := range []string{"nyc1", "nyc2"} {
		r.all[i] = r.server(name, keys)
	}
	a := r.all[0].admin
	login, state, password := "alice", "protected", secret.NewWire("correct horse battery")
	u, err := a.AddUser(t.Context(), "root", admin.UserChange{Login: &login, State: &state, Password: password})
	must(t, err)
	r.user = u.ID
	for name, waiting := range map[string]string{"vpn": "prompt", "old": "inside"} {
		kind, address, methods := "radius", []string{map[string]string{"vpn": "192.0.2.1", "old": "192.0.2.2"}[name]}, []string{"push"}
		_, err = a.AddApplication(t.Context(), "root", admin.ApplicationChange{Name: &name, Kind: &kind, Addresses: &address, Secret: secret.NewWire("a shared secret"), Methods: &methods, Waiting: &waiting})
		must(t, err)
	}
	must(t, r.all[1].db.Sync(t.Context()))
	return r
}

func (r *rig) server(name string, keys keyring.Keyset) *one {
	t := r.t
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	identity, err := keyring.NewIdentity()
	must(t, err)
	must(t, store.PutKeyset(t.Context(), r.kv, name, identity.Recipient(), keys))
	s, ring := &one{}, keyring.NewRing(keys)
	s.db, err = store.Open(t.Context(), r.kv, ring, store.Options{Epoch: 1, Server: name, Identity: identity, Now: r.now, Log: log})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.db.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })
	must(t, s.db.Sync(t.Context()))
	checker := directory.New(s.db, directory.Options{Now: r.now})
	s.push = push.New(push.Options{Sender: r.sent, Store: s.db, Settings: s.db.Settings, Now: r.now, Log: log})
	wg.Go(func() { _ = s.push.Run(ctx) })
	s.engine = authn.New(authn.Config{Server: name, Store: s.db, First: checker, Methods: []authn.Method{otp.TAP{}, s.push}, Trail: r.trail,
		Handles: challenge.Sealer{Keys: ring}, Settings: s.db.Settings, CodeLength: otp.CodeLength, Waits: s.db, Digest: ring.DigestOf, Country: country, Now: r.now, Log: log})
	s.admin = admintest.Admin(admintest.New(), r.trail, &admintest.Node{Now: r.now}, s.engine)
	a := s.admin
	a.Users, a.Credentials, a.Applications, a.Directories, a.APITokens, a.Administrators, a.Settings, a.Radius = s.db, s.db, s.db, s.db, s.db, s.db, s.db, s.db
	a.Passwords, a.Notices, a.Now = checker, s.db, r.now
	a.Fraud = func(f mfa.Fraud) { r.alarm <- f }
	s.enroll = &enroll.Service{Server: name, Issuer: "acme", Store: s.db, Applications: s.db, Resolve: a.Resolve, Trail: r.trail, Settings: s.db.Settings, Now: r.now,
		Devices: s.db, DevicePage: func() string { return "https://nyc1.example/authenticator/" }, Asker: asker{s}}
	p := &approval.Service{Server: name, Group: "acme", Store: s.db, Trail: r.trail, PIN: r.judge, Guessed: s.guessed, Fraud: func(ctx context.Context, f mfa.Fraud) error { _, err := a.ReportFraud(ctx, f); return err }, Settings: s.db.Settings, Now: r.now,
		Judge: func(to approval.Subscription) error {
			if !strings.HasPrefix(to.Endpoint, "https://") {
				return mfa.ErrInvalid
			}
			return nil
		},
		VAPID: func(context.Context) (string, error) { return "vapid", nil },
		TakeAway: func(ctx context.Context, by mfa.Caller, id mfa.CredentialID) error {
			return s.enroll.Own(by).Remove(ctx, string(id))
		}}
	s.api = (&deviceapi.API{Approval: p, Settings: policy.Defaults, Now: r.now, Log: log}).Handler()
	return s
}

// country is a table of one address.
func country(a netip.Addr) string {
	if a == netip.MustParseAddr("10.1.1.1") {
		return "PT"
	}
	return ""
}

// phone is a device: a key, and what a browser does with it.
type phone struct {
	r   *rig
	key *ecdsa.PrivateKey
	id  string
}

func newPhone(r *rig) *phone {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(r.t, err)
	return &phone{r: r, key: key}
}

func (p *phone) sign(message []byte) string {
	digest := sha256.Sum256(message)
	x, y, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	must(p.r.t, err)
	b := make([]byte, 64)
	x.FillBytes(b[:32])
	y.FillBytes(b[32:])
	return base64.RawURLEncoding.EncodeToString(b)
}

func (p *phone) public() string {
	b, err := p.key.PublicKey.Bytes()
	must(p.r.t, err)
	return base64.RawURLEncoding.EncodeToString(b)
}

// post sends a body to a server as it is.
func (p *phone) post(ctx context.Context, s *one, path string, body any, change func(h http.Header)) (int, map[string]any) {
	p.r.t.Helper()
	raw, err := json.Marshal(body)
	must(p.r.t, err)
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "https://nyc1.example"+deviceapi.Prefix+path, bytes.NewReader(raw))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if p.id != "" {
		var nonce [16]byte
		_, _ = rand.Read(nonce[:])
		m := device.Request{Method: http.MethodPost, Path: deviceapi.Prefix + path, Time: fmt.Sprint(p.r.now().Unix()), Nonce: base64.RawURLEncoding.EncodeToString(nonce[:]), Body: raw}
		req.Header.Set("Countersign-Device", p.id)
		req.Header.Set("Countersign-Time", m.Time)
		req.Header.Set("Countersign-Nonce", m.Nonce)
		req.Header.Set("Countersign-Signature", p.sign(m.Message()))
	}
	if change != nil {
		change(req.Header)
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, req)
	out := map[string]any{}
	if w.Body.Len() > 0 {
		must(p.r.t, json.Unmarshal(w.Body.Bytes(), &out))
	}
	return w.Code, out
}

func (p *phone) call(s *one, path string, body any) (int, map[string]any) {
	p.r.t.Helper()
	return p.post(p.r.t.Context(), s, path, body, nil)
}

// activate makes a device of p by a code of the group's first server.
func (p *phone) activate(name string) *phone {
	p.r.t.Helper()
	made, err := p.r.all[0].enroll.Add(p.r.t.Context(), "root", "alice", enroll.Request{Method: mfa.MethodPush})
	must(p.r.t, err)
	code := string(made.Activation.Expose())
	status, out := p.call(p.r.all[0], "activate", map[string]string{"code": code, "name": name, "public_key": p.public(), "proof": p.sign(device.Activation(code))})
	if status != http.StatusCreated {
		p.r.t.Fatalf("activate: %d %v", status, out)
	}
	p.id = out["device"].(string)
	must(p.r.t, p.r.all[1].db.Sync(p.r.t.Context()))
	return p
}

// pending returns what a server shows p now.
func (p *phone) pending(s *one) []map[string]any {
	p.r.t.Helper()
	status, out := p.call(s, "pending", map[string]any{"wait": 0})
	if status != http.StatusOK {
		p.r.t.Fatalf("pending: %d %v", status, out)
	}
	return questions(out)
}

func questions(out map[string]any) (list []map[string]any) {
	for _, q := range out["requests"].([]any) {
		list = append(list, q.(map[string]any))
	}
	return list
}

// judge knows the PIN 1379, and 0000 as one try too many.
func (r *rig) judge(_ context.Context, user mfa.UserID, typed secret.Text) error {
	switch {
	case user != r.user:
		return errNone
	case typed.Equal(secret.FromString("1379")):
		return nil
	case typed.Equal(secret.FromString("0000")):
		return mfa.Locked
	}
	return mfa.WrongPIN
}

func (p *phone) answer(s *one, q map[string]any, act, number string) string {
	p.r.t.Helper()
	status, out := p.call(s, "answer", map[string]any{"id": q["id"], "nonce": q["nonce"], "act": act, "number": number})
	if status != http.StatusOK {
		p.r.t.Fatalf("answer: %d %v", status, out)
	}
	return out["outcome"].(string)
}

// leg is a first leg of alice at an application.
func (r *rig) leg(app, source string) mfa.Request {
	a, err := r.all[0].db.ApplicationByName(app)
	must(r.t, err)
	return mfa.Request{Application: a.ID, FrontEnd: "radius", Login: "alice", Password: secret.FromString("correct horse battery"), Caps: mfa.CanPrompt,
		Source: source, Peer: netip.MustParseAddrPort("192.0.2.1:1812"), Patient: true}
}

// ask decides a leg at a server.
func (r *rig) ask(s *one, q mfa.Request) mfa.Decision {
	r.t.Helper()
	d, err := s.engine.Authenticate(r.t.Context(), q)
	must(r.t, err)
	return d
}

// then is the leg that asks what came of a challenge.
func (r *rig) then(q mfa.Request, d mfa.Decision) mfa.Request {
	q.Password, q.Handle, q.Leg = secret.Text{}, d.Handle, mfa.LegID{}
	return q
}

var errNone = errors.New("no act")

// act returns the detail of the newest act of that verb.
func (r *rig) act(verb string) (mfa.Act, error) {
	for _, a := range slices.Backward(r.trail.Recorded()) {
		if a.Verb == verb {
			return a, nil
		}
	}
	return mfa.Act{}, errNone
}
