package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// sides are two epochs of one group that were written side by side: there is the one that
// ended, here the one that counts.
type sides struct {
	t           *testing.T
	thereKV     *storetest.Memory
	hereKV      *storetest.Memory
	there, here *store.Store
	at          int64 // the fork
	acts        []mfa.Act
}

// part lets before write the group's database, and then parts it.
func part(t *testing.T, before func(s *store.Store)) *sides {
	t.Helper()
	d := &sides{t: t, thereKV: &storetest.Memory{}}
	id, err := keyring.NewIdentity()
	must(t, err)
	ring := newRing(t)
	must(t, store.PutKeyset(t.Context(), d.thereKV, "nyc1", id.Recipient(), ring.Keyset()))
	d.there = openNamed(t, d.thereKV, keyring.NewRing(ring.Keyset()), id, "nyc1")
	before(d.there)
	d.hereKV, d.at = d.thereKV.Fork()
	d.here = openNamed(t, d.hereKV, keyring.NewRing(ring.Keyset()), id, "nyc1")
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *sides) rejoin() parking.Report {
	d.t.Helper()
	r, err := d.here.Rejoin(d.t.Context(), d.thereKV.Parked("0123456789abcdef"), store.Rejoin{Epoch: 1, Fork: d.at, Since: noon,
		Told: func(a mfa.Act) { d.acts = append(d.acts, a) }})
	must(d.t, err)
	must(d.t, d.here.Sync(d.t.Context()))
	return r
}

func (d *sides) listed() []parking.Change {
	d.t.Helper()
	list, err := d.here.ParkedChanges(d.t.Context())
	must(d.t, err)
	return list
}

func addUser(t testing.TB, s *store.Store, login string) mfa.User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), mfa.User{Login: login, State: mfa.StateProtected, Phone: "+15550100"}, nil)
	must(t, err)
	return u
}

func addTOTP(t testing.TB, s *store.Store, u mfa.User, seed string) mfa.Credential {
	t.Helper()
	c := mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: u.ID, Method: mfa.MethodTOTP, Secret: secret.FromString(seed),
		Algorithm: "SHA1", Digits: 6, Period: 30, Confirmed: noon, By: "root"}
	must(t, s.AddCredential(t.Context(), c))
	return c
}

// settle books a leg as the engine does.
func settle(t testing.TB, s *store.Store, user mfa.UserID, c settlement.Change) {
	t.Helper()
	if c.Time.IsZero() {
		c.Time = noon
	}
	copy(c.Attempt[:], c.Leg[:])
	must(t, s.UpdateRecord(t.Context(), user, func(r *settlement.Record) error {
		next, err := r.Apply(c, policy.Defaults().Second(), policy.Defaults().First())
		*r = next
		return err
	}))
}

func record(t testing.TB, s *store.Store, user mfa.UserID) settlement.Record {
	t.Helper()
	a, err := s.Account(t.Context(), user, true)
	must(t, err)
	return a.Record
}

func TestRejoinListsEveryWrite(t *testing.T) {
	d := part(t, func(s *store.Store) { addUser(t, s, "before") })
	logins := map[string]bool{}
	for i := range 50 {
		u := addUser(t, d.there, fmt.Sprintf("user%02d", i))
		if i%2 == 0 {
			addTOTP(t, d.there, u, fmt.Sprintf("seed of user number %02d", i))
		}
		logins[u.Login] = true
	}
	r := d.rejoin()
	list := d.listed()
	if r.Listed != 50 || len(list) != 50 || r.Finished.IsZero() {
		t.Fatalf("report %+v, %d listed, want 50", r, len(list))
	}
	for _, c := range list {
		if c.Kind != parking.User || c.What != parking.Added || c.Standing != parking.Waits || !logins[c.After.User.Login] || c.After.User.Phone != "+15550100" {
			t.Errorf("got %+v", c)
		}
		delete(logins, c.After.User.Login)
	}
	if n, err := d.here.CountParked(t.Context()); n != 50 || err != nil {
		t.Errorf("%d wait, %v, want 50", n, err)
	}
	if text := string(d.hereKV.Bytes()); strings.Contains(text, "seed of user") || strings.Contains(text, "+1555") || strings.Contains(text, "user07") {
		t.Error("the list shows a secret to a thief of the database")
	}
	for _, c := range list {
		_, err := d.here.ApplyParked(t.Context(), c.ID, false)
		must(t, err)
	}
	must(t, d.here.Sync(t.Context()))
	a, err := d.here.Account(t.Context(), list[0].After.User.ID, true)
	must(t, err)
	if d.here.CountUsers() != 51 || len(a.Credentials) != len(list[0].Credentials) || len(d.listed()) != 0 {
		t.Errorf("%d users, credentials %v, %d still listed", d.here.CountUsers(), a.Credentials, len(d.listed()))
	}
	if again := d.rejoin(); again.Listed != 50 || len(d.listed()) != 0 {
		t.Errorf("a second time: %+v, %d listed", again, len(d.listed()))
	}
}

