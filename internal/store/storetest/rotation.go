package storetest

import (
	"context"
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

func rotation(t *testing.T, r *rig) {
	ctx := t.Context()
	other := join(t, r.kv, "two", r.ring.Keyset())
	var users []mfa.NewUser
	for i := range 200 {
		users = append(users, mfa.NewUser{User: mfa.User{Login: fmt.Sprintf("user%d", i), State: mfa.StateProtected}, Credentials: []mfa.Credential{totp()}})
	}
	if errs, err := r.CreateUsers(ctx, users); err != nil {
		t.Fatal(err, errs[0])
	}
	_, err := r.CreateDirectory(ctx, mfa.Directory{Name: "corp", BindPassword: secret.FromString("bind")})
	is(t, "directory", err, nil)
	_, err = r.CreateGateway(ctx, mfa.Gateway{Name: "relay", Password: secret.FromString("gateway word")})
	is(t, "gateway", err, nil)
	app, err := r.CreateApplication(ctx, mfa.Application{Name: "vpn", Secret: secret.FromString("radius")})
	is(t, "application", err, nil)
	_, err = r.PutSealed(ctx, "ca", 0, []byte("ca"))
	is(t, "blob", err, nil)
	kept := mfa.KeptRequest{Caller: [16]byte{1}, Key: [16]byte{2}, Server: "nyc1", Begun: noon, Expires: noon.Add(time.Hour)}
	_, err = r.BeginRequest(ctx, kept)
	is(t, "request", err, nil)
	kept.Answer = []byte(`{"login":"alice"}`)
	is(t, "its answer", r.EndRequest(ctx, kept), nil)
	before := r.ring.Keyset()

	is(t, "rotate", r.RotateKeys(ctx), nil)
	if now := r.ring.Keyset(); now.Primary() == before.Primary() || !now.Includes(before) || len(r.Keys()) != 2 {
		t.Fatalf("after rotation the keys are %+v", r.Keys())
	}
	if n, err := r.SealedUnderOldKeys(ctx); n != 405 || err != nil {
		t.Errorf("%d records under old keys (%v), want 405", n, err)
	}
	// Changes while it reseals, by both servers, some of which end it half way.
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 15 {
				s := []*rig{r, other}[j%2]
				id := users[(i*50+j*3)%200].User.ID
				for {
					_, err := s.UpdateUser(ctx, id, func(u *mfa.User) error { u.Tags = append(u.Tags, fmt.Sprint(i, j)); return nil })
					if !errors.Is(err, mfa.ErrConflict) {
						is(t, "update", err, nil)
						break
					}
				}
			}
		})
	}
	half, stop := context.WithCancel(ctx)
	err = r.Reseal(half, func(done, total int) {
		if done > 100 {
			stop()
		}
	})
	is(t, "interrupted", err, context.Canceled)
	// After a restart it goes on with what is left.
	again := reopen(t, r.kv, "two", other.id)
	last, sum := 0, 0
	for {
		n, err := again.SealedUnderOldKeys(ctx)
		is(t, "count", err, nil)
		if n == 0 {
			break
		}
		if n > 405-64 {
			t.Errorf("%d are left: it began from the start", n)
		}
		err = again.Reseal(ctx, func(done, total int) {
			if done > total || done < last {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last, sum = done, total
		})
		is(t, "reseal", err, nil)
		if last != sum {
			t.Errorf("ended at %d of %d", last, sum)
		}
		last = 0
	}
	wg.Wait()
	tags := 0
	for _, s := range []*rig{r, other, again} {
		is(t, "sync", s.Sync(ctx), nil)
		if got, err := s.Application(app.ID); err != nil || string(got.Secret.Expose()) != "radius" {
			t.Errorf("application after resealing: %v, %v", got, err)
		}
		if got, err := s.BeginRequest(ctx, kept); err != nil || got == nil || string(got.Answer) != string(kept.Answer) {
			t.Errorf("the answer of a request after resealing: %+v, %v", got, err)
		}
		if got, err := s.Directory("corp"); err != nil || string(got.BindPassword.Expose()) != "bind" {
			t.Errorf("directory after resealing: %v, %v", got, err)
		}
		if s.ring.Primary() != r.ring.Primary() {
			t.Error("the servers disagree on the primary key")
		}
	}
	for _, u := range users {
		a, err := other.Account(ctx, u.User.ID, false)
		if err != nil || len(a.Credentials) != 1 || a.Credentials[0].Secret.Len() != 20 {
			t.Fatalf("account after resealing: %+v, %v", a, err)
		}
		tags += len(a.User.Tags)
	}
	if tags != 60 {
		t.Errorf("%d of 60 changes made while resealing are there", tags)
	}
	if got, _, err := again.GetSealed(ctx, "ca"); err != nil || string(got.Expose()) != "ca" {
		t.Errorf("blob after resealing: %v", err)
	}
	nothingUnder(t, r.kv, before, r.ring.Keyset())
}

