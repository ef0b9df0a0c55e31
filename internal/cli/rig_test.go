package cli_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/adminapi"
	"countersign/internal/authn"
	"countersign/internal/challenge"
	"countersign/internal/cli"
	"countersign/internal/directory"
	"countersign/internal/enroll"
	"countersign/internal/keyring"
	"countersign/internal/method/otp"
	"countersign/internal/method/otp/otptest"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// seed is the secret of every token in these tests, and code its passcode so many steps
// after noon.
const seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

func code(t testing.TB, seed string, steps int) string {
	t.Helper()
	s, err := oath.ParseSecret(secret.FromString(seed))
	if err != nil {
		t.Fatal(err)
	}
	k, err := oath.NewTOTP(s, oath.SHA1, 6, 30)
	if err != nil {
		t.Fatal(err)
	}
	return k.TOTP(noon.Add(time.Duration(steps) * 30 * time.Second))
}

// rig is a server: the real store, engine and API, on a database in memory, at noon.
type rig struct {
	dir   string // its data folder, with the socket
	api   http.Handler
	admin *admin.Service
	trail *admintest.Trail
	node  *admintest.Node
}

// newRig starts a server that cleanup ends.
func newRig(t testing.TB, dir string, cleanup func(func())) *rig {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	log, now := slog.New(slog.DiscardHandler), func() time.Time { return noon }
	keys, err := keyring.New(nil, noon)
	must(err)
	identity, err := keyring.NewIdentity()
	must(err)
	kv, ring := &storetest.Memory{}, keyring.NewRing(keys)
	must(store.PutKeyset(ctx, kv, "nyc1", identity.Recipient(), keys))
	db, err := store.Open(ctx, kv, ring, store.Options{Epoch: 1, Server: "nyc1", Identity: identity, Now: now, Log: log})
	must(err)
	r := &rig{dir: dir, trail: admintest.NewTrail(), node: &admintest.Node{Now: now}}
	checker := directory.New(db, directory.Options{Now: now})
	totp := otp.TOTP{Now: now, Skew: func() int { return 1 }}
	engine := authn.New(authn.Config{Server: "nyc1", Store: db, First: checker, Methods: []authn.Method{totp, otp.Recovery{}, otp.TAP{}},
		Trail: r.trail, Handles: challenge.Sealer{Keys: ring}, Settings: db.Settings, CodeLength: otp.CodeLength, Now: now, Log: log})
	r.admin = &admin.Service{Server: "nyc1", Users: db, Credentials: db, Applications: db, Directories: db, Gateways: db, Recordings: db, Messenger: r.node, APITokens: db, Administrators: db, Settings: db,
		Keys: db, Radius: db, Trail: r.trail, Audit: r.trail, Node: r.node, Group: r.node, Parked: parkedChanges(), Sealed: db, Tests: r.node, Passwords: checker, PINs: checker, Engine: engine, Decider: engine, Digests: ring, Now: now}
	e := &enroll.Service{Server: "nyc1", Issuer: "acme", Store: db, Applications: db, Settings: db.Settings, Resolve: r.admin.Resolve, Passcodes: otptest.Passcodes{TOTP: totp}, Prover: prover{}, Trail: r.trail, Now: now}
	r.admin.Portal, e.Portal = func() string { return "https://nyc1.example.net:8443/portal" }, r.admin
	r.api = adminapi.New(r.admin, e, "1.0", log)
	l, err := adminapi.ListenSocket(filepath.Join(dir, "admin.sock"))
	must(err)
	ended := make(chan error, 3)
	go func() { ended <- db.Run(ctx) }()
	go func() { ended <- r.admin.Run(ctx) }()
	go func() { ended <- adminapi.Serve(ctx, l, r.api, log) }()
	must(db.Sync(ctx))
	cleanup(func() {
		stop()
		for range 3 {
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("a part of the server ended: %v", err)
			}
		}
	})
	return r
}

// deps is a command line without a terminal whose world is empty but for the hooks.
func deps() cli.Deps {
	return cli.Deps{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Env: func(string) string { return "" },
		Now: func() time.Time { return noon }, Location: time.FixedZone("CET", 3600), Version: "1.0", DataDir: func(string) (string, error) { return "/nonexistent", nil },
		VerifyBackup: func(_ context.Context, r io.Reader, p secret.Text) (cli.BackupInfo, error) {
			b, err := io.ReadAll(r)
			if string(b) != "a backup" || string(p.Expose()) != "correct horse battery" {
				err = errors.New("the passphrase does not open it")
			}
			return cli.BackupInfo{Group: "acme", Server: "nyc1", Epoch: 1, Created: noon, Users: 3}, err
		}}
}

// result is what one command did.
type result struct {
	code     int
	out, err string
}

// run runs one command as on the server's machine; fix may change its world.
func (r *rig) run(fix func(*cli.Deps), args ...string) result {
	d := deps()
	var out, errs bytes.Buffer
	d.Stdout, d.Stderr = &out, &errs
	d.Env = func(name string) string { return map[string]string{"COUNTERSIGN_DATA": r.dir}[name] }
	if fix != nil {
		fix(&d)
	}
	code := cli.Run(context.Background(), args, d)
	return result{code, out.String(), errs.String()}
}

// typing answers prompts in order, and keeps the prompts.
func typing(t *testing.T, asked *[]string, answers ...string) func(*cli.Deps) {
	return func(d *cli.Deps) {
		d.Prompt = func(prompt string, echo bool) (string, error) {
			*asked = append(*asked, prompt)
			if len(answers) == 0 {
				t.Errorf("asked %q too many", prompt)
				return "", io.EOF
			}
			a := answers[0]
			answers = answers[1:]
			return a, nil
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