// The copy of a voter that was killed can end before the fork. What it lacks it has not removed.
func TestRejoinOfACopyThatEndsEarly(t *testing.T) {
	early := &storetest.Memory{}
	var late mfa.User
	d := part(t, func(s *store.Store) {
		late = addUser(t, s, "late")
		addTOTP(t, s, late, "seed of the late user")
	})
	d.thereKV = early
	if r := d.rejoin(); len(r.Restricted) != 0 || r.Listed != 0 || r.Finished.IsZero() {
		t.Errorf("report %+v", r)
	}
	a, err := d.here.Account(t.Context(), late.ID, true)
	must(t, err)
	if a.User.Block != nil || len(a.Credentials) != 1 || a.Credentials[0].Disabled {
		t.Errorf("the late user: %+v", a)
	}
}

// What restricts holds at once, and needs nobody.
func TestRejoinRestricts(t *testing.T) {
	ctx := t.Context()
	var blocked, denied, removed, other mfa.User
	var disabled, taken, renamed mfa.Credential
	var token mfa.APIToken
	d := part(t, func(s *store.Store) {
		blocked, denied, removed, other = addUser(t, s, "blocked"), addUser(t, s, "denied"), addUser(t, s, "removed"), addUser(t, s, "other")
		disabled, taken, renamed = addTOTP(t, s, other, "one"), addTOTP(t, s, other, "two"), addTOTP(t, s, other, "three")
		var err error
		token, err = s.CreateAPIToken(ctx, mfa.APIToken{Name: "robot", Digest: [32]byte{1}})
		must(t, err)
	})
	_, err := d.there.UpdateUser(ctx, blocked.ID, func(u *mfa.User) error {
		u.Block = &mfa.Block{By: "root", Reason: "lost phone", Since: noon}
		return nil
	})
	must(t, err)
	_, err = d.there.UpdateUser(ctx, denied.ID, func(u *mfa.User) error { u.State = mfa.StateDenied; return nil })
	must(t, err)
	must(t, d.there.RemoveUser(ctx, removed.ID))
	_, err = d.there.UpdateCredential(ctx, other.ID, disabled.ID, func(c *mfa.Credential) error { c.Disabled = true; return nil })
	must(t, err)
	must(t, d.there.RemoveCredential(ctx, other.ID, taken.ID))
	_, err = d.there.UpdateCredential(ctx, other.ID, renamed.ID, func(c *mfa.Credential) error { c.Label = "new phone"; return nil })
	must(t, err)
	must(t, d.there.RemoveAPIToken(ctx, token.ID))

	r := d.rejoin()
	for _, u := range []mfa.User{blocked, denied, removed} {
		a, err := d.here.Account(ctx, u.ID, true)
		if must(t, err); !a.User.BlockedAt(noon) {
			t.Errorf("%s is not blocked", u.Login)
		}
	}
	a, err := d.here.Account(ctx, other.ID, true)
	must(t, err)
	for _, c := range a.Credentials {
		if want := c.ID != renamed.ID; c.Disabled != want {
			t.Errorf("credential %s: disabled %t, want %t", c.ID, c.Disabled, want)
		}
	}
	if len(d.here.APITokens()) != 0 || len(r.Restricted) != 6 || len(d.acts) != 6 {
		t.Errorf("tokens %v, restricted %q, %d acts, want none, 6 and 6", d.here.APITokens(), r.Restricted, len(d.acts))
	}
	for _, login := range []string{blocked.Login, denied.Login, removed.Login} {
		if said := fmt.Sprintf("user %q (", login); !slices.ContainsFunc(r.Restricted, func(w string) bool { return strings.HasPrefix(w, said) }) {
			t.Errorf("restricted %q: nothing names %s", r.Restricted, login)
		}
	}
	var what []string
	for _, c := range d.listed() {
		what = append(what, string(c.Kind)+" "+c.What)
		if c.Standing != parking.Waits {
			t.Errorf("%s %s %s: standing %d, want it to wait", c.Kind, c.What, c.Object, c.Standing)
		}
	}
	if slices.Sort(what); !slices.Equal(what, []string{"credential changed", "credential removed", "user changed", "user removed"}) {
		t.Errorf("listed %q", what)
	}
	// Discarded, a removal keeps nobody out any more; what was meant to keep out does.
	for _, c := range d.listed() {
		_, err := d.here.DiscardParked(ctx, c.ID)
		must(t, err)
	}
	for _, u := range []mfa.User{blocked, denied, removed} {
		a, err := d.here.Account(ctx, u.ID, true)
		if must(t, err); a.User.BlockedAt(noon) != (u.ID == blocked.ID) {
			t.Errorf("%s: block %+v", u.Login, a.User.Block)
		}
	}
	a, err = d.here.Account(ctx, other.ID, true)
	must(t, err)
	for _, c := range a.Credentials {
		if c.Disabled != (c.ID == disabled.ID) {
			t.Errorf("credential %s: disabled %t", c.ID, c.Disabled)
		}
	}
}

