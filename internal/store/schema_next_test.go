//go:build nextschema

package store_test

import (
	"bytes"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// The program that knows a later schema writes the present one until the group has the later.
func TestNextSchema(t *testing.T) {
	ctx := t.Context()
	kv := &storetest.Memory{}
	s := open(t, kv, newRing(t))
	of := func(id mfa.UserID) []byte {
		b, _, err := kv.Get(ctx, "u/"+string(id))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	u, err := s.CreateUser(ctx, mfa.User{Login: "alice"}, nil)
	if err != nil || !bytes.HasPrefix(of(u.ID), []byte(`{"v":1,`)) || bytes.Contains(of(u.ID), []byte("next")) {
		t.Fatalf("before: %s, %v", of(u.ID), err)
	}
	if err := s.RaiseSchema(ctx, store.GroupSchema{Schema: 2, Program: "v2"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Name = "Alice"; return nil }); err != nil {
		t.Fatal(err)
	}
	if b := of(u.ID); !bytes.HasPrefix(b, []byte(`{"v":2,`)) || !bytes.Contains(b, []byte(`"next":true`)) {
		t.Errorf("after: %s", b)
	}
	if a, err := s.Account(ctx, u.ID, true); err != nil || a.User.Name != "Alice" {
		t.Errorf("read back: %+v, %v", a.User, err)
	}
}
