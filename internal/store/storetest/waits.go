package storetest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// aWait is a wait of a user, opened at noon for a minute.
func aWait(user mfa.UserID, id byte) mfa.Wait {
	return mfa.Wait{ID: mfa.WaitID(strings.Repeat(string(id), 25) + "a"), User: user, Nonce: [16]byte{id}, Method: mfa.MethodPush, Application: "vpn",
		Leg: mfa.LegID{id}, Number: "42", Source: "10.1.1.1", Text: "Pay 10 EUR", Session: "s-1", Server: "one", Asked: noon, Expires: noon.Add(time.Minute),
		Until: noon.Add(2 * time.Minute), Epoch: 1}
}

func never(there mfa.Wait) (mfa.Wait, bool) { return there, false }

// waits: one wait for one intent, whatever server opens it; its first answer stands, and wakes
// whoever waits for it elsewhere.
func waits(t *testing.T, r *rig) {
	ctx := t.Context()
	u := r.user(t, "alice").ID
	other := join(t, r.kv, "two", r.ring.Keyset())
	first := aWait(u, 'b')
	w := first
	var wg sync.WaitGroup
	var mu sync.Mutex
	opened := 0
	for i := range 8 {
		wg.Go(func() {
			s := []*rig{r, other}[i%2]
			mine := first
			mine.Nonce = [16]byte{byte(i)}
			_, won, err := s.OpenWait(ctx, mine, func(there mfa.Wait) (mfa.Wait, bool) { return there, true })
			if err != nil {
				t.Errorf("open: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if won {
				opened++
				w = mine
			}
		})
	}
	wg.Wait()
	if opened != 1 {
		t.Fatalf("%d of 8 opened the wait, want 1", opened)
	}
	got, err := other.Wait(ctx, u, w.ID, true)
	if err != nil || got.Nonce != w.Nonce || got.Number != "42" || got.Text != w.Text || got.Application != "vpn" || !got.Expires.Equal(w.Expires) || got.Leg != w.Leg {
		t.Errorf("read at the other server: %+v, %v", got, err)
	}
	for _, held := range []struct {
		leg        mfa.LegID
		left, want bool
	}{{mfa.LegID{99}, true, false}, {w.Leg, true, true}, {w.Leg, false, false}} {
		if err := other.HoldWait(ctx, w, held.leg, held.left); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Wait(ctx, u, w.ID, true); err != nil || got.Left != held.want || got.Session != "s-1" {
			t.Errorf("leg %s says left %t: %+v, %v", held.leg, held.left, got, err)
		}
	}
	raw, _, err := r.kv.Get(ctx, "q/"+string(u)+"/"+string(w.ID))
	if err != nil || strings.Contains(string(raw), "Pay") || strings.Contains(string(raw), "10.1.1.1") || strings.Contains(string(raw), "vpn") {
		t.Errorf("not sealed: %s, %v", raw, err)
	}
	change := other.WaitChange(u)
	approve := mfa.WaitAnswer{Reason: mfa.OK, Credential: "device", At: noon}
	if _, taken, err := r.AnswerWait(ctx, u, w.ID, w.Nonce, approve); !taken || err != nil {
		t.Errorf("approve: %v, %v", taken, err)
	}
	select {
	case <-change:
	case <-ctx.Done():
		t.Fatal("the other server was not woken")
	}
	if _, taken, err := other.AnswerWait(ctx, u, w.ID, w.Nonce, mfa.WaitAnswer{Reason: mfa.OK, Credential: "other", At: noon}); taken || err != nil {
		t.Errorf("approve again: %v, %v", taken, err)
	}
	if got, taken, err := other.AnswerWait(ctx, u, w.ID, w.Nonce, mfa.WaitAnswer{Reason: mfa.RefusedByUser, Credential: "other", At: noon}); !taken || err != nil || got.Answer.Reason != mfa.RefusedByUser {
		t.Errorf("refuse: %+v, %v, %v", got.Answer, taken, err)
	}
	if _, taken, err := r.AnswerWait(ctx, u, w.ID, w.Nonce, approve); taken || err != nil {
		t.Errorf("approve what was refused: %v, %v", taken, err)
	}
	if _, _, err := r.AnswerWait(ctx, u, w.ID, [16]byte{99}, approve); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("another nonce: %v", err)
	}
	over := aWait(u, 'c')
	over.Expires, over.Until = noon.Add(-4*time.Minute), noon.Add(-3*time.Minute)
	if _, first, err := r.OpenWait(ctx, over, never); !first || err != nil {
		t.Fatal(first, err)
	}
	if _, taken, _ := r.AnswerWait(ctx, u, over.ID, over.Nonce, approve); taken {
		t.Error("an answer after the end is taken")
	}
	is(t, "sweep", r.SweepWaits(ctx), nil)
	is(t, "sync", other.Sync(ctx), nil)
	if list := other.Waits(u); len(list) != 1 || list[0].ID != w.ID {
		t.Errorf("after the sweep: %+v", list)
	}
	again := w
	again.Nonce = [16]byte{77}
	if got, first, err := other.OpenWait(ctx, again, never); !first || err != nil || got.Nonce != again.Nonce {
		t.Errorf("another one for the same intent: %v, %v", first, err)
	}
	if _, _, err := r.AnswerWait(ctx, u, w.ID, w.Nonce, approve); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("an answer to the one before: %v", err)
	}
}