// Who was denied on both sides needs no block that stands for it: nothing would be listed with which
// it could end. A block of there holds beside it.
func TestRejoinDeniedOnBothSides(t *testing.T) {
	var u mfa.User
	d := part(t, func(s *store.Store) { u = addUser(t, s, "alice") })
	deny := func(s *store.Store, b *mfa.Block) {
		_, err := s.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error { u.State, u.Block = mfa.StateDenied, b; return nil })
		must(t, err)
	}
	end := noon.Add(3 * time.Hour)
	deny(d.there, &mfa.Block{By: "root", Since: noon, Until: end, Reason: "lost phone"})
	deny(d.here, nil)
	d.rejoin()
	a, err := d.here.Account(t.Context(), u.ID, true)
	must(t, err)
	if b := a.User.Block; b == nil || !b.Until.Equal(end) || b.Reason != "lost phone" {
		t.Errorf("block %+v, want the one of there", b)
	}
	if list := d.listed(); len(list) != 0 {
		t.Errorf("listed: %+v", list)
	}
}

func TestRejoinSettlements(t *testing.T) {
	var u mfa.User
	var c mfa.Credential
	d := part(t, func(s *store.Store) {
		u = addUser(t, s, "alice")
		c = addTOTP(t, s, u, "seed")
		settle(t, s, u.ID, settlement.Change{Leg: mfa.LegID{1}, Reason: mfa.OK, Credential: c.ID, Floor: mfa.Floor{Next: 10}, Clear: true})
	})
	settle(t, d.there, u.ID, settlement.Change{Leg: mfa.LegID{2}, Reason: mfa.OK, Credential: c.ID, Floor: mfa.Floor{Next: 21}, Clear: true})
	settle(t, d.there, u.ID, settlement.Change{Leg: mfa.LegID{3}, Reason: mfa.WrongCode, Fail: true, Nonce: settlement.Nonce{ID: 7, Until: noon.Add(time.Minute)}})
	settle(t, d.here, u.ID, settlement.Change{Leg: mfa.LegID{4}, Reason: mfa.OK, Credential: c.ID, Floor: mfa.Floor{Next: 21}, Clear: true})
	settle(t, d.here, u.ID, settlement.Change{Leg: mfa.LegID{5}, Reason: mfa.WrongCode, Fail: true})
	for range 2 {
		r := d.rejoin()
		got := record(t, d.here, u.ID)
		if got.Floors.Of(c.ID).Next != 21 || got.Fails.N != 2 || !got.Spent(7) || r.Records != 1 || r.Twice != 1 || r.Listed != 0 {
			t.Errorf("got %+v, report %+v", got, r)
		}
	}
	if len(d.acts) != 1 || d.acts[0].Verb != "used_on_both_sides" || d.acts[0].Object != string(u.ID) || !strings.Contains(d.acts[0].Detail, `user "alice"`) {
		t.Errorf("acts %+v", d.acts)
	}
}

