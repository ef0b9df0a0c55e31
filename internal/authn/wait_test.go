package authn_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/authn"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// memWaits is what all servers of a group see of waits.
type memWaits struct {
	mu   sync.Mutex
	all  map[mfa.WaitID]mfa.Wait
	wake chan struct{}
	last mfa.WaitID // opened
}

func (m *memWaits) changed() {
	if m.wake != nil {
		close(m.wake)
		m.wake = nil
	}
}

func (m *memWaits) OpenWait(_ context.Context, w mfa.Wait, join func(mfa.Wait) (mfa.Wait, bool)) (mfa.Wait, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, ok := m.all[w.ID]; ok {
		if joined, ok := join(there); ok {
			m.all[w.ID] = joined
			m.changed()
			return joined, false, nil
		}
	}
	if m.all == nil {
		m.all = map[mfa.WaitID]mfa.Wait{}
	}
	m.all[w.ID], m.last = w, w.ID
	m.changed()
	return w, true, nil
}

func (m *memWaits) Wait(_ context.Context, _ mfa.UserID, id mfa.WaitID, _ bool) (mfa.Wait, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w, ok := m.all[id]; ok {
		return w, nil
	}
	return mfa.Wait{}, mfa.ErrNotFound
}

func (m *memWaits) AnswerWait(_ context.Context, _ mfa.UserID, id mfa.WaitID, nonce [16]byte, a mfa.WaitAnswer) (mfa.Wait, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, ok := m.all[id]
	if !ok || w.Nonce != nonce {
		return w, false, mfa.ErrNotFound
	}
	next, taken := w.After(a)
	m.all[id] = next
	m.changed()
	return next, taken, nil
}

func (m *memWaits) HoldWait(_ context.Context, w mfa.Wait, leg mfa.LegID, left bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there := m.all[w.ID]; there.Nonce == w.Nonce && there.Leg == leg && there.Left != left {
		there.Left = left
		m.all[w.ID] = there
		m.changed()
	}
	return nil
}

func (m *memWaits) WaitChange(mfa.UserID) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wake == nil {
		m.wake = make(chan struct{})
	}
	return m.wake
}

// knock is a method that waits: a person hears a knock and answers by answer.
type knock struct {
	mu       sync.Mutex
	admitted int
	reached  []mfa.Wait
	refuse   error
}

func (k *knock) ID() mfa.MethodID { return mfa.MethodPush }
func (k *knock) Needs() mfa.Caps  { return mfa.CanPrompt }
func (k *knock) Begin(_ context.Context, a mfa.Ask, _ mfa.Credential) (mfa.Step, error) {
	return mfa.Step{Prompt: "Enter " + a.Number + " on your device"}, nil
}

func (k *knock) Finish(context.Context, mfa.Credential, mfa.Floor, mfa.Step, secret.Text) (mfa.Proof, error) {
	return mfa.Proof{}, mfa.WrongCode
}

func (k *knock) Admit(context.Context, mfa.Wait) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.admitted++
	return nil
}

func (k *knock) Reach(_ context.Context, w mfa.Wait, _ []mfa.Credential) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reached = append(k.reached, w)
	return k.refuse
}

func (k *knock) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.reached)
}

var _ authn.Waiter = (*knock)(nil)

