package node

import (
	"bytes"
	"context"
	"errors"
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

// A pair of codes that was used after the backup brings no counter token back where the trail
// that tells of it survived; without that trail it does, which nobody can know.
func TestRestoreMergesSurvivingTrail(t *testing.T) {
	o := options(folder(t))
	must(t, Init(t.Context(), o, "corp"))
	hotp, err := oath.NewHOTP(secret.FromString("12345678901234567890"), oath.SHA1, 6)
	must(t, err)
	login, kind, first, addresses := "alice", mfa.KindRADIUS, mfa.FirstFactorNone, []string{"127.0.0.1"}
	sign := func(ctx context.Context, s *server, counter uint64) string {
		t.Helper()
		r, err := s.admin.TestSignIn(ctx, "test", admin.TestRequest{Login: login, Application: kind, Password: &secret.Wire{Text: secret.FromString(hotp.HOTP(counter))}})
		must(t, err)
		return r.Reason
	}
	var file bytes.Buffer
	var token string
	inside(t, o, func(ctx context.Context, s *server) {
		shared, typed := secret.Wire{Text: secret.FromString("shared secret 1")}, secret.Wire{Text: oath.FormatSecret(secret.FromString("12345678901234567890"))}
		_, err := s.admin.AddUser(ctx, "test", admin.UserChange{Login: &login})
		must(t, err)
		_, err = s.admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &kind, Kind: &kind, FirstFactor: &first, Addresses: &addresses, Secret: &shared})
		must(t, err)
		made, err := s.enroll.Add(ctx, "test", login, enroll.Request{Method: mfa.MethodHOTP, Secret: &typed})
		must(t, err)
		token = string(made.ID)
		must(t, s.admin.Backup(ctx, "test", passphrase, &file))
		for counter := range uint64(4) {
			if got := sign(ctx, s, counter); got != mfa.OK.String() {
				t.Fatalf("code %d: %s", counter, got)
			}
		}
	})
	pair := func(counter uint64) enroll.Codes {
		return enroll.Codes{Codes: []secret.Wire{{Text: secret.FromString(hotp.HOTP(counter))}, {Text: secret.FromString(hotp.HOTP(counter + 1))}}}
	}
	for _, survives := range []bool{true, false} {
		restored := options(folder(t))
		var told buffer
		restored.Stdout = &told
		if survives {
			must(t, os.MkdirAll(restored.Config.DataDir, 0o700))
			must(t, os.CopyFS(filepath.Join(restored.Config.DataDir, trailDir), os.DirFS(filepath.Join(o.Config.DataDir, trailDir))))
		}
		if err := RestoreBackup(t.Context(), restored, bytes.NewReader(file.Bytes()), passphrase, "corp/1"); err != nil {
			t.Fatal(err)
		}
		if said := told.String(); strings.Contains(said, "4 settlements after the backup, of which 4 raised") != survives || strings.Contains(said, "No trail of before") == survives {
			t.Errorf("trail %v: told %s", survives, said)
		}
		inside(t, restored, func(ctx context.Context, s *server) {
			_, err := s.enroll.Resync(ctx, "test", login, token, pair(2))
			if survives != errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("trail %v: codes that were used bring the token back: %v", survives, err)
			}
			if _, err := s.enroll.Resync(ctx, "test", login, token, pair(10)); err != nil {
				t.Errorf("trail %v: codes that were never used: %v", survives, err)
			}
			if got := sign(ctx, s, 12); got != mfa.OK.String() {
				t.Errorf("trail %v: the next code: %s", survives, got)
			}
			v, err := s.admin.VerifyAudit(ctx)
			if err != nil || !v.OK {
				t.Errorf("trail %v: audit: %+v, %v", survives, v, err)
			}
			acts, err := s.admin.Attempts(ctx, "", admin.AuditQuery{})
			must(t, err)
			if old := len(acts.Attempts) > 4; old != survives {
				t.Errorf("trail %v: %d attempts are in the audit", survives, len(acts.Attempts))
			}
		})
	}
}

// A block that a server made without a master after the backup holds once the backup is restored
// beside the trail that tells of it.
func TestRestoreImposesBlocks(t *testing.T) {
	o := options(folder(t))
	must(t, Init(t.Context(), o, "corp"))
	login := "alice"
	var file bytes.Buffer
	inside(t, o, func(ctx context.Context, s *server) {
		u, err := s.admin.AddUser(ctx, "test", admin.UserChange{Login: &login})
		must(t, err)
		must(t, s.admin.Backup(ctx, "test", passphrase, &file))
		must(t, s.trail.Append(ctx, mfa.Record{Change: &mfa.Change{Number: 1, What: mfa.ChangeBlock, User: u.ID, Block: &mfa.Block{Reason: "stolen phone", By: "root", Since: time.Now()},
			By: "root", Time: time.Now(), Server: "nyc1"}}))
	})
	restored := options(folder(t))
	var told buffer
	restored.Stdout = &told
	must(t, os.MkdirAll(restored.Config.DataDir, 0o700))
	must(t, os.CopyFS(filepath.Join(restored.Config.DataDir, trailDir), os.DirFS(filepath.Join(o.Config.DataDir, trailDir))))
	must(t, RestoreBackup(t.Context(), restored, bytes.NewReader(file.Bytes()), passphrase, "corp/1"))
	if said := told.String(); !strings.Contains(said, "1 blocks and the like") {
		t.Errorf("told %s", said)
	}
	inside(t, restored, func(ctx context.Context, s *server) {
		u, err := s.admin.User(ctx, login)
		if err != nil || !u.Blocked {
			t.Errorf("the user is %+v, %v", u, err)
		}
		acts, err := s.admin.Acts(ctx, admin.AuditQuery{})
		must(t, err)
		found := false
		for _, a := range acts.Acts {
			found = found || a.By == "restore" && a.Verb == "user block" && strings.Contains(a.Detail, "server nyc1")
		}
		if !found {
			t.Errorf("the trail does not say so: %+v", acts.Acts)
		}
	})
}