// A credential that came on the other side keeps its used codes used when it is applied.
func TestRejoinKeepsFloorsOfWhatIsApplied(t *testing.T) {
	var u mfa.User
	d := part(t, func(s *store.Store) { u = addUser(t, s, "alice") })
	c := addTOTP(t, d.there, u, "seed")
	settle(t, d.there, u.ID, settlement.Change{Leg: mfa.LegID{2}, Reason: mfa.OK, Credential: c.ID, Floor: mfa.Floor{Next: 21}, Clear: true})
	codes := mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: u.ID, Method: mfa.MethodRecovery, Secret: secret.FromString("digests"), Uses: 8}
	must(t, d.there.AddCredential(t.Context(), codes))
	settle(t, d.there, u.ID, settlement.Change{Leg: mfa.LegID{3}, Reason: mfa.OK, Credential: codes.ID, Floor: mfa.Floor{Spent: 5}, Clear: true})
	d.rejoin()
	for _, c := range d.listed() {
		_, err := d.here.ApplyParked(t.Context(), c.ID, false)
		must(t, err)
	}
	got := record(t, d.here, u.ID)
	if got.Floors.Of(c.ID).Next != 21 || got.Floors.Of(codes.ID).Spent != 5 {
		t.Errorf("floors %+v", got.Floors)
	}
}

func TestRejoinConflict(t *testing.T) {
	ctx := t.Context()
	var u mfa.User
	d := part(t, func(s *store.Store) { u = addUser(t, s, "alice") })
	phone := func(s *store.Store, number string) {
		_, err := s.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Phone = number; return nil })
		must(t, err)
	}
	phone(d.there, "+15550111")
	phone(d.here, "+15550122")
	_, err := d.here.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Block = &mfa.Block{By: "root", Since: noon}; return nil })
	must(t, err)
	d.rejoin()
	list := d.listed()
	if len(list) != 1 || list[0].Standing != parking.Conflict {
		t.Fatalf("got %+v, want one conflict", list)
	}
	if _, err := d.here.ApplyParked(ctx, list[0].ID, false); !errors.Is(err, mfa.ErrConflict) {
		t.Errorf("applied without force: %v", err)
	}
	_, err = d.here.ApplyParked(ctx, list[0].ID, true)
	must(t, err)
	a, err := d.here.Account(ctx, u.ID, true)
	if must(t, err); a.User.Phone != "+15550111" || !a.User.BlockedAt(noon) {
		t.Errorf("got %+v, want the parked phone and the block of now", a.User)
	}
	if len(d.listed()) != 0 {
		t.Error("it is still listed")
	}
}

// The history is gone and the fork unknown: everything that differs is told, as a conflict.
func TestRejoinWithoutHistory(t *testing.T) {
	ctx := t.Context()
	var u, gone mfa.User
	d := part(t, func(s *store.Store) {
		u, gone = addUser(t, s, "alice"), addUser(t, s, "gone")
	})
	_, err := d.there.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Name = "Alice There"; return nil })
	must(t, err)
	addUser(t, d.there, "new")
	must(t, d.there.RemoveUser(ctx, gone.ID))
	d.thereKV.Compact()
	t.Run("known fork", func(t *testing.T) {
		d.rejoin()
		var what []string
		for _, c := range d.listed() {
			what = append(what, c.What)
			if c.Standing != parking.Waits {
				t.Errorf("%s: %+v", c.What, c)
			}
		}
		if slices.Sort(what); !slices.Equal(what, []string{"added", "changed", "removed"}) {
			t.Errorf("got %q", what)
		}
	})
	t.Run("unknown fork", func(t *testing.T) {
		_, err := d.here.Rejoin(ctx, d.thereKV.Parked("fedcba9876543210"), store.Rejoin{Epoch: 1})
		must(t, err)
		n := 0
		for _, c := range d.listed() {
			if c.ClusterID == "fedcba9876543210" {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d listed, want what was added and what differs", n)
		}
	})
}

