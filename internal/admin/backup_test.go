package admin_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Backups that were made and restores that were verified are remembered, the newest first.
func TestBackupsAreRemembered(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	owner := r.As(mfa.Owner("root"))
	if l, err := owner.ListBackups(ctx); err != nil || len(l.Backups)+len(l.Verified) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	for range 25 {
		r.now = r.now.Add(time.Hour)
		if err := owner.Backup(ctx, secret.FromString("correct horse battery"), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	made := admin.VerifiedBackup{Group: "acme", Server: "nyc1", Epoch: 1, Revision: 7, Created: r.now, Records: 9, Users: 3}
	for name, bad := range map[string]func(*admin.VerifiedBackup){
		"another group":   func(b *admin.VerifiedBackup) { b.Group = "other" },
		"of the future":   func(b *admin.VerifiedBackup) { b.Created = r.now.Add(2 * time.Hour) },
		"of no time":      func(b *admin.VerifiedBackup) { b.Created = time.Time{} },
		"a strange name":  func(b *admin.VerifiedBackup) { b.Server = "nyc1\n" },
		"a server unsaid": func(b *admin.VerifiedBackup) { b.Server = "" },
	} {
		b := made
		bad(&b)
		if _, err := owner.NoteVerified(ctx, b); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.As(mfa.Administrator{Role: mfa.RoleAdministrator}.Caller("adam")).NoteVerified(ctx, made); !errors.Is(err, mfa.ErrForbidden) {
		t.Errorf("by an administrator: %v", err)
	}
	if _, err := owner.NoteVerified(ctx, made); err != nil {
		t.Fatal(err)
	}
	l, err := r.As(mfa.Administrator{Role: mfa.RoleAuditor}.Caller("ada")).ListBackups(ctx)
	if err != nil || len(l.Backups) != 20 || !l.Backups[0].Time.Equal(r.now) || len(l.Verified) != 1 || l.Verified[0].By != "root" || !l.Verified[0].Time.Equal(r.now) {
		t.Errorf("%+v, %v", l, err)
	}
	acts := r.trail.Recorded()
	if last := acts[len(acts)-1]; last.Verb != "backup verify" || !strings.Contains(last.Detail, "revision 7: 9 records, 3 users") {
		t.Errorf("recorded %+v", last)
	}
}