// answer is what the person says to the last knock.
func (g *rig) answer(t *testing.T, why mfa.Reason) bool {
	t.Helper()
	g.waits.mu.Lock()
	w := g.waits.all[g.waits.last]
	g.waits.mu.Unlock()
	_, taken, err := g.waits.AnswerWait(t.Context(), "alice", w.ID, w.Nonce, mfa.WaitAnswer{Reason: why, Credential: "device", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

// newKnock is a group whose alice has a device and, behind it, a token. Its clock is the
// bubble's.
func newKnock(t *testing.T, way mfa.Waiting) (*rig, *knock) {
	t.Helper()
	g, k := newRig(t), &knock{}
	g.live, g.more = true, []authn.Method{k}
	g.settings.Wait = 60
	app := g.store.apps["vpn"]
	app.Waiting, app.Passcode = way, mfa.PasscodePrompt
	app.Methods = []mfa.MethodID{mfa.MethodPush, mfa.MethodHOTP}
	g.store.apps["vpn"] = app
	g.store.change("alice", func(a *settlement.Account) {
		a.Credentials = append(a.Credentials, mfa.Credential{ID: "device", User: "alice", Method: mfa.MethodPush})
	})
	return g, k
}

func leg(n byte) mfa.LegID { return mfa.LegID{n} }

// station is a first leg of alice at her own station, over a NAS.
func station(n byte) mfa.Request {
	r := firstLeg("vpn", "alice", "right")
	r.Leg, r.Source, r.Peer, r.Patient = leg(n), "10.1.1.1", netip.MustParseAddrPort("192.0.2.1:1000"), true
	return r
}

type outcome struct {
	d   mfa.Decision
	err error
}

// later decides a leg in the background.
func later(ctx context.Context, e *authn.Engine, r mfa.Request) <-chan outcome {
	c := make(chan outcome, 1)
	go func() {
		d, err := e.Authenticate(ctx, r)
		c <- outcome{d, err}
	}()
	return c
}

func want(t *testing.T, what string, o outcome, v mfa.Verdict, why mfa.Reason) {
	t.Helper()
	if o.err != nil || o.d.Verdict != v || o.d.Reason != why {
		t.Errorf("%s: %s %s, %v; want %s %s", what, o.d.Verdict, o.d.Reason, o.err, v, why)
	}
}

func TestWaitPrompts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitPrompt)
		one, two := g.engine(), g.engine()
		d := ask(t, one, station(1))
		if d.Verdict != mfa.Challenge || d.Awaits == nil || len(d.Awaits.Number) != 2 || !strings.Contains(d.Message, d.Awaits.Number) || !strings.Contains(d.Message, "other") {
			t.Fatalf("first leg: %+v", d)
		}
		// Asked again before there is an answer: the other server waits, and asks the same again.
		again := ask(t, two, answerTo("vpn", "alice", d, ""))
		if again.Verdict != mfa.Challenge || again.Awaits.Number != d.Awaits.Number || !strings.HasPrefix(again.Message, "Not answered yet.") {
			t.Fatalf("without an answer: %+v", again)
		}
		waiting := later(t.Context(), two, answerTo("vpn", "alice", again, "ok"))
		synctest.Wait()
		if !g.answer(t, mfa.OK) {
			t.Error("the answer is not taken")
		}
		want(t, "approved", <-waiting, mfa.Accept, mfa.OK)
		o := <-later(t.Context(), one, answerTo("vpn", "alice", d, ""))
		want(t, "the same handle once more", o, mfa.Reject, mfa.ChallengeReplayed)
		if k.count() != 1 || k.admitted != 1 {
			t.Errorf("reached %d times, admitted %d; want once", k.count(), k.admitted)
		}
		for _, v := range g.trail.verdicts() {
			if v.Verdict == mfa.Accept && (v.Method != mfa.MethodPush || v.Credential != "device" || v.ID != d.Attempt) {
				t.Errorf("verdict %+v", v)
			}
		}
	})
}

// One conversation is asked once, whatever server its requests come to, and is accepted once: for
// the newest.
func TestWaitOncePerConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitInside)
		one, two := g.engine(), g.engine()
		older := later(t.Context(), one, session(1, "s-1"))
		synctest.Wait()
		newer := later(t.Context(), two, session(2, "s-1"))
		synctest.Wait()
		want(t, "the older request", <-older, mfa.Reject, mfa.Superseded)
		g.answer(t, mfa.OK)
		want(t, "the newer request", <-newer, mfa.Accept, mfa.OK)
		if k.count() != 1 {
			t.Errorf("reached %d times", k.count())
		}
		var accepted int
		ids := map[mfa.AttemptID]int{}
		for _, v := range g.trail.verdicts() {
			ids[v.ID]++
			if v.Verdict == mfa.Accept {
				accepted++
				if v.ID != k.reached[0].Attempt {
					t.Errorf("accepted as attempt %s; the device was shown %s", v.ID, k.reached[0].Attempt)
				}
			}
		}
		if accepted != 1 || len(ids) != 2 {
			t.Errorf("%d accepted; verdicts by attempt: %v", accepted, ids)
		}
		// What was approved is used up: the next sign-in is asked anew.
		next := later(t.Context(), one, station(3))
		synctest.Wait()
		if k.count() != 2 {
			t.Errorf("a sign-in after that reached the user %d times, want once more", k.count()-1)
		}
		g.answer(t, mfa.RefusedByUser)
		want(t, "refused", <-next, mfa.Reject, mfa.RefusedByUser)
	})
}

