package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// voided: what somebody had begun to enrol when they were kept out is void, then and afterwards,
// and what had served goes on.
func voided(t *testing.T, r *rig) {
	ctx := t.Context()
	u := r.user(t, "alice").ID
	now := func() time.Time { return noon.Add(time.Duration(r.late.Load())) }
	id := func(n int) mfa.CredentialID { return mfa.CredentialID("aaaaaaaaaaaaaaa" + string(rune('a'+n))) }
	code := func(n int) string { return "code-" + string(rune('a'+n)) }
	begin := func(n int) {
		t.Helper()
		is(t, "a code", r.AddDevice(ctx, mfa.Credential{ID: id(n), User: u, Method: mfa.MethodPush, Hold: mfa.CredentialUnproven, Created: now(), Expires: now().Add(time.Hour)}, code(n), 9), nil)
	}
	activate := func(n int) error {
		_, err := r.ActivateDevice(ctx, code(n), func(c *mfa.Credential) error {
			c.Hold, c.Expires = mfa.ReasonNone, time.Time{}
			return nil
		})
		return err
	}
	set := func(change func(*mfa.User)) {
		t.Helper()
		_, err := r.UpdateUser(ctx, u, func(u *mfa.User) error { change(u); return nil })
		is(t, "change the user", err, nil)
	}
	block := func(u *mfa.User) { u.Block = &mfa.Block{By: "root", Since: now()} }
	lift := func(u *mfa.User) { u.Block = nil }

	begin(0)
	is(t, "activate", activate(0), nil)
	begin(1)
	for _, c := range []mfa.Credential{
		{ID: id(10), Method: mfa.MethodSMS, Hold: mfa.CredentialUnproven},
		{ID: id(11), Method: mfa.MethodTAP, Uses: 1, Scope: []string{"portal"}, Why: mfa.InvitedBy + "link"},
		{ID: id(12), Method: mfa.MethodTAP, Uses: 1, Why: "lost token"},
		{ID: id(13), Method: mfa.MethodTOTP},
	} {
		c.User, c.Created = u, now()
		is(t, "add "+string(c.Method), r.AddCredential(ctx, c), nil)
	}
	r.late.Add(int64(time.Minute))
	set(block)
	a, err := r.Account(ctx, u, true)
	is(t, "account", err, nil)
	left := map[mfa.CredentialID]bool{}
	for _, c := range a.Credentials {
		left[c.ID] = true
	}
	if left[id(1)] || left[id(10)] || left[id(11)] || !left[id(0)] || !left[id(12)] || !left[id(13)] {
		t.Errorf("after the block: %v", left)
	}
	is(t, "activate while blocked", activate(1), mfa.ErrNotFound)
	begin(2)
	is(t, "a code of now, while blocked", activate(2), mfa.ErrNotFound)
	set(lift)
	is(t, "a code from before the block", activate(1), mfa.ErrNotFound)
	is(t, "a code from during the block, after it", activate(2), nil)

	begin(3)
	set(func(u *mfa.User) { u.State = mfa.StateDenied })
	set(func(u *mfa.User) { u.State = mfa.StateProtected })
	is(t, "a code from before the denial", activate(3), mfa.ErrNotFound)

	begin(4)
	is(t, "void", r.VoidEnrolments(ctx, u, time.Time{}), nil)
	is(t, "a voided code", activate(4), mfa.ErrNotFound)

	// A block that came about elsewhere, without taking the code along, and has lapsed.
	r.late.Add(int64(time.Minute))
	set(func(u *mfa.User) { u.Block = &mfa.Block{By: "root", Since: now(), Until: now().Add(time.Minute)} })
	r.late.Add(-int64(time.Minute))
	begin(6)
	r.late.Add(int64(3 * time.Minute))
	is(t, "a code older than a block that is over", activate(6), mfa.ErrNotFound)
	begin(7)
	is(t, "a code after it", activate(7), nil)
	raceWithBlock(t, r, u, id, begin, activate, block, lift)
}

// raceWithBlock: a device that is made while its user is blocked was made before, or is none.
func raceWithBlock(t *testing.T, r *rig, u mfa.UserID, id func(int) mfa.CredentialID, begin func(int), activate func(int) error, block, lift func(*mfa.User)) {
	ctx := context.WithoutCancel(t.Context())
	for n := 14; n < 18; n++ {
		begin(n)
		r.late.Add(int64(time.Second))
		var made error
		var wg sync.WaitGroup
		wg.Go(func() { made = activate(n) })
		_, err := r.UpdateUser(ctx, u, func(u *mfa.User) error { block(u); return nil })
		is(t, "block", err, nil)
		wg.Wait()
		a, err := r.Account(ctx, u, true)
		is(t, "account", err, nil)
		there := false
		for _, c := range a.Credentials {
			there = there || c.ID == id(n) && c.Hold == mfa.ReasonNone
		}
		if there != (made == nil) {
			t.Errorf("activated: %v, there: %t", made, there)
		}
		_, err = r.UpdateUser(ctx, u, func(u *mfa.User) error { lift(u); return nil })
		is(t, "lift", err, nil)
		if made != nil {
			is(t, "after the block", activate(n), mfa.ErrNotFound)
		}
	}
}
