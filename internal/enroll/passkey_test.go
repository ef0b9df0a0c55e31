package enroll_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/challenge"
	"countersign/internal/enroll"
	"countersign/internal/keyring"
	"countersign/internal/method/passkey"
	"countersign/internal/method/passkey/passkeytest"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

type groupKey struct{}

func (groupKey) Primary() keyring.KeyID { return 1 }
func (groupKey) Key(string, keyring.KeyID) (secret.Text, error) {
	return secret.New(bytes.Repeat([]byte{5}, 32)), nil
}

// newKeys is a rig where there are passkeys.
func newKeys(t *testing.T) (*rig, *passkeytest.Authenticator) {
	t.Helper()
	r := newRig(t)
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error { s.PasskeySite = "mfa.corp.example"; return nil }); err != nil {
		t.Fatal(err)
	}
	r.Passkeys = passkey.Ceremonies{Method: passkey.Method{Name: "acme", Settings: r.db.Settings,
		Digest: func(purpose, value string) [32]byte { return sha256.Sum256([]byte(purpose + value)) }},
		Sealer: challenge.Sealer{Keys: groupKey{}}, Epoch: func() uint64 { return 1 }, Now: func() time.Time { return r.Now() }, Life: enroll.ProofLife}
	return r, &passkeytest.Authenticator{Origin: "https://mfa.corp.example", Verified: true}
}

// makes has alice's browser make a passkey, and returns what it answers with its ticket.
func (r *rig) makes(t *testing.T, a *passkeytest.Authenticator) (ticket string, answer secret.Text) {
	t.Helper()
	c, err := r.own().MakePasskey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, err := a.Make(c.Options)
	if err != nil {
		t.Fatal(err)
	}
	return c.Ticket, secret.FromString(made)
}

func shownBy(t *testing.T, a *passkeytest.Authenticator, c mfa.Ceremony) secret.Text {
	t.Helper()
	used, err := a.Use(c.Options)
	if err != nil {
		t.Fatal(err)
	}
	return secret.FromString(used)
}

func TestPasskeyIsEnrolledInTwoSteps(t *testing.T) {
	r, a := newKeys(t)
	ctx := t.Context()
	ticket, made := r.makes(t, a)
	kept, err := r.own().KeepPasskey(ctx, " blue key ", ticket, made)
	if err != nil {
		t.Fatal(err)
	}
	if all, _ := r.own().List(ctx); len(all.Credentials) != 1 || all.Credentials[0].Hold != "credential_unproven" || all.Credentials[0].Label != "blue key" {
		t.Errorf("kept %+v", all)
	}
	if _, err := r.own().KeepPasskey(ctx, "", ticket, made); !errors.Is(err, mfa.ChallengeReplayed) {
		t.Errorf("the same again: %v", err)
	}
	proof := shownBy(t, a, kept)
	if _, err := r.own().ProvePasskey(ctx, ticket, proof); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("proven with the first ticket: %v", err)
	}
	proven, err := r.own().ProvePasskey(ctx, kept.Ticket, proof)
	if err != nil || proven.Hold != "" || proven.Confirmed == nil || proven.Passkey == nil || !proven.Passkey.Discoverable {
		t.Fatalf("proven %+v, %v", proven, err)
	}
	if _, err := r.own().ProvePasskey(ctx, kept.Ticket, proof); !errors.Is(err, mfa.ChallengeReplayed) {
		t.Errorf("proven twice: %v", err)
	}
	if acct, _ := r.db.Account(ctx, r.user, true); acct.Record.Fails.LockedAt(noon) {
		t.Errorf("record %+v", acct.Record)
	}
}

// What is not taken leaves nothing behind.
func TestPasskeyRefusals(t *testing.T) {
	r, a := newKeys(t)
	ctx := t.Context()
	ticket, made := r.makes(t, a)
	if _, err := r.KeepPasskey(ctx, "root", "alice", "a\nb", ticket, made); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := r.KeepPasskey(ctx, "root", "alice", "", "x", made); !errors.Is(err, mfa.ChallengeInvalid) {
		t.Errorf("no ticket: %v", err)
	}
	other, err := r.own().MakePasskey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.KeepPasskey(ctx, "root", "alice", "", other.Ticket, made); !errors.Is(err, mfa.PasskeyOtherChallenge) {
		t.Errorf("what was made for another ticket: %v", err)
	}
	if all, _ := r.own().List(ctx); len(all.Credentials) != 0 {
		t.Errorf("kept %+v", all)
	}
	if acts := r.trail.Recorded(); !strings.HasSuffix(acts[len(acts)-1].Detail, "refused: passkey_other_challenge") {
		t.Errorf("recorded %+v", acts[len(acts)-1])
	}
	kept, err := r.KeepPasskey(ctx, "root", "alice", "", ticket, made)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ProvePasskey(ctx, "root", "alice", kept.Ticket, shownBy(t, a, kept)); err != nil {
		t.Fatal(err)
	}
	// A browser that does not heed which passkeys there are brings the same once more.
	again, err := r.own().MakePasskey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := a.MakeAgain(again.Options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.KeepPasskey(ctx, "root", "alice", "", again.Ticket, secret.FromString(twice)); err == nil || !strings.Contains(err.Error(), "has this passkey already") {
		t.Errorf("the same passkey: %v", err)
	}
	if _, err := r.Add(ctx, "root", "alice", enroll.Request{Method: mfa.MethodPasskey}); err == nil || !strings.Contains(err.Error(), "made by its user's browser") {
		t.Errorf("added by an administrator: %v", err)
	}
	if err := r.db.UpdateSettings(ctx, func(s *policy.Settings) error { s.SelfService = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	id := string(kept.Credential)
	for what, err := range map[string]error{"make": second(r.own().MakePasskey(ctx)), "keep": second(r.own().KeepPasskey(ctx, "", "", made)),
		"prove": second(r.own().ProvePasskey(ctx, "", made)), "rename": r.own().Rename(ctx, id, "x"), "remove": r.own().Remove(ctx, id)} {
		if !errors.Is(err, mfa.ErrForbidden) || !strings.Contains(err.Error(), "lacks passkey") {
			t.Errorf("%s: %v", what, err)
		}
	}
	r.Passkeys = nil
	if _, err := r.MakePasskey(ctx, "alice"); err == nil || !strings.Contains(err.Error(), "passkey_site") {
		t.Errorf("where there are none: %v", err)
	}
}
