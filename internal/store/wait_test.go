package store_test

import (
	"context"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// Without a master a server keeps questions and answers by itself; a refusal is brought into the
// database as soon as there is one again, and stands there.
func TestWaitsWithoutAMaster(t *testing.T) {
	kv, ring := &storetest.Memory{}, newRing(t)
	ctx, stop := context.WithCancel(t.Context())
	s, done := start(t, ctx, kv, ring, store.Options{Server: "test", Group: func() bool { return true }})
	t.Cleanup(func() { stop(); <-done })
	other := open(t, kv, ring)
	u, err := s.CreateUser(ctx, mfa.User{Login: "alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Touch(ctx, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	wait := func(id mfa.WaitID) mfa.Wait {
		return mfa.Wait{ID: id, User: u.ID, Nonce: [16]byte{id[0]}, Method: mfa.MethodPush, Asked: noon, Expires: noon.Add(time.Minute), Until: noon.Add(2 * time.Minute), Epoch: 1}
	}
	never := func(there mfa.Wait) (mfa.Wait, bool) { return there, false }
	before, alone := wait("bbbbbbbbbbbbbbbbbbbbbbbbba"), wait("ccccccccccccccccccccccccca")
	if _, opened, err := s.OpenWait(ctx, before, never); !opened || err != nil {
		t.Fatal(opened, err)
	}
	kv.Offline(true)
	if err := s.Touch(ctx, 10*time.Millisecond); err == nil {
		t.Fatal("in contact with nobody")
	}
	change := s.WaitChange(u.ID)
	answer := func(s *store.Store, w mfa.Wait, why mfa.Reason) bool {
		_, taken, err := s.AnswerWait(ctx, u.ID, w.ID, w.Nonce, mfa.WaitAnswer{Reason: why, Credential: "device", At: noon})
		if err != nil {
			t.Errorf("answer %s: %v", why, err)
		}
		return taken
	}
	if !answer(s, before, mfa.RefusedByUser) || answer(s, before, mfa.OK) {
		t.Error("alone, the refusal does not stand")
	}
	select {
	case <-change:
	default:
		t.Error("nobody is told of the refusal")
	}
	if _, opened, err := s.OpenWait(ctx, alone, never); !opened || err != nil {
		t.Errorf("a question alone: %v, %v", opened, err)
	}
	if w, err := s.Wait(ctx, u.ID, alone.ID, true); err != nil || w.Nonce != alone.Nonce || len(s.Waits(u.ID)) != 2 {
		t.Errorf("it is not found here: %+v, %v", w, err)
	}
	kv.Offline(false)
	for {
		change := other.WaitChange(u.ID)
		a, errA := other.Wait(ctx, u.ID, before.ID, true)
		b, errB := other.Wait(ctx, u.ID, alone.ID, true)
		if errA == nil && errB == nil && a.Answer.Reason == mfa.RefusedByUser && b.Nonce == alone.Nonce {
			break
		}
		select {
		case <-change:
		case <-ctx.Done():
			t.Fatal("what was kept alone never came to the others")
		}
	}
	if answer(other, before, mfa.OK) {
		t.Error("what was refused alone is approved elsewhere")
	}
}
