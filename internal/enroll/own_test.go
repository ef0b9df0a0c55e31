package enroll_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// own is what alice may do herself.
func (r *rig) own() enroll.Own {
	return r.Own(mfa.Caller{By: "alice (portal)", User: r.user, Proven: mfa.MethodTOTP})
}

// shows is what an authenticator shows now for what was made.
func shows(t *testing.T, made enroll.Created) secret.Text {
	t.Helper()
	key, err := oath.ParseSecret(made.Secret.Text)
	if err != nil {
		t.Fatal(err)
	}
	k, err := oath.NewTOTP(key, oath.SHA1, 6, 30)
	if err != nil {
		t.Fatal(err)
	}
	return secret.FromString(k.TOTP(noon))
}

// enrols alice's own token and proves it.
func (r *rig) enrols(t *testing.T, label string) enroll.Credential {
	t.Helper()
	made, err := r.own().Begin(t.Context(), label)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.own().Prove(t.Context(), string(made.ID), shows(t, made))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOwnTokenServesWhenProven(t *testing.T) {
	r := newRig(t)
	first, err := r.own().Begin(t.Context(), " my phone ")
	if err != nil || first.Label != "my phone" || first.Hold != "credential_unproven" || first.Secret == nil {
		t.Fatalf("begun %+v, %v", first, err)
	}
	made, err := r.own().Begin(t.Context(), "my phone")
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := r.db.Account(t.Context(), r.user, true); len(a.Credentials) != 2 { // the password, and the second token
		t.Fatalf("%d credentials; one that was begun anew goes", len(a.Credentials))
	}
	usable := func() mfa.Reason {
		a, err := r.db.Account(t.Context(), r.user, true)
		if err != nil {
			t.Fatal(err)
		}
		_, why := policy.Usable(mfa.Application{}, a.Credentials, noon)
		return why
	}
	if why := usable(); why != mfa.CredentialUnproven {
		t.Errorf("not proven, and %s", why)
	}
	if _, err := r.own().Prove(t.Context(), string(made.ID), secret.FromString("000000")); !errors.Is(err, mfa.WrongCode) || !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a wrong code: %v", err)
	}
	if why := usable(); why != mfa.CredentialUnproven {
		t.Errorf("after a wrong code %s", why)
	}
	c, err := r.own().Prove(t.Context(), string(made.ID), shows(t, made))
	if err != nil || c.Hold != "" || c.Confirmed == nil {
		t.Fatalf("proven: %+v, %v", c, err)
	}
	if why := usable(); why != mfa.ReasonNone {
		t.Errorf("proven, and %s", why)
	}
	if _, err := r.own().Prove(t.Context(), string(made.ID), shows(t, made)); !errors.Is(err, mfa.ReplayedCode) {
		t.Errorf("the same code once more: %v", err)
	}
	for _, want := range []string{"alice (portal): credential add", "credential confirm", "refused: wrong_code"} {
		if !strings.Contains(acts(r), want) {
			t.Errorf("the trail lacks %q:\n%s", want, acts(r))
		}
	}
}

// acts are those of the trail, one a line.
func acts(r *rig) string {
	var b strings.Builder
	for _, a := range r.trail.Recorded() {
		b.WriteString(a.By + ": " + a.Verb + " " + a.Object + " " + a.Detail + "\n")
	}
	return b.String()
}