// devices: a code makes one device, once; those that never come go.
func devices(t *testing.T, r *rig) {
	ctx := t.Context()
	u := r.user(t, "alice").ID
	add := func(id mfa.CredentialID, code string, expires time.Time) error {
		return r.AddDevice(ctx, mfa.Credential{ID: id, User: u, Method: mfa.MethodPush, Hold: mfa.CredentialUnproven, Created: noon, Expires: expires}, code, 2)
	}
	is(t, "add", add("aaaaaaaaaaaaaaaa", "code-one", noon.Add(time.Minute)), nil)
	is(t, "add another", add("bbbbbbbbbbbbbbbb", "code-two", noon.Add(-time.Second)), nil)
	is(t, "add a third, the second is over", add("cccccccccccccccc", "code-three", noon.Add(time.Minute)), nil)
	is(t, "add one too many", add("dddddddddddddddd", "code-four", noon.Add(time.Minute)), mfa.ErrInvalid)
	activate := func(code string) error {
		_, err := r.ActivateDevice(ctx, code, func(c *mfa.Credential) error {
			c.Hold, c.Label, c.Expires = mfa.ReasonNone, "phone", time.Time{}
			return nil
		})
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 4 {
		wg.Go(func() {
			err := activate("code-one")
			if err != nil && !errors.Is(err, mfa.ErrNotFound) {
				t.Errorf("activate: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			}
		})
	}
	wg.Wait()
	if made != 1 {
		t.Errorf("one code made %d devices", made)
	}
	for _, code := range []string{"code-two", "code-four", "nonsense", ""} {
		is(t, "activate by "+code, activate(code), mfa.ErrNotFound)
	}
	is(t, "sweep", r.SweepActivations(ctx), nil)
	is(t, "where it is reached", r.UpdateDevice(ctx, u, "aaaaaaaaaaaaaaaa", func(c *mfa.Credential) error { c.Label = "tablet"; return nil }), nil)
	a, err := r.Account(ctx, u, true)
	if err != nil {
		t.Fatal(err)
	}
	found := map[mfa.CredentialID]string{}
	for _, c := range a.Credentials {
		if c.Method == mfa.MethodPush {
			found[c.ID] = c.Label
		}
	}
	if len(found) != 2 || found["aaaaaaaaaaaaaaaa"] != "tablet" {
		t.Errorf("devices: %v", found)
	}
}