// session is a first leg of a conversation that the NAS has a name for.
func session(n byte, name string) mfa.Request {
	r := station(n)
	r.Session = name
	return r
}

// untold is a first leg whose NAS does not tell where alice sits.
func untold(n byte) mfa.Request {
	r := station(n)
	r.Source = ""
	return r
}

// Somebody who knows alice's password, and sits where she does, sends a sign-in of their own while
// hers waits for her. What she approves is hers.
func TestWaitAnotherConversation(t *testing.T) {
	for _, c := range []struct {
		name            string
		victim, thief   mfa.Request
		gone            bool // the victim's client has given up before the thief comes
		joined, refused bool // the thief gets what she approves; is refused at once. Neither: is asked about anew
	}{
		{"two sessions", session(1, "s-1"), session(2, "s-2"), false, false, true},
		{"nothing tells them apart", station(1), station(2), false, false, true},
		{"the thief's client names no session", session(1, "s-1"), station(2), false, false, true},
		{"two sessions, and hers has given up", session(1, "s-1"), session(2, "s-2"), true, false, false},
		{"hers has given up, and the next names a session", station(1), session(2, "s-2"), true, false, false},
		{"hers has given up, and nothing tells them apart: taken for the client's next try", station(1), station(2), true, true, false},
		{"no station", untold(1), untold(2), false, false, true},
		{"no station, and hers has given up", untold(1), untold(2), true, false, false},
		{"one session: the client's next try", session(1, "s-1"), session(2, "s-1"), false, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, k := newKnock(t, mfa.WaitInside)
				app := g.store.apps["vpn"]
				app.Methods = []mfa.MethodID{mfa.MethodPush}
				g.store.apps["vpn"] = app
				if c.gone {
					c.victim.Gone = func() bool { return true }
				}
				hers := later(t.Context(), g.engine(), c.victim)
				synctest.Wait()
				asked := k.reached[0]
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				theirs := later(ctx, g.engine(), c.thief) // at another server
				synctest.Wait()
				if _, _, err := g.waits.AnswerWait(t.Context(), "alice", asked.ID, asked.Nonce, mfa.WaitAnswer{Reason: mfa.OK, Credential: "device", At: time.Now()}); err != nil && (c.joined || c.refused) {
					t.Fatal(err)
				}
				synctest.Wait()
				switch {
				case c.joined:
					want(t, "the next try", <-theirs, mfa.Accept, mfa.OK)
				case c.refused:
					want(t, "theirs", <-theirs, mfa.Reject, mfa.AlreadyAsked)
					want(t, "hers", <-hers, mfa.Accept, mfa.OK)
				default:
					if k.count() != 2 || k.reached[1].Nonce == asked.Nonce {
						t.Errorf("reached %d times, want a question of its own", k.count())
					}
					select {
					case o := <-theirs:
						t.Errorf("an approval of another question decided theirs: %+v", o)
					default:
					}
					cancel()
					<-theirs
				}
				if (c.joined || c.refused) && k.count() != 1 {
					t.Errorf("reached %d times, want once", k.count())
				}
			})
		})
	}
}

// Where a number is shown, each conversation has its own; the number of one says nothing about
// another.
func TestWaitOwnNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitPrompt)
		hers := ask(t, g.engine(), station(1))
		again := ask(t, g.engine(), station(1)) // the same packet, as a client does that has missed the answer
		theirs := ask(t, g.engine(), session(2, "s-2"))
		if hers.Awaits == nil || again.Awaits == nil || theirs.Awaits == nil {
			t.Fatalf("not asked: %+v, %+v, %+v", hers, again, theirs)
		}
		if again.Awaits.Number != hers.Awaits.Number || k.count() != 2 || k.reached[0].ID == k.reached[1].ID {
			t.Fatalf("%s, then %s; reached %d times, want once for each conversation", hers.Awaits.Number, again.Awaits.Number, k.count())
		}
		w := k.reached[0]
		if _, taken, err := g.waits.AnswerWait(t.Context(), "alice", w.ID, w.Nonce, mfa.WaitAnswer{Reason: mfa.OK, Credential: "device", At: time.Now()}); !taken || err != nil {
			t.Fatal(taken, err)
		}
		waiting := later(t.Context(), g.engine(), answerTo("vpn", "alice", theirs, "ok"))
		want(t, "hers", <-later(t.Context(), g.engine(), answerTo("vpn", "alice", hers, "ok")), mfa.Accept, mfa.OK)
		w = k.reached[1]
		if _, _, err := g.waits.AnswerWait(t.Context(), "alice", w.ID, w.Nonce, mfa.WaitAnswer{Reason: mfa.WrongNumber, Credential: "device", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		want(t, "theirs", <-waiting, mfa.Reject, mfa.WrongNumber)
	})
}

