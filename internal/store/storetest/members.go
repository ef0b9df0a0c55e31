package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/store"
)

func members(t *testing.T, r *rig) {
	ctx := t.Context()
	if got := r.Members(); len(got) != 0 {
		t.Errorf("a group without records has the members %+v", got)
	}
	_, err := r.Member("one")
	is(t, "member that is not there", err, mfa.ErrNotFound)
	set := func(peer string) error {
		return r.UpdateMember(ctx, "one", func(m *mfa.Member) error { m.Role, m.Peer = mfa.RoleServer, peer; return nil })
	}
	is(t, "first record", set("a:1"), nil)
	is(t, "change", set("b:1"), nil)
	is(t, "another name", r.UpdateMember(ctx, "one", func(m *mfa.Member) error { m.Name = "two"; return nil }), mfa.ErrInvalid)
	if m, err := r.Member("one"); err != nil || m.Peer != "b:1" || len(r.Members()) != 1 {
		t.Errorf("member one: %+v, %v", m, err)
	}

	// A code is kept sealed and is good for one server.
	word := secret.FromString("0123456789abcdef")
	code := func(id string, expires time.Time) {
		t.Helper()
		is(t, "create code", r.CreateJoinCode(ctx, store.JoinCode{ID: id, Role: mfa.RoleServer, Expires: expires, By: "root", Secret: word}), nil)
	}
	code("0011223344556677", noon.Add(time.Hour))
	if c, err := r.JoinCode(ctx, "0011223344556677"); err != nil || string(c.Secret.Expose()) != string(word.Expose()) || c.By != "root" || !c.Expires.Equal(noon.Add(time.Hour)) {
		t.Errorf("code: %+v, %v", c, err)
	}
	is(t, "the same code again", r.CreateJoinCode(ctx, store.JoinCode{ID: "0011223344556677", Secret: word}), mfa.ErrConflict)
	code("aa11223344556677", noon.Add(-time.Minute))
	code("bb11223344556677", noon.Add(time.Hour))
	_, err = r.JoinCode(ctx, "aa11223344556677")
	is(t, "an expired code after the next was made", err, mfa.ErrNotFound)

	refusal := errors.New("refused")
	admit := func(name, id string, check error) error {
		who, err := keyring.NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		return r.Admit(ctx, id, mfa.Member{Name: name, Role: mfa.RoleServer, Wrap: who.Recipient()}, func(store.JoinCode, *mfa.Member) error { return check })
	}
	is(t, "refused", admit("two", "bb11223344556677", refusal), refusal)
	is(t, "unknown code", admit("two", "cc11223344556677", nil), mfa.ErrNotFound)
	if _, err := r.JoinCode(ctx, "bb11223344556677"); err != nil {
		t.Errorf("a code that was refused is gone: %v", err)
	}
	var mu sync.Mutex
	won := 0
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			switch err := admit(fmt.Sprintf("srv%d", i), "bb11223344556677", nil); {
			case err == nil:
				mu.Lock()
				won++
				mu.Unlock()
			case !errors.Is(err, mfa.ErrNotFound) && !errors.Is(err, mfa.ErrConflict):
				t.Errorf("admit: %v", err)
			}
		})
	}
	wg.Wait()
	is(t, "sync", r.Sync(ctx), nil)
	if won != 1 || len(r.Members()) != 2 {
		t.Errorf("%d servers were admitted by one code; members %+v", won, r.Members())
	}
}

// admission and rotation at the same time: the new server gets every key.
func admitWhileRotating(t *testing.T, r *rig) {
	ctx := t.Context()
	ids := make([]keyring.Identity, 6)
	var wg sync.WaitGroup
	for i := range ids {
		code := fmt.Sprintf("%016x", i)
		is(t, "code", r.CreateJoinCode(ctx, store.JoinCode{ID: code, Role: mfa.RoleServer, Expires: noon.Add(time.Hour), Secret: secret.FromString("x")}), nil)
		ids[i], _ = keyring.NewIdentity()
	}
	again := func(what string, do func() error) {
		for {
			if err := do(); !errors.Is(err, mfa.ErrConflict) {
				is(t, what, err, nil)
				return
			}
		}
	}
	wg.Go(func() {
		for range 4 {
			again("rotate", func() error { return r.RotateKeys(ctx) })
		}
	})
	for i, id := range ids {
		wg.Go(func() {
			m := mfa.Member{Name: fmt.Sprintf("srv%d", i), Role: mfa.RoleServer, Wrap: id.Recipient()}
			again("admit", func() error {
				return r.Admit(ctx, fmt.Sprintf("%016x", i), m, func(store.JoinCode, *mfa.Member) error { return nil })
			})
		})
	}
	wg.Wait()
	is(t, "sync", r.Sync(ctx), nil)
	for i, id := range ids {
		k, err := store.LoadKeyset(ctx, r.kv, fmt.Sprintf("srv%d", i), id)
		is(t, "keyset", err, nil)
		if !k.Includes(r.ring.Keyset()) || len(k.Keys()) != 5 {
			t.Errorf("server %d lacks keys: it has %d of %d", i, len(k.Keys()), len(r.ring.Keyset().Keys()))
		}
	}
	// A server that was taken out is left out of the next rotation.
	is(t, "remove", r.RemoveMember(ctx, "srv0"), nil)
	is(t, "remove again", r.RemoveMember(ctx, "srv0"), mfa.ErrNotFound)
	is(t, "rotate", r.RotateKeys(ctx), nil)
	_, err := store.LoadKeyset(ctx, r.kv, "srv0", ids[0])
	is(t, "keyset of a removed server", err, mfa.ErrNotFound)
	if slices.ContainsFunc(r.Members(), func(m mfa.Member) bool { return m.Name == "srv0" }) {
		t.Error("a removed server is listed")
	}
}

func swaps(t *testing.T, r *rig) {
	ctx := t.Context()
	_, err := r.Swap(ctx)
	is(t, "none on its way", err, mfa.ErrNotFound)
	one := mfa.Swap{From: "n1", To: "n2", Epoch: 3, By: "root", Since: noon.Truncate(time.Second)}
	is(t, "end of none", r.EndSwap(ctx, one), nil)
	is(t, "begin", r.BeginSwap(ctx, one), nil)
	if got, err := r.Swap(ctx); err != nil || got != one {
		t.Errorf("recorded: %+v, %v", got, err)
	}
	is(t, "a second one", r.BeginSwap(ctx, mfa.Swap{From: "n1", To: "n3"}), mfa.ErrExists)
	other := one
	other.Since = other.Since.Add(time.Second)
	is(t, "end of another", r.EndSwap(ctx, other), nil)
	if _, err := r.Swap(ctx); err != nil {
		t.Errorf("the end of another one ended it: %v", err)
	}
	is(t, "end", r.EndSwap(ctx, one), nil)
	_, err = r.Swap(ctx)
	is(t, "after the end", err, mfa.ErrNotFound)
}
