package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

var passphrase = secret.FromString("correct horse battery staple")

// inside runs a server and calls do when it works, before it serves.
func inside(t *testing.T, o Options, do func(ctx context.Context, s *server)) {
	t.Helper()
	s := &server{Options: o, small: true, work: 10}
	ctx, stop := context.WithCancel(t.Context())
	s.Ready = func(Addresses) { stop() }
	if err := s.run(ctx, func(ctx context.Context) error { do(ctx, s); return nil }); err != nil {
		t.Fatalf("%v\n%s", err, o.Stderr)
	}
}

func TestBackup(t *testing.T) {
	o := options(folder(t))
	if err := Init(t.Context(), o, "corp"); err != nil {
		t.Fatal(err)
	}
	seed := secret.FromString("12345678901234567890")
	totp, err := oath.NewTOTP(seed, oath.SHA1, 6, 30)
	if err != nil {
		t.Fatal(err)
	}
	hotp, err := oath.NewHOTP(seed, oath.SHA1, 6)
	if err != nil {
		t.Fatal(err)
	}
	const ahead = 3 // steps, of the token's clock
	var recovery enroll.Created
	var file bytes.Buffer
	inside(t, o, func(ctx context.Context, s *server) {
		login, kind, first, addresses := "alice", mfa.KindRADIUS, mfa.FirstFactorNone, []string{"127.0.0.1"}
		shared, typed := secret.Wire{Text: secret.FromString("shared secret 1")}, secret.Wire{Text: oath.FormatSecret(seed)}
		user, err := s.admin.AddUser(ctx, "test", admin.UserChange{Login: &login})
		must(t, err)
		_, err = s.admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &kind, Kind: &kind, FirstFactor: &first, Addresses: &addresses, Secret: &shared})
		must(t, err)
		for _, m := range []mfa.MethodID{mfa.MethodTOTP, mfa.MethodHOTP} {
			_, err = s.enroll.Add(ctx, "test", login, enroll.Request{Method: m, Secret: &typed})
			must(t, err)
		}
		creds, err := s.enroll.List(ctx, login)
		must(t, err)
		for _, c := range creds.Credentials {
			if c.Method == mfa.MethodTOTP {
				must(t, s.store.UpdateRecord(ctx, user.ID, func(r *settlement.Record) error {
					*r = r.Raise(c.ID, mfa.Floor{Next: 1, Drift: ahead})
					return nil
				}))
			}
		}
		recovery, err = s.enroll.Add(ctx, "test", login, enroll.Request{Method: mfa.MethodRecovery})
		must(t, err)
		must(t, s.admin.Backup(ctx, "test", passphrase, &file))
	})

	t.Run("verify", func(t *testing.T) {
		i, err := VerifyBackup(t.Context(), bytes.NewReader(file.Bytes()), passphrase, time.Now)
		if err != nil || i.Group != "corp" || i.Server != "nyc1" || i.Epoch != 1 || i.Users != 1 || i.Records < 5 || i.Revision == 0 {
			t.Errorf("got %+v, %v", i, err)
		}
	})
	t.Run("no seed in clear", func(t *testing.T) {
		if bytes.Contains(file.Bytes(), []byte("alice")) || bytes.Contains(file.Bytes(), seed.Expose()) {
			t.Error("the file can be read")
		}
	})
	t.Run("bad files", func(t *testing.T) {
		flipped := func(i int) []byte {
			b := bytes.Clone(file.Bytes())
			b[i] ^= 1
			return b
		}
		n := file.Len()
		for name, c := range map[string]struct {
			file []byte
			pass secret.Text
		}{
			"other passphrase": {file.Bytes(), secret.FromString("wrong horse battery")},
			"no passphrase":    {file.Bytes(), secret.Text{}},
			"empty":            {nil, passphrase},
			"not a backup":     {[]byte("name: nyc1\n"), passphrase},
			"cut":              {file.Bytes()[:n/2], passphrase},
			"last byte cut":    {file.Bytes()[:n-1], passphrase},
			"header flipped":   {flipped(40), passphrase},
			"middle flipped":   {flipped(n / 2), passphrase},
			"end flipped":      {flipped(n - 1), passphrase},
		} {
			dir := folder(t)
			b := options(dir)
			if _, err := VerifyBackup(t.Context(), bytes.NewReader(c.file), c.pass, time.Now); !errors.Is(err, mfa.ErrInvalid) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: verify: %v", name, err)
			}
			if err := RestoreBackup(t.Context(), b, bytes.NewReader(c.file), c.pass, ""); !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("%s: restore: %v", name, err)
			}
			if left := listing(t, dir); left != "" {
				t.Errorf("%s: restore left %s", name, left)
			}
		}
	})
	t.Run("restore into a used folder", func(t *testing.T) {
		before := listing(t, o.Config.DataDir)
		err := RestoreBackup(t.Context(), o, bytes.NewReader(file.Bytes()), passphrase, "")
		if err == nil || !strings.Contains(err.Error(), "left as it is") || listing(t, o.Config.DataDir) != before {
			t.Errorf("got %v", err)
		}
	})
	t.Run("restore of a group with an independent coordinator", func(t *testing.T) {
		var with, told buffer
		inside(t, o, func(ctx context.Context, s *server) {
			must(t, s.putOutside(ctx, outside{URLs: []string{"https://coordinator.example.net"}}))
			must(t, s.admin.Backup(ctx, "test", passphrase, &with))
			must(t, s.putOutside(ctx, outside{}))
		})
		restored := options(folder(t))
		restored.Stdout = &told
		must(t, RestoreBackup(t.Context(), restored, strings.NewReader(with.String()), passphrase, "corp/1"))
		for _, want := range []string{"used the coordinator at https://coordinator.example.net", "is its own coordinator", "coordinator retire corp"} {
			if !strings.Contains(told.String(), want) {
				t.Errorf("the receipt says %q, want %q in it", told.String(), want)
			}
		}
	})
	t.Run("other end confirmed", func(t *testing.T) {
		err := RestoreBackup(t.Context(), options(folder(t)), bytes.NewReader(file.Bytes()), passphrase, "corp/2")
		if err == nil || !strings.Contains(err.Error(), "corp/1") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("restore", func(t *testing.T) {
		restored := options(folder(t))
		restored.Config.Name = "nyc9"
		var told buffer
		restored.Stdout = &told
		if err := RestoreBackup(t.Context(), restored, bytes.NewReader(file.Bytes()), passphrase, "corp/1"); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(told.String(), "epoch 1001") || !strings.Contains(told.String(), "1 users") {
			t.Errorf("told %q", told.String())
		}
		if _, err := os.Stat(filepath.Join(restored.Config.DataDir, restoreDir)); err == nil {
			t.Error("the unpacked snapshot is still there")
		}
		at := time.Now()
		inside(t, restored, func(ctx context.Context, s *server) {
			if s.node.Epoch() != 1001 || s.node.Group() != "corp" || s.mended.interrupted != 0 {
				t.Errorf("epoch %d, group %s, %+v", s.node.Epoch(), s.node.Group(), s.mended)
			}
			sign := func(code string) string {
				t.Helper()
				r, err := s.admin.TestSignIn(ctx, "test", admin.TestRequest{Login: "alice", Application: mfa.KindRADIUS,
					Password: &secret.Wire{Text: secret.FromString(code)}})
				must(t, err)
				return r.Reason
			}
			step := uint64(at.Unix()) / 30
			for d := range uint64(3 + ahead) { // from the step before to what a token that is ahead shows next: the lost server may have taken them
				if got := sign(totp.HOTP(step - 1 + d)); got == mfa.OK.String() {
					t.Errorf("the code of step now%+d was accepted: %s", int(d)-1, got)
				}
			}
			if got := sign(string(recovery.Codes[0].Text.Expose())); got != mfa.ReplayedCode.String() {
				t.Errorf("recovery code: %s", got)
			}
			// Counters may have moved on; two consecutive codes bring them back.
			creds, err := s.enroll.List(ctx, "alice")
			must(t, err)
			for _, c := range creds.Credentials {
				if c.Method != mfa.MethodHOTP {
					continue
				}
				if c.Hold != mfa.ResyncRequired.String() {
					t.Errorf("hold of the counter token: %q", c.Hold)
				}
				if got := sign(hotp.HOTP(3)); got == mfa.OK.String() {
					t.Errorf("a held token's code: %s", got)
				}
				pair := enroll.Codes{Codes: []secret.Wire{{Text: secret.FromString(hotp.HOTP(40))}, {Text: secret.FromString(hotp.HOTP(41))}}}
				_, err = s.enroll.Resync(ctx, "test", "alice", string(c.ID), pair)
				must(t, err)
				_, err = s.admin.UnlockUser(ctx, "test", "alice")
				must(t, err)
				if got := sign(hotp.HOTP(42)); got != mfa.OK.String() {
					t.Errorf("after resync: %s", got)
				}
			}
			v, err := s.admin.VerifyAudit(ctx)
			if err != nil || !v.OK {
				t.Errorf("audit of the restored server: %+v, %v", v, err)
			}
		})
		// Later the next code passes.
		later := restored
		later.Now = func() time.Time { return at.Add(time.Hour) }
		inside(t, later, func(ctx context.Context, s *server) {
			r, err := s.admin.TestSignIn(ctx, "test", admin.TestRequest{Login: "alice", Application: mfa.KindRADIUS,
				Password: &secret.Wire{Text: secret.FromString(totp.HOTP(uint64(at.Add(time.Hour).Unix()) / 30))}})
			must(t, err)
			if r.Reason != mfa.OK.String() {
				t.Errorf("an hour later: %s", r.Reason)
			}
		})
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// Whatever is in a file that opens, reading it ends with an error or with what it says.
func FuzzArchive(f *testing.F) {
	dir := f.TempDir()
	snapshot := filepath.Join(dir, "s")
	if err := os.WriteFile(snapshot, []byte("database"), 0o600); err != nil {
		f.Fatal(err)
	}
	keys, err := keyring.New(nil, time.Unix(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(""))
	f.Add([]byte("age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18\n"))
	var good bytes.Buffer
	m := manifest{V: 1, Group: "g", Epoch: 1, Size: 8, SHA256: "76c1d8e1a1ab80e1e5f3d0f1c1f8f0f8"}
	if err := writeArchive(&good, passphrase, 10, m, keys, snapshot); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			return
		}
		if _, _, err := readArchive(io.LimitReader(bytes.NewReader(b), 1<<12), passphrase, t.TempDir()); err == nil {
			t.Error("accepted")
		}
	})
}