// A client that has turned to another server is not gone because the first hears of it no more.
func TestWaitHeldElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitInside)
		r := station(1)
		began := time.Now()
		left := r
		left.Gone = func() bool { return time.Since(began) > 5*time.Second }
		one := later(t.Context(), g.engine(), left)
		synctest.Wait()
		r.Gone = func() bool { return false }
		two := later(t.Context(), g.engine(), r)
		time.Sleep(10 * time.Second)
		if o := <-one; o.err == nil {
			t.Errorf("the server that the client has left: %+v", o.d)
		}
		want(t, "another's: the token behind it is asked for", <-later(t.Context(), g.engine(), station(2)), mfa.Challenge, mfa.ReasonNone)
		g.answer(t, mfa.OK)
		want(t, "where the client waits", <-two, mfa.Accept, mfa.OK)
		if k.count() != 1 {
			t.Errorf("reached %d times", k.count())
		}
	})
}

// The same packet at two servers, because the client turned to the next: one question, one
// record, the same answer from both.
func TestWaitRetransmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitInside)
		r := station(1)
		r.Source = ""
		one, two := later(t.Context(), g.engine(), r), later(t.Context(), g.engine(), r)
		synctest.Wait()
		g.answer(t, mfa.OK)
		want(t, "one", <-one, mfa.Accept, mfa.OK)
		want(t, "two", <-two, mfa.Accept, mfa.OK)
		if k.count() != 1 || len(g.trail.verdicts()) > 2 || len(g.trail.settlements()) != 1 {
			t.Errorf("reached %d times, %d verdicts, %d settlements", k.count(), len(g.trail.verdicts()), len(g.trail.settlements()))
		}
		// Without a station nobody else's request is this one.
		other := station(2)
		other.Source = ""
		ctx, cancel := context.WithCancel(t.Context())
		third := later(ctx, g.engine(), other)
		synctest.Wait()
		if k.count() != 2 {
			t.Errorf("another packet of an untold station reached the user %d times, want once more", k.count()-1)
		}
		cancel()
		<-third
	})
}

// Nobody rides on what somebody else has approved: another password, station or client is
// another intent.
func TestWaitOthersIntent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitInside)
		e := g.engine()
		ctx, cancel := context.WithCancel(t.Context())
		var all []<-chan outcome
		for i, change := range []func(*mfa.Request){
			func(*mfa.Request) {},
			func(r *mfa.Request) { r.Source = "10.1.1.2" },
			func(r *mfa.Request) { r.Peer = netip.MustParseAddrPort("192.0.2.2:1000") },
			func(r *mfa.Request) { r.Text = "Pay 10 EUR" },
		} {
			r := station(byte(i))
			change(&r)
			all = append(all, later(ctx, e, r))
			synctest.Wait()
			if k.count() != i+1 {
				t.Errorf("request %d: reached %d times", i, k.count())
			}
		}
		cancel()
		for _, c := range all {
			<-c
		}
		r := station(9)
		r.Password = secret.FromString("wrong")
		want(t, "wrong password", <-later(t.Context(), e, r), mfa.Reject, mfa.WrongPassword)
		if k.count() != 4 {
			t.Error("a wrong password reached the user")
		}
	})
}

// An answer that comes when nobody waits is told to the next retransmit, by any server.
func TestWaitLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitInside)
		ctx, cancel := context.WithCancel(t.Context())
		gone := later(ctx, g.engine(), station(1))
		synctest.Wait()
		cancel() // the server stops
		if o := <-gone; !errors.Is(o.err, context.Canceled) {
			t.Errorf("left: %v", o.err)
		}
		g.answer(t, mfa.OK)
		want(t, "the next request", <-later(t.Context(), g.engine(), station(2)), mfa.Accept, mfa.OK)
		if k.count() != 1 {
			t.Errorf("reached %d times", k.count())
		}
	})
}

