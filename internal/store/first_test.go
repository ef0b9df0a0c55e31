package store_test

import (
	"context"
	"maps"
	"slices"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// conditions is a KV that remembers on which keys its last commit was conditional.
type conditions struct {
	store.KV
	last []string
}

func (c *conditions) Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (int64, bool, error) {
	c.last = slices.Sorted(maps.Keys(ifRev))
	return c.KV.Commit(ctx, ifRev, puts, deletes)
}

// forget takes a user's settlement record away: so older programs left a user who was new.
func forget(ctx context.Context, t interface{ Fatal(...any) }, kv store.KV, id mfa.UserID) {
	key := "s/" + string(id)
	_, rev, err := kv.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := kv.Commit(ctx, map[string]int64{key: rev}, nil, []string{key}); !ok || err != nil {
		t.Fatal(ok, err)
	}
}

func TestFirstSettlementIsConditionalOnOneKey(t *testing.T) {
	kv := &conditions{KV: &storetest.Memory{}}
	s := open(t, kv, newRing(t))
	p := people(3)
	for _, n := range []mfa.NewUser{p[0], p[1]} {
		if _, err := s.CreateUser(t.Context(), n.User, n.Credentials); err != nil {
			t.Fatal(err)
		}
	}
	if errs, err := s.CreateUsers(t.Context(), p[2:]); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	forget(t.Context(), t, kv, p[1].User.ID)
	for n, want := range []int{1, 3, 1} {
		id, cred := p[n].User.ID, p[n].Credentials[0].ID
		all := []string{"c/" + string(id) + "/" + string(cred), "s/" + string(id), "u/" + string(id)}
		if want == 1 {
			all = all[1:2]
		}
		for range 2 {
			if err := s.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			a, err := s.Account(t.Context(), id, false)
			if err != nil {
				t.Fatal(err)
			}
			next := a.Record.Clone()
			next.Legs = append(next.Legs, settlement.Leg{ID: mfa.LegID{1}, Attempt: mfa.AttemptID{1}, Reason: mfa.OK, Time: noon})
			if _, ok, err := s.Settle(t.Context(), a, []mfa.CredentialID{cred}, next); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if !slices.Equal(kv.last, all) {
				t.Errorf("user %d: settled on %q, want %q", n, kv.last, all)
			}
			all = []string{"s/" + string(id)} // from now on there is a record
		}
	}
}

// A user who is removed between the look at a code and its settlement is not let in, though
// nobody had ever settled anything for them.
func TestARemovedUserIsNotSettled(t *testing.T) {
	for _, older := range []bool{false, true} {
		kv := &storetest.Memory{}
		s := open(t, kv, newRing(t))
		p := people(1)[0]
		if _, err := s.CreateUser(t.Context(), p.User, p.Credentials); err != nil {
			t.Fatal(err)
		}
		if older {
			forget(t.Context(), t, kv, p.User.ID)
		}
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		a, err := s.Account(t.Context(), p.User.ID, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RemoveUser(t.Context(), p.User.ID); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Settle(t.Context(), a, []mfa.CredentialID{p.Credentials[0].ID}, a.Record); ok || err != nil {
			t.Errorf("older program %v: settled %v, %v", older, ok, err)
		}
		if _, rev, err := kv.Get(t.Context(), "s/"+string(p.User.ID)); rev != 0 || err != nil {
			t.Errorf("older program %v: a record of nobody at revision %d (%v)", older, rev, err)
		}
	}
}
