package store_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// A witness knows the servers of the group and can take one out; of users it holds nothing
// in memory, and what is sealed it can neither read nor write.
func TestWitness(t *testing.T) {
	ctx := t.Context()
	kv := &storetest.Memory{}
	s := open(t, kv, newRing(t))
	alice, err := s.CreateUser(ctx, mfa.User{Login: "alice", Phone: "+4912345", State: mfa.StateProtected}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n1", "n2"} {
		if err := s.UpdateMember(ctx, name, func(m *mfa.Member) error { m.Role = mfa.RoleServer; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	o := store.Options{Server: "w1", Witness: true, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if _, err := store.Open(ctx, kv, newRing(t), o); err == nil {
		t.Error("a witness was opened with a keyset")
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	w, done := start(t, running, kv, keyring.NewRing(keyring.Keyset{}), o)
	defer func() { stop(); <-done }()
	if err := w.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if len(w.Members()) != 2 || w.CountUsers() != 0 {
		t.Errorf("a witness sees members %+v and %d users", w.Members(), w.CountUsers())
	}
	if a, err := w.Account(ctx, alice.ID, true); err == nil || a.User.Login != "" {
		t.Errorf("a witness reads an account: %+v", a)
	}
	if _, err := w.PutSealed(ctx, "ca", 0, []byte("x")); err == nil {
		t.Error("a witness seals something")
	}
	if err := w.CreateJoinCode(ctx, store.JoinCode{ID: "0011223344556677", Secret: secret.FromString("x")}); err == nil {
		t.Error("a witness makes a code")
	}
	if err := w.UpdateMember(ctx, "w1", func(m *mfa.Member) error { m.Role = mfa.RoleWitness; return nil }); err != nil {
		t.Errorf("its own record: %v", err)
	}
	if err := w.RemoveMember(ctx, "n2"); err != nil {
		t.Errorf("take out a server: %v", err)
	}
	if err := s.Sync(ctx); err != nil || len(s.Members()) != 2 || s.CountUsers() != 1 {
		t.Errorf("elsewhere: %+v, %d users, %v", s.Members(), s.CountUsers(), err)
	}
}

// Whom a code admits as a witness gets no keyset, even if a server of that name had one.
func TestAdmitWitness(t *testing.T) {
	ctx := t.Context()
	kv := &storetest.Memory{}
	ring := newRing(t)
	own, err := keyring.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"n1", "w1"} {
		if err := store.PutKeyset(ctx, kv, name, own.Recipient(), ring.Keyset()); err != nil {
			t.Fatal(err)
		}
	}
	s := openNamed(t, kv, ring, own, "n1")
	code := store.JoinCode{ID: "0011223344556677", Role: mfa.RoleWitness, Expires: noon.Add(time.Hour), Secret: secret.FromString("x")}
	if err := s.CreateJoinCode(ctx, code); err != nil {
		t.Fatal(err)
	}
	if err := s.Admit(ctx, code.ID, mfa.Member{Name: "w1", Role: mfa.RoleWitness}, func(store.JoinCode, *mfa.Member) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := store.LoadKeyset(ctx, kv, "w1", own); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("keyset of the witness: %v", err)
	}
	witness, err := keyring.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.LoadKeyset(ctx, kv, "n1", witness); err == nil || errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("a server's keyset, opened with the key of a witness: %v", err)
	}
	if m, err := s.Member("w1"); err != nil || m.Role != mfa.RoleWitness {
		t.Errorf("record: %+v, %v", m, err)
	}
	if err := s.RotateKeys(ctx); err != nil {
		t.Fatal(err)
	}
	_, _ = kv.Scan(ctx, "", func(key string, _ []byte, _ int64) bool {
		if strings.HasPrefix(key, "k/keyset/") && key != "k/keyset/n1" {
			t.Errorf("after a rotation there is %s", key)
		}
		return true
	})
}