// What is approved after the client has given up is left for its next request.
func TestWaitClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitInside)
		e := g.engine()
		r := station(1)
		r.Gone = func() bool { return true }
		left := later(t.Context(), e, r)
		synctest.Wait()
		g.answer(t, mfa.OK)
		if o := <-left; o.err == nil {
			t.Errorf("the request that was given up: %+v", o.d)
		}
		want(t, "the next request", <-later(t.Context(), e, station(2)), mfa.Accept, mfa.OK)
		if k.count() != 1 || len(g.trail.verdicts()) != 1 {
			t.Errorf("reached %d times, %d verdicts", k.count(), len(g.trail.verdicts()))
		}
	})
}

func TestWaitRefusalStands(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []mfa.Reason
		taken   []bool
		want    mfa.Reason
		fails   uint16
	}{
		{"refused, then approved", []mfa.Reason{mfa.RefusedByUser, mfa.OK}, []bool{true, false}, mfa.RefusedByUser, 0},
		{"approved, then refused", []mfa.Reason{mfa.OK, mfa.FraudReported}, []bool{true, true}, mfa.FraudReported, 0},
		{"a wrong number, then approved", []mfa.Reason{mfa.WrongNumber, mfa.OK}, []bool{true, false}, mfa.WrongNumber, 1},
		{"approved twice", []mfa.Reason{mfa.OK, mfa.OK}, []bool{true, false}, mfa.OK, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, _ := newKnock(t, mfa.WaitPrompt)
				d := ask(t, g.engine(), station(1))
				for i, why := range c.answers {
					if got := g.answer(t, why); got != c.taken[i] {
						t.Errorf("%s: taken %v, want %v", why, got, c.taken[i])
					}
				}
				v := mfa.Reject
				if c.want == mfa.OK {
					v = mfa.Accept
				}
				want(t, "answer", <-later(t.Context(), g.engine(), answerTo("vpn", "alice", d, "")), v, c.want)
				if n := g.store.record("alice").Fails.N; n != c.fails {
					t.Errorf("%d failures counted, want %d", n, c.fails)
				}
			})
		})
	}
}

func TestWaitTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitInside)
		began := time.Now()
		want(t, "nobody answers", <-later(t.Context(), g.engine(), station(1)), mfa.Reject, mfa.NotAnsweredInTime)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("after %s, want a minute", took)
		}
		if g.answer(t, mfa.OK) {
			t.Error("an answer after the end is taken")
		}
		if len(g.trail.verdicts()) != 1 || g.trail.asked() != 1 || k.count() != 1 {
			t.Errorf("%d verdicts, %d asked, %d reached", len(g.trail.verdicts()), g.trail.asked(), k.count())
		}
	})
}

// A client that never comes back is no reason to forget what its user said.
func TestWaitAnsweredAndNotFetched(t *testing.T) {
	for _, c := range []struct{ said, want mfa.Reason }{
		{mfa.ReasonNone, mfa.ChallengeUnanswered}, {mfa.OK, mfa.ChallengeUnanswered}, {mfa.RefusedByUser, mfa.RefusedByUser},
		{mfa.FraudReported, mfa.FraudReported}, {mfa.WrongNumber, mfa.WrongNumber}, {mfa.CallBusy, mfa.CallBusy},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, _ := newKnock(t, mfa.WaitPrompt)
			e := g.engine()
			ask(t, e, station(1))
			if c.said != mfa.ReasonNone && !g.answer(t, c.said) {
				t.Fatal("the answer was not taken")
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- e.Run(ctx) }()
			time.Sleep(time.Hour) // of the bubble
			if v := g.trail.verdicts(); len(v) != 1 || v[0].Verdict != mfa.Reject || v[0].Reason != c.want {
				t.Errorf("%s: got %+v, want %s", c.said, v, c.want)
			}
			acct, err := g.store.Standing(t.Context(), "alice", true)
			if counted := c.said == mfa.WrongNumber; err != nil || (acct.Record.Fails.N == 1) != counted || acct.Record.Fails.N > 1 {
				t.Errorf("%s: %d failures are counted, %v", c.said, acct.Record.Fails.N, err)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// Whom nobody can reach is asked in another way, and not by the same again.
func TestWaitUnreached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitPrompt)
		k.refuse = mfa.GatewayDown
		if d := ask(t, g.engine(), station(1)); d.Verdict != mfa.Challenge || d.Awaits != nil || !strings.HasPrefix(d.Message, "Enter your code") {
			t.Errorf("at once: %+v", d)
		}
		k.refuse = nil
		d := ask(t, g.engine(), station(2))
		g.waits.mu.Lock()
		w := g.waits.all[g.waits.last]
		g.waits.mu.Unlock()
		if _, taken, err := g.waits.AnswerWait(t.Context(), "alice", w.ID, w.Nonce, mfa.WaitAnswer{Reason: mfa.RecipientRefused, At: time.Now(), Unreached: true}); !taken || err != nil {
			t.Fatal(taken, err)
		}
		next := ask(t, g.engine(), answerTo("vpn", "alice", d, ""))
		if next.Verdict != mfa.Challenge || next.Awaits != nil {
			t.Fatalf("later: %+v", next)
		}
		want(t, "the other way", <-later(t.Context(), g.engine(), answerTo("vpn", "alice", next, code(0))), mfa.Accept, mfa.OK)
		if k.count() != 2 {
			t.Errorf("reached %d times", k.count())
		}
	})
}

