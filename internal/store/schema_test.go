package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// admitting returns a store that can admit servers, and a function that makes a code.
func admitting(t *testing.T, kv store.KV) (*store.Store, func(n int) string) {
	t.Helper()
	own, err := keyring.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	ring := newRing(t)
	if err := store.PutKeyset(t.Context(), kv, "n1", own.Recipient(), ring.Keyset()); err != nil {
		t.Fatal(err)
	}
	s := openNamed(t, kv, ring, own, "n1")
	return s, func(n int) string {
		id := fmt.Sprintf("%016x", n)
		if err := s.CreateJoinCode(t.Context(), store.JoinCode{ID: id, Role: mfa.RoleWitness, Expires: noon.Add(time.Hour), Secret: secret.FromString("x")}); err != nil {
			t.Fatal(err)
		}
		return id
	}
}

func anybody(store.JoinCode, *mfa.Member) error { return nil }

// The schema rises once every server on record knows the next one, and is known to be
// there; afterwards nobody is admitted who does not know it, and nothing lowers it.
func TestRaiseSchema(t *testing.T) {
	ctx := t.Context()
	s, code := admitting(t, &storetest.Memory{})
	if g := s.GroupSchema(); g.Schema != 1 {
		t.Fatalf("a new group writes %+v", g)
	}
	next := store.GroupSchema{Schema: 2, Program: "v2", By: "n1", Since: noon}
	know := func(name string, schema int) {
		t.Helper()
		if err := s.UpdateMember(ctx, name, func(m *mfa.Member) error { m.Schema = schema; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(why string, names ...string) {
		t.Helper()
		if err := s.RaiseSchema(ctx, next, names); !errors.Is(err, mfa.ErrConflict) || s.GroupSchema().Schema != 1 {
			t.Errorf("%s: %v, now %+v", why, err, s.GroupSchema())
		}
	}
	know("n1", 2)
	know("n2", 1)
	refused("one server does not know it", "n1", "n2")
	know("n2", 2)
	refused("one server was not heard", "n1")
	know("n3", 0)
	refused("a server that never told", "n1", "n2", "n3")
	know("n3", 3)
	if err := s.RaiseSchema(ctx, next, []string{"n1", "n2", "n3"}); err != nil || s.GroupSchema() != next {
		t.Fatalf("raised: %v, %+v", err, s.GroupSchema())
	}
	if err := s.RaiseSchema(ctx, store.GroupSchema{Schema: 1}, []string{"n1", "n2", "n3"}); err != nil || s.GroupSchema() != next {
		t.Errorf("lowered: %v, %+v", err, s.GroupSchema())
	}
	id := code(1)
	err := s.Admit(ctx, id, mfa.Member{Name: "n4", Role: mfa.RoleWitness, Schema: 1, Version: "v1"}, anybody)
	if !errors.Is(err, mfa.ErrOutdated) || !strings.Contains(err.Error(), "version v1") || !strings.Contains(err.Error(), "install version v2") {
		t.Errorf("an old server is admitted, or not told why: %v", err)
	}
	if err := s.Admit(ctx, id, mfa.Member{Name: "n4", Role: mfa.RoleWitness, Schema: 2, Version: "v2"}, anybody); err != nil {
		t.Errorf("a new server, by the code that the old one did not use up: %v", err)
	}
	if g := s.GroupSchema(); g != next {
		t.Errorf("after an admission %+v", g)
	}
}

// An admission of an old server and the raise meet: never both take effect.
func TestAdmitWhileRaising(t *testing.T) {
	for n := range 30 {
		s, code := admitting(t, &storetest.Memory{})
		if err := s.UpdateMember(t.Context(), "n1", func(m *mfa.Member) error { m.Schema = 2; return nil }); err != nil {
			t.Fatal(err)
		}
		id := code(n)
		var wg sync.WaitGroup
		var admitted, raised error
		wg.Go(func() {
			admitted = s.Admit(t.Context(), id, mfa.Member{Name: "n2", Role: mfa.RoleWitness, Schema: 1}, anybody)
		})
		wg.Go(func() { raised = s.RaiseSchema(t.Context(), store.GroupSchema{Schema: 2}, []string{"n1"}) })
		wg.Wait()
		if (admitted == nil) == (raised == nil) {
			t.Fatalf("admission of an old server: %v; raise: %v", admitted, raised)
		}
	}
}

// A program that is too old for a record says which, and what to do; one of a program to
// come that has only more to say of the group's schema is understood.
func TestTooNew(t *testing.T) {
	kv := &storetest.Memory{}
	s := open(t, kv, newRing(t))
	put := func(key, value string) {
		t.Helper()
		if _, ok, err := kv.Commit(context.Background(), nil, map[string][]byte{key: []byte(value)}, nil); err != nil || !ok {
			t.Fatal(err)
		}
	}
	put("p/settings", fmt.Sprintf(`{"v":%d,"retain":1,"what_is_this":true}`, store.Schema+1))
	put("g/schema", fmt.Sprintf(`{"v":1,"schema":%d,"program":"v9","since":"2027-01-02T00:00:00Z","what_is_this":true}`, store.Schema+1))
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateSettings(t.Context(), nil); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("schema version %d", store.Schema+1)) {
		t.Errorf("a newer record: %v", err)
	}
	err := s.GroupSchema().Check(store.Schema, "v1")
	if !errors.Is(err, mfa.ErrOutdated) || !strings.Contains(err.Error(), "install version v9") || !strings.Contains(err.Error(), "2027-01-02") {
		t.Errorf("a newer group: %v", err)
	}
}