// Whatever commit is lost on the way, going on takes over each thing once.
func TestRejoinGoesOn(t *testing.T) {
	for lost := range 12 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			var users []mfa.User
			d := part(t, func(s *store.Store) {
				for i := range 70 { // three batches
					users = append(users, addUser(t, s, fmt.Sprintf("u%d", i)))
				}
			})
			for i, u := range users {
				settle(t, d.there, u.ID, settlement.Change{Leg: mfa.LegID{byte(i), 1}, Reason: mfa.WrongCode, Fail: true})
			}
			for _, u := range users[:5] {
				_, err := d.there.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error { u.Name = "N"; return nil })
				must(t, err)
			}
			n := 0
			ctx, stop := context.WithCancel(t.Context())
			d.hereKV.Fault = func(map[string][]byte, []string) storetest.Fault {
				if n++; n == lost+1 {
					stop() // as a crash: nobody hears of it
					return storetest.LostAfter
				}
				return storetest.None
			}
			_, err := d.here.Rejoin(ctx, d.thereKV.Parked("0123456789abcdef"), store.Rejoin{Epoch: 1, Fork: d.at})
			d.hereKV.Fault = nil
			if err == nil && n > lost {
				t.Log("it was over before")
			}
			r := d.rejoin()
			for _, u := range users {
				if got := record(t, d.here, u.ID); got.Fails.N != 1 {
					t.Fatalf("%s: %d failures, want 1", u.Login, got.Fails.N)
				}
			}
			if r.Records != 70 || r.Listed != 5 || len(d.listed()) != 5 {
				t.Errorf("report %+v, %d listed", r, len(d.listed()))
			}
		})
	}
}

// Two servers come back with a copy of the same epoch.
func TestRejoinTwoCopies(t *testing.T) {
	ctx := t.Context()
	var u mfa.User
	d := part(t, func(s *store.Store) { u = addUser(t, s, "alice") })
	settle(t, d.there, u.ID, settlement.Change{Leg: mfa.LegID{1}, Reason: mfa.WrongCode, Fail: true})
	addUser(t, d.there, "one")
	d.rejoin()
	for _, c := range d.listed() {
		_, err := d.here.DiscardParked(ctx, c.ID)
		must(t, err)
	}
	addUser(t, d.there, "two") // the other server's copy reaches further
	settle(t, d.there, u.ID, settlement.Change{Leg: mfa.LegID{2}, Reason: mfa.WrongCode, Fail: true})
	d.rejoin()
	list := d.listed()
	if len(list) != 1 || list[0].After.User.Login != "two" {
		t.Errorf("listed %+v, want only what the first copy lacked", list)
	}
	if got := record(t, d.here, u.ID); got.Fails.N != 2 {
		t.Errorf("%d failures, want 2", got.Fails.N)
	}
}

// Keys that were rotated on the other side open what was written there.
func TestRejoinAfterRotation(t *testing.T) {
	var u mfa.User
	d := part(t, func(s *store.Store) { u = addUser(t, s, "alice") })
	must(t, d.there.RotateKeys(t.Context()))
	must(t, d.there.Sync(t.Context()))
	must(t, d.there.Reseal(t.Context(), nil))
	addTOTP(t, d.there, u, "seed")
	r := d.rejoin()
	list := d.listed()
	if len(list) != 1 || list[0].Kind != parking.Credential || r.Unreadable != 0 {
		t.Fatalf("listed %+v, report %+v, want the credential alone", list, r)
	}
	_, err := d.here.ApplyParked(t.Context(), list[0].ID, false)
	must(t, err)
	a, err := d.here.Account(t.Context(), u.ID, true)
	if must(t, err); len(a.Credentials) != 1 || string(a.Credentials[0].Secret.Expose()) != "seed" {
		t.Errorf("got %+v", a.Credentials)
	}
}