// A code of another method that is typed instead counts, and the question is over with it.
func TestWaitCodeInstead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitPrompt)
		d := ask(t, g.engine(), station(1))
		want(t, "a code", <-later(t.Context(), g.engine(), answerTo("vpn", "alice", d, code(0))), mfa.Accept, mfa.OK)
		g.answer(t, mfa.OK)
		want(t, "the question after it", <-later(t.Context(), g.engine(), answerTo("vpn", "alice", d, "")), mfa.Reject, mfa.ChallengeReplayed)
		d = ask(t, g.engine(), station(2))
		d = ask(t, g.engine(), answerTo("vpn", "alice", d, "other"))
		if d.Verdict != mfa.Challenge || d.Awaits != nil {
			t.Errorf("another way: %+v", d)
		}
		want(t, "a code there", <-later(t.Context(), g.engine(), answerTo("vpn", "alice", d, code(1))), mfa.Accept, mfa.OK)
		if k.count() != 2 {
			t.Errorf("reached %d times", k.count())
		}
	})
}

// Where nothing can be shown, nobody is asked, unless the application says that its requests
// wait.
func TestWaitNeedsPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := newKnock(t, mfa.WaitPrompt)
		app := g.store.apps["vpn"]
		app.Methods = []mfa.MethodID{mfa.MethodPush}
		g.store.apps["vpn"] = app
		r := station(1)
		r.Caps = 0
		want(t, "prompt", <-later(t.Context(), g.engine(), r), mfa.Reject, mfa.PromptImpossible)
		app.Waiting = mfa.WaitInside
		g.store.apps["vpn"] = app
		o := later(t.Context(), g.engine(), r)
		synctest.Wait()
		if k.count() != 1 || k.reached[0].Number != "" {
			t.Errorf("reached %+v; without a place to show it there is no number", k.reached)
		}
		g.store.change("alice", func(a *settlement.Account) { a.User.State = mfa.StateDenied })
		g.answer(t, mfa.OK)
		want(t, "denied meanwhile", <-o, mfa.Reject, mfa.Denied)
	})
}

// Who guesses numbers with a client that never comes back is locked as one is whose client does:
// each counts once, whichever server looks first and whatever the client sends later.
func TestWaitGuessesOfASilentClientLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newKnock(t, mfa.WaitPrompt)
		e := g.engine()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		for n := range g.settings.Tries {
			d := ask(t, e, station(byte(n+1)))
			if d.Awaits == nil || !g.answer(t, mfa.WrongNumber) {
				t.Fatalf("try %d: %+v", n+1, d)
			}
			if n == 0 { // this one comes back
				want(t, "at once", <-later(t.Context(), g.engine(), answerTo("vpn", "alice", d, "")), mfa.Reject, mfa.WrongNumber)
			}
			time.Sleep(3 * time.Minute)
			want(t, "too late", <-later(t.Context(), g.engine(), answerTo("vpn", "alice", d, "")), mfa.Reject, mfa.ChallengeExpired)
		}
		if d := ask(t, e, station(99)); d.Reason != mfa.Locked {
			t.Errorf("after %d guesses: %s %s", g.settings.Tries, d.Verdict, d.Reason)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
