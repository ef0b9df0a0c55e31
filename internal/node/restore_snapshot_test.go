package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
)

// A database that is damaged comes back from a snapshot that the server had kept, and what
// may have been accepted since is not accepted again.
func TestRestoreSnapshot(t *testing.T) {
	old := options(folder(t))
	if err := Init(t.Context(), old, "corp"); err != nil {
		t.Fatal(err)
	}
	seed := secret.FromString("12345678901234567890")
	totp, err := oath.NewTOTP(seed, oath.SHA1, 6, 30)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(ctx context.Context, s *server, at time.Time) string {
		t.Helper()
		r, err := s.admin.TestSignIn(ctx, "test", admin.TestRequest{Login: "alice", Application: mfa.KindRADIUS,
			Password: &secret.Wire{Text: secret.FromString(totp.TOTP(at))}})
		must(t, err)
		return r.Reason
	}
	dir := filepath.Join(old.Config.DataDir, "snapshots")
	file := filepath.Join(dir, "20261125T080000Z-99.snapshot")
	at := time.Now()
	inside(t, old, func(ctx context.Context, s *server) {
		login, kind, first, addresses := "alice", mfa.KindRADIUS, mfa.FirstFactorNone, []string{"127.0.0.1"}
		shared, typed := secret.Wire{Text: secret.FromString("shared secret 1")}, secret.Wire{Text: oath.FormatSecret(seed)}
		_, err := s.admin.AddUser(ctx, "test", admin.UserChange{Login: &login})
		must(t, err)
		_, err = s.admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &kind, Kind: &kind, FirstFactor: &first, Addresses: &addresses, Secret: &shared})
		must(t, err)
		_, err = s.enroll.Add(ctx, "test", login, enroll.Request{Method: mfa.MethodTOTP, Secret: &typed})
		must(t, err)
		must(t, os.MkdirAll(dir, 0o700))
		f, err := os.Create(file)
		must(t, err)
		_, err = s.node.Snapshot(ctx, f)
		must(t, errors.Join(err, f.Close()))
		if got := sign(ctx, s, at); got != mfa.OK.String() {
			t.Errorf("before: %s", got)
		}
	})
	must(t, filepath.WalkDir(filepath.Join(old.Config.DataDir, "db"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "db" && !d.IsDir() {
			return os.Truncate(path, 5000)
		}
		return err
	}))

	for name, c := range map[string]struct {
		file func(t *testing.T) string
		name string
		want string
	}{
		"keys are not beside it": {func(t *testing.T) string {
			to := filepath.Join(t.TempDir(), "snapshots", filepath.Base(file))
			must(t, errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), copyFile(to, file)))
			return to
		}, "nyc1", "keys"},
		"cut": {func(t *testing.T) string {
			to := filepath.Join(dir, "20261125T080001Z-99.snapshot")
			must(t, errors.Join(copyFile(to, file), os.Truncate(to, 9000)))
			return to
		}, "nyc1", "cut short"},
		"another server's name": {func(*testing.T) string { return file }, "nyc9", "set `name: nyc1`"},
		"other name":            {func(*testing.T) string { return filepath.Join(dir, "x.snapshot") }, "nyc1", "x.snapshot"},
	} {
		o := options(folder(t))
		o.Config.Name = c.name
		err := RestoreSnapshot(t.Context(), o, c.file(t), "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want one that says %q", name, err, c.want)
		}
		if left := listing(t, o.Config.DataDir); left != "" {
			t.Errorf("%s: left %s", name, left)
		}
	}
	if err := RestoreSnapshot(t.Context(), old, file, ""); err == nil || !strings.Contains(err.Error(), "left as it is") {
		t.Errorf("into the folder itself: %v", err)
	}

	before := listing(t, old.Config.DataDir)
	restored := options(folder(t))
	var told buffer
	restored.Stdout = &told
	if err := RestoreSnapshot(t.Context(), restored, file, ""); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(told.String(), "snapshot of 2026-11-25T08:00:00Z") || !strings.Contains(told.String(), "1 users") {
		t.Errorf("told %q", told.String())
	}
	if listing(t, old.Config.DataDir) != before {
		t.Error("the folder that was moved aside was changed")
	}
	inside(t, restored, func(ctx context.Context, s *server) {
		if s.node.Epoch() != 1001 || s.node.Group() != "corp" {
			t.Errorf("epoch %d of %s", s.node.Epoch(), s.node.Group())
		}
		if got := sign(ctx, s, at); got == mfa.OK.String() {
			t.Error("a code that was used after the snapshot was made was accepted again")
		}
	})
	restored.Now = func() time.Time { return at.Add(time.Hour) }
	inside(t, restored, func(ctx context.Context, s *server) {
		if got := sign(ctx, s, at.Add(time.Hour)); got != mfa.OK.String() {
			t.Errorf("an hour later: %s", got)
		}
	})
}