// A key that was given again in the new epoch, while the old one went on using it, gets what
// was used there, whoever has it now.
func TestRejoinKeyGivenAgain(t *testing.T) {
	ctx := t.Context()
	token := func(u mfa.User, seed string) mfa.Credential {
		return mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: u.ID, Method: mfa.MethodHOTP, Secret: secret.FromString(seed), Algorithm: "SHA1", Digits: 6, By: "root"}
	}
	var u mfa.User
	var taken, stays mfa.Credential
	d := part(t, func(s *store.Store) {
		u = addUser(t, s, "alice")
		taken, stays = token(u, "seed of a token"), token(u, "seed of one that stays")
		must(t, s.AddCredential(ctx, taken))
		must(t, s.AddCredential(ctx, stays))
		settle(t, s, u.ID, settlement.Change{Reason: mfa.OK, Credential: taken.ID, Floor: mfa.Floor{Next: 5}, Leg: mfa.LegID{1}})
	})
	settle(t, d.there, u.ID, settlement.Change{Reason: mfa.OK, Credential: taken.ID, Floor: mfa.Floor{Next: 9}, Leg: mfa.LegID{2}})
	late := addUser(t, d.there, "late")
	given := token(late, "seed of a token of which the new epoch knows nothing")
	must(t, d.there.AddCredential(ctx, given))
	settle(t, d.there, late.ID, settlement.Change{Reason: mfa.OK, Credential: given.ID, Floor: mfa.Floor{Next: 4}, Leg: mfa.LegID{3}})

	must(t, d.here.RemoveCredential(ctx, u.ID, taken.ID))
	again, other := token(u, "seed of a token"), addUser(t, d.here, "bob")
	must(t, d.here.AddCredential(ctx, again))
	handed := token(other, "seed of a token of which the new epoch knows nothing")
	must(t, d.here.AddCredential(ctx, handed))
	if got := record(t, d.here, u.ID).Floors.Of(again.ID).Next; got != 5 {
		t.Fatalf("floor %d before the copy is read, want 5", got)
	}
	must(t, d.here.Sync(ctx))
	d.rejoin()
	for _, want := range []struct {
		user  mfa.UserID
		cred  mfa.CredentialID
		floor uint64
	}{{u.ID, again.ID, 9}, {other.ID, handed.ID, 4}, {u.ID, stays.ID, 0}} {
		if got := record(t, d.here, want.user).Floors.Of(want.cred).Next; got != want.floor {
			t.Errorf("floor %d of a key that was used in both epochs, want %d", got, want.floor)
		}
	}
}

// Who was blocked for a while here and removed there is blocked for good until somebody
// decides; if that is against the removal, the block from here is what it was.
func TestDiscardedRemovalKeepsTheBlock(t *testing.T) {
	ctx := t.Context()
	var early, late, free mfa.User
	until := noon.Add(48 * time.Hour)
	block := func(s *store.Store, u mfa.User) {
		_, err := s.UpdateUser(ctx, u.ID, func(u *mfa.User) error {
			u.Block = &mfa.Block{By: "root", Reason: "lost phone", Since: noon, Until: until}
			return nil
		})
		must(t, err)
	}
	d := part(t, func(s *store.Store) {
		early, late, free = addUser(t, s, "early"), addUser(t, s, "late"), addUser(t, s, "free")
		block(s, early)
	})
	block(d.here, late)
	for _, u := range []mfa.User{early, late, free} {
		must(t, d.there.RemoveUser(ctx, u.ID))
	}
	for range 2 { // the second copy of the same epoch changes nothing
		d.rejoin()
	}
	for _, u := range []mfa.User{early, late, free} {
		a, err := d.here.Account(ctx, u.ID, true)
		if must(t, err); a.User.Block == nil || !a.User.Block.Until.IsZero() {
			t.Errorf("%s, removed there: block %+v, want one for good", u.Login, a.User.Block)
		}
	}
	for _, c := range d.listed() {
		_, err := d.here.DiscardParked(ctx, c.ID)
		must(t, err)
	}
	for _, u := range []mfa.User{early, late, free} {
		a, err := d.here.Account(ctx, u.ID, true)
		must(t, err)
		if b := a.User.Block; u.ID == free.ID && b != nil || u.ID != free.ID && (b == nil || !b.Until.Equal(until) || b.Reason != "lost phone") {
			t.Errorf("%s after the removal was discarded: block %+v", u.Login, b)
		}
	}
}