// resealedMeanwhile: what others write anew between the count and its turn is not to be done any
// more, and the progress ends with all of all.
func resealedMeanwhile(t *testing.T, r *rig) {
	ctx := t.Context()
	u := r.user(t, "carol").ID
	is(t, "rotate", r.RotateKeys(ctx), nil)
	calls, last, sum := 0, 0, 0
	err := r.Reseal(ctx, func(done, total int) {
		if calls++; calls == 1 {
			_, err := r.UpdateUser(ctx, u, func(u *mfa.User) error { u.Tags = []string{"west"}; return nil })
			is(t, "update", err, nil)
		}
		last, sum = done, total
	})
	is(t, "reseal", err, nil)
	if calls == 0 || last != sum {
		t.Errorf("ended at %d of %d", last, sum)
	}
}

// nothingUnder checks that what the new keyset sealed is closed to the old one: a store
// with the old keyset reads nobody.
func nothingUnder(t *testing.T, kv store.KV, old, now keyring.Keyset) {
	t.Helper()
	id, err := keyring.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutKeyset(t.Context(), kv, "stale", id.Recipient(), old); err != nil {
		t.Fatal(err)
	}
	stale := reopen(t, kv, "stale", id)
	err = stale.ListUsers(t.Context(), "", func(u mfa.User) bool { t.Errorf("the old keyset opens %s", u.Login); return false })
	is(t, "list with the old keyset", err, keyring.ErrUnknownKey)
	if len(stale.Applications()) != 0 || len(stale.Directories()) != 0 {
		t.Error("the old keyset opens applications or directories")
	}
	// A keyset that lacks keys in use is not taken over; the right one is, and opens them.
	foreign, err := keyring.New(nil, noon)
	is(t, "keyset", err, nil)
	for _, k := range []keyring.Keyset{foreign, now} {
		is(t, "put keyset", store.PutKeyset(t.Context(), kv, "stale", id.Recipient(), k), nil)
		is(t, "sync", stale.Sync(t.Context()), nil)
		if taken := stale.ring.Primary() == k.Primary(); taken != k.Includes(old) {
			t.Errorf("keyset taken over: %v", taken)
		}
	}
	if len(stale.Applications()) != 1 || len(stale.Directories()) != 1 {
		t.Error("the new keyset does not open what could not be opened before")
	}
}

func otherServer(t *testing.T, r *rig) {
	ctx := t.Context()
	u := r.user(t, "alice")
	other := join(t, r.kv, "two", r.ring.Keyset())
	want, err := r.Account(ctx, u.ID, false)
	is(t, "account", err, nil)
	got, err := other.Account(ctx, u.ID, false)
	is(t, "account at the other", err, nil)
	got.Whole = want.Whole // each server learns by itself how far its view has come
	same(t, "account at the other", got, want)

	// What one server does, the other sees once it has come up to that revision.
	rev, ok, err := r.Settle(ctx, want, nil, want.Record)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	is(t, "ready", other.Ready(ctx, rev), nil)
	if got, err = other.Account(ctx, u.ID, false); err != nil || got.RecordRev != rev {
		t.Errorf("record at %d, %v; want %d", got.RecordRev, err, rev)
	}
	// A rotation by one reaches the other, with all that is sealed afterwards.
	is(t, "rotate", other.RotateKeys(ctx), nil)
	v := other.user(t, "bob")
	is(t, "sync", r.Sync(ctx), nil)
	if a, err := r.Account(ctx, v.ID, false); err != nil || a.User.Login != "bob" || r.ring.Primary() != other.ring.Primary() {
		t.Errorf("sealed under the new key by the other: %+v, %v", a, err)
	}
	// A third start, from nothing but the database and the identity.
	third := reopen(t, r.kv, "one", r.id)
	var logins []string
	is(t, "list", third.ListUsers(ctx, "", func(u mfa.User) bool { logins = append(logins, u.Login); return true }), nil)
	slices.Sort(logins)
	if !slices.Equal(logins, []string{"alice", "bob"}) {
		t.Errorf("after a restart: %q", logins)
	}
	stranger, err := keyring.NewIdentity()
	is(t, "identity", err, nil)
	_, err = store.LoadKeyset(ctx, r.kv, "one", stranger)
	if err == nil {
		t.Error("another identity unwraps the keyset")
	}
	_, err = store.LoadKeyset(ctx, r.kv, "three", r.id)
	is(t, "keyset of a server that was not admitted", err, mfa.ErrNotFound)
}
