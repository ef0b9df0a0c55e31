package deviceapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// guessed counts a wrong number, as a server does.
func (s *one) guessed(ctx context.Context, user mfa.UserID) error {
	return s.db.UpdateRecord(ctx, user, func(r *settlement.Record) error {
		*r = r.Miss(noon, s.db.Settings().Second())
		return nil
	})
}

// asker puts a help desk's questions to devices, as a server does.
type asker struct{ s *one }

func (a asker) Ask(ctx context.Context, w mfa.Wait, creds []mfa.Credential) error {
	w.Epoch = 1
	if err := a.s.push.Admit(ctx, w); err != nil {
		return err
	}
	if _, _, err := a.s.db.OpenWait(ctx, w, func(there mfa.Wait) (mfa.Wait, bool) { return there, false }); err != nil {
		return err
	}
	return a.s.push.Reach(ctx, w, creds)
}

func (a asker) Wait(ctx context.Context, user mfa.UserID, id mfa.WaitID, fresh bool) (mfa.Wait, error) {
	return a.s.db.Wait(ctx, user, id, fresh)
}

// A help desk verifies a caller by their device: asked at one server, answered at the other. Each
// wrong number counts as a wrong second factor; who is locked by that verifies nobody, not with the
// right number either, and is asked no more. None of it lets anybody in.
func TestCallerByDevice(t *testing.T) {
	r := newRig(t)
	p := newPhone(r).activate("Phone")
	desk, other := r.all[0], r.all[1]
	ask := func() enroll.CallerCheck {
		t.Helper()
		q, err := desk.enroll.VerifyCaller(t.Context(), "helen", "alice", enroll.CallerRequest{Method: mfa.MethodPush})
		must(t, err)
		must(t, other.db.Sync(t.Context()))
		return q
	}
	check := func(q enroll.CallerCheck) error {
		_, err := desk.enroll.CheckCaller(t.Context(), "helen", "alice", enroll.CallerAnswer{Challenge: q.Challenge})
		return err
	}
	fails := func() int {
		a, err := desk.db.Account(t.Context(), r.user, true)
		must(t, err)
		return int(a.Record.Fails.N)
	}

	q := ask()
	list := p.pending(other)
	if len(list) != 1 || list[0]["application"] != "help desk" || list[0]["number"] != true || strings.Contains(list[0]["text"].(string), q.Number) {
		t.Fatalf("the device is shown %v", list)
	}
	if err := check(q); !errors.Is(err, mfa.ErrConflict) {
		t.Errorf("before the answer: %v", err)
	}
	if got := p.answer(other, list[0], "approve", q.Number); got != "accepted" {
		t.Fatalf("the right number: %s", got)
	}
	if err := check(q); err != nil || fails() != 0 {
		t.Errorf("the right number: %v, %d failures", err, fails())
	}

	if err := check(q); !errors.Is(err, mfa.ChallengeReplayed) {
		t.Errorf("heard once more: %v", err)
	}

	tries := desk.db.Settings().Tries
	var last enroll.CallerCheck
	for n := range tries {
		r.advance(desk.db.Settings().PromptGap.Duration())
		last = ask()
		right := last
		if n == tries-1 { // a second question, which stays open
			r.advance(desk.db.Settings().PromptGap.Duration())
			last = ask()
		}
		for _, q := range p.pending(other) {
			if q["id"] == right.Challenge {
				if got := p.answer(other, q, "approve", "00"); got != "wrong_number" {
					t.Fatalf("a wrong number: %s", got)
				}
			}
		}
		if err := check(right); !errors.Is(err, mfa.WrongNumber) || fails() != n+1 {
			t.Fatalf("wrong number %d: %v, %d failures", n+1, err, fails())
		}
	}
	for _, q := range p.pending(other) {
		p.answer(other, q, "approve", last.Number)
	}
	if err := check(last); !errors.Is(err, mfa.Locked) {
		t.Errorf("the right number, locked: %v", err)
	}
	if _, err := desk.enroll.VerifyCaller(t.Context(), "helen", "alice", enroll.CallerRequest{}); !errors.Is(err, mfa.Locked) || !strings.Contains(err.Error(), "user unlock") {
		t.Errorf("asked although locked: %v", err)
	}
	if d := r.ask(desk, r.leg("vpn", "10.1.1.1")); d.Reason != mfa.Locked {
		t.Errorf("a sign-in: %s %s", d.Verdict, d.Reason)
	}
}

// What a device has approved for a caller approves no sign-in, and an approved sign-in verifies no
// caller, whatever its client calls its session.
func TestCallerAndSignInAreApart(t *testing.T) {
	r := newRig(t)
	p := newPhone(r).activate("Phone")
	s := r.all[0]
	q := r.leg("vpn", "10.1.1.1")
	q.Session = mfa.SessionCaller
	d := r.ask(s, q)
	signIn := p.pending(s)[0]
	r.advance(s.db.Settings().PromptGap.Duration())
	caller, err := s.enroll.VerifyCaller(t.Context(), "helen", "alice", enroll.CallerRequest{Method: mfa.MethodPush})
	must(t, err)
	for _, one := range p.pending(s) {
		if one["id"] == caller.Challenge {
			if got := p.answer(s, one, "approve", caller.Number); got != "accepted" {
				t.Fatalf("the caller: %s", got)
			}
		}
	}
	if w, err := s.db.Wait(t.Context(), r.user, mfa.WaitID(signIn["id"].(string)), true); err != nil || w.Answer.Reason != mfa.ReasonNone {
		t.Errorf("the answer of a caller decided a sign-in: %s, %v", w.Answer.Reason, err)
	}
	if got := p.answer(s, signIn, "approve", d.Awaits.Number); got != "accepted" {
		t.Fatalf("the sign-in: %s", got)
	}
	if _, err := s.enroll.CheckCaller(t.Context(), "helen", "alice", enroll.CallerAnswer{Challenge: signIn["id"].(string)}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a sign-in verified a caller: %v", err)
	}
	if got := r.ask(s, r.then(q, d)); got.Verdict != mfa.Accept {
		t.Errorf("the sign-in: %s %s", got.Verdict, got.Reason)
	}
}

// Devices of who is blocked show no question: the help desk is told so, and not kept waiting.
func TestCallerWhoIsBlocked(t *testing.T) {
	r := newRig(t)
	newPhone(r).activate("Phone")
	_, err := r.all[0].admin.BlockUser(t.Context(), "root", "alice", admin.BlockRequest{Reason: "lost"})
	must(t, err)
	for _, m := range []mfa.MethodID{mfa.MethodPush, ""} {
		if _, err := r.all[0].enroll.VerifyCaller(t.Context(), "helen", "alice", enroll.CallerRequest{Method: m}); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("method %q: %v", m, err)
		}
	}
}