// Wrong codes at a proof lock as those of a sign-in do, and a right one forgets none.
func TestProofsAreCounted(t *testing.T) {
	r := newRig(t)
	made, err := r.own().Begin(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	tries := policy.Defaults().Tries
	for i := range tries {
		if i == tries-1 { // a right one of another token in between
			other := r.give(t, enroll.Request{Method: mfa.MethodTOTP, Secret: secret.NewWire(seed)})
			if _, err := r.Confirm(t.Context(), "root", "alice", string(other.ID), enroll.Codes{Codes: []secret.Wire{code(t, 0)}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.own().Prove(t.Context(), string(made.ID), secret.FromString("00000"+string(rune('0'+i)))); !errors.Is(err, mfa.WrongCode) {
			t.Fatalf("wrong code %d: %v", i+1, err)
		}
	}
	if _, err := r.own().Prove(t.Context(), string(made.ID), shows(t, made)); !errors.Is(err, mfa.Locked) {
		t.Errorf("after %d wrong codes: %v", tries, err)
	}
	_, err = r.Resync(t.Context(), "root", "alice", string(made.ID), enroll.Codes{Codes: []secret.Wire{code(t, 0), code(t, 1)}})
	if !errors.Is(err, mfa.Locked) || !strings.Contains(err.Error(), "user unlock") {
		t.Errorf("resync of somebody who is locked: %v", err)
	}
	a, _ := r.db.Account(t.Context(), r.user, true)
	if !a.Record.Fails.LockedAt(noon) {
		t.Error("sign-ins go on")
	}
}

// Many at once get no more guesses than one after the other.
func TestProofsAtOnceAreCounted(t *testing.T) {
	r := newRig(t)
	made, err := r.own().Begin(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	looked := 0
	for i := range 50 {
		all.Go(func() {
			_, err := r.own().Prove(t.Context(), string(made.ID), secret.FromString("0000"+string(rune('0'+i/10))+string(rune('0'+i%10))))
			mu.Lock()
			defer mu.Unlock()
			if !errors.Is(err, mfa.Locked) {
				looked++
			}
		})
	}
	all.Wait()
	if want := policy.Defaults().Tries; looked != want {
		t.Errorf("%d of 50 wrong codes were looked at, want %d", looked, want)
	}
}

func TestLastFactorStays(t *testing.T) {
	r := newRig(t)
	phone := r.enrols(t, "phone")
	if _, err := r.own().Recovery(t.Context()); err != nil {
		t.Fatal(err)
	}
	begun, err := r.own().Begin(t.Context(), "not proven")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.own().Remove(t.Context(), string(phone.ID)); !errors.Is(err, enroll.ErrLast) || !errors.Is(err, mfa.ErrForbidden) {
		t.Errorf("the last but for recovery codes and one that is not proven: %v", err)
	}
	const denied = "00000000-0000-0000-0000-00000000beef"
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error { s.PasskeyDeny = []string{denied}; return nil }); err != nil {
		t.Fatal(err)
	}
	kept, err := mfa.Passkey{ID: []byte("id"), Key: []byte("key"), Model: denied}.Kept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []mfa.Credential{{ID: "mailbox", Method: mfa.MethodEmail}, {ID: "passkey", Method: mfa.MethodPasskey, Secret: kept}} {
		c.User, c.Confirmed = r.user, noon
		if err := r.db.AddCredential(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := r.own().Remove(t.Context(), string(phone.ID)); !errors.Is(err, enroll.ErrLast) {
			t.Errorf("the last but for a %s that signs nobody in alone: %v", c.Method, err)
		}
	}
	if _, err := r.own().Prove(t.Context(), string(begun.ID), shows(t, begun)); err != nil {
		t.Fatal(err)
	}
	// Both at once: one of them stays.
	errs := make(chan error, 2)
	for _, id := range []string{string(phone.ID), string(begun.ID)} {
		go func() { errs <- r.own().Remove(t.Context(), id) }()
	}
	if a, b := <-errs, <-errs; errors.Is(a, enroll.ErrLast) == errors.Is(b, enroll.ErrLast) {
		t.Errorf("both at once: %v, %v", a, b)
	}
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error {
		s.SelfService = append(s.SelfService, policy.SelfRemoveLast)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	all, _ := r.own().List(t.Context())
	for _, c := range all.Credentials {
		if err := r.own().Remove(t.Context(), string(c.ID)); err != nil {
			t.Errorf("with remove_last: %v", err)
		}
	}
}

func TestRecoveryCodesAreReplaced(t *testing.T) {
	r := newRig(t)
	for range 2 {
		made, err := r.own().Recovery(t.Context())
		if err != nil || len(made.Codes) != 10 {
			t.Fatalf("%d codes, %v", len(made.Codes), err)
		}
		if all, _ := r.own().List(t.Context()); len(all.Credentials) != 1 || all.Credentials[0].ID != made.ID {
			t.Errorf("there are %+v", all.Credentials)
		}
	}
}

// Another user's credential is not found, whatever is done with it, nor is one's own by less
// than its id.
func TestOwnIsOwn(t *testing.T) {
	r := newRig(t)
	phone := r.enrols(t, "phone")
	bob, err := r.db.CreateUser(t.Context(), mfa.User{ID: mfa.UserID(mfa.NewID(nil)), Login: "bob", State: mfa.StateProtected}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := r.db.Account(t.Context(), r.user, true)
	ids := []string{"", string(phone.ID)[:8], "totp", "password", strings.Repeat("a", 16)}
	for _, c := range a.Credentials {
		if c.Method == mfa.MethodPassword {
			ids = append(ids, string(c.ID))
		}
	}
	for who, ids := range map[mfa.UserID][]string{bob.ID: append(ids, string(phone.ID)), r.user: ids} {
		o := r.Own(mfa.Caller{By: "x (portal)", User: who, Proven: mfa.MethodTOTP})
		for _, id := range ids {
			if err := o.Rename(t.Context(), id, "mine now"); !errors.Is(err, mfa.ErrNotFound) {
				t.Errorf("%s renames %q: %v", who, id, err)
			}
			if err := o.Remove(t.Context(), id); !errors.Is(err, mfa.ErrNotFound) {
				t.Errorf("%s removes %q: %v", who, id, err)
			}
			if _, err := o.Prove(t.Context(), id, secret.FromString("123456")); !errors.Is(err, mfa.ErrNotFound) {
				t.Errorf("%s proves %q: %v", who, id, err)
			}
		}
	}
	if err := r.own().Rename(t.Context(), string(phone.ID), " new name "); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{strings.Repeat("x", enroll.MaxLabel+1), "a\nb", "\xff"} {
		if err := r.own().Rename(t.Context(), string(phone.ID), bad); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("name %q: %v", bad, err)
		}
	}
	if all, _ := r.own().List(t.Context()); all.Credentials[0].Label != "new name" {
		t.Errorf("label %q", all.Credentials[0].Label)
	}
}

func TestSelfServiceIsPolicy(t *testing.T) {
	r := newRig(t)
	phone := r.enrols(t, "phone")
	codes, err := r.own().Recovery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error { s.SelfService = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	o := r.own()
	for what, err := range map[string]error{
		"begin": second(o.Begin(t.Context(), "")), "prove": second(o.Prove(t.Context(), string(phone.ID), secret.Text{})),
		"rename": o.Rename(t.Context(), string(phone.ID), "x"), "remove": o.Remove(t.Context(), string(phone.ID)),
		"recovery": second(o.Recovery(t.Context())), "remove codes": o.Remove(t.Context(), string(codes.ID))} {
		if !errors.Is(err, mfa.ErrForbidden) || !strings.Contains(err.Error(), "self_service") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What somebody has proven decides what they take away: DESIGN law 9. Another number takes the
// place of one once it is proven.
func TestOwnChangesForWhatItIsWorth(t *testing.T) {
	r := newRig(t)
	phone := r.enrols(t, "phone")
	codes, err := r.own().Recovery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []mfa.MethodID{"", mfa.MethodTAP, mfa.MethodRecovery, mfa.MethodEmail, mfa.MethodTOTP} { // the last may replace the codes
		refused := by != mfa.MethodTOTP
		o := r.Own(mfa.Caller{By: "alice (portal)", User: r.user, Proven: by})
		acts := map[string]error{"rename": o.Rename(t.Context(), string(phone.ID), "x"), "recovery codes": second(o.Recovery(t.Context()))}
		if refused {
			acts["remove"] = o.Remove(t.Context(), string(phone.ID))
			acts["remove codes"] = o.Remove(t.Context(), string(codes.ID))
		}
		for what, err := range acts {
			if errors.Is(err, mfa.ErrWeakProof) != refused || !refused && err != nil {
				t.Errorf("%s by %q: %v", what, by, err)
			}
		}
		made, err := o.Begin(t.Context(), "another")
		if err != nil {
			t.Errorf("a new token by %q: %v", by, err)
		} else if err := o.Remove(t.Context(), string(made.ID)); err != nil {
			t.Errorf("one that was never proven, by %q: %v", by, err)
		}
	}
}
