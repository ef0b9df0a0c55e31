package authn_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/authn"
	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

type policyDomain = login.Domain

func parseDomain(s string) (policyDomain, error) { return login.ParseDomain(s) }

// Whatever order requests, retransmits, restarts, lost answers and administrators come
// in, on two servers: no code is accepted for two legs, no leg has two results, no more
// wrong codes are told than the limit allows before a lock, and what was accepted is in
// the trail.
func TestInterleavings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newRig(new(testing.T))
		faulty := rapid.Bool().Draw(t, "faults")
		g.store.fault = func() (bool, error) {
			if !faulty {
				return true, nil
			}
			switch rapid.IntRange(0, 9).Draw(t, "fault") {
			case 0:
				return true, mfa.ErrUnknownOutcome
			case 1:
				return false, mfa.ErrUnknownOutcome
			case 2:
				return false, mfa.ErrUnavailable
			}
			return true, nil
		}
		engines := []*authn.Engine{g.engine(), g.engine()}
		accepted := map[string]mfa.LegID{}
		results := map[mfa.LegID]mfa.Verdict{}
		var sent []mfa.Request
		wrong := 0
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			server := rapid.IntRange(0, 1).Draw(t, "server")
			switch rapid.IntRange(0, 7).Draw(t, "what") {
			case 0:
				engines[server] = g.engine() // restarted
				continue
			case 1:
				g.advance(time.Duration(rapid.IntRange(-20, 400).Draw(t, "seconds")) * time.Second)
				if !g.store.record("alice").Fails.LockedAt(g.now()) {
					wrong = int(g.store.record("alice").Fails.N)
				}
				continue
			case 2:
				g.store.change("alice", func(*settlement.Account) {})
				continue
			}
			var r mfa.Request
			if len(sent) > 0 && rapid.IntRange(0, 3).Draw(t, "repeat") == 0 {
				r = sent[rapid.IntRange(0, len(sent)-1).Draw(t, "which")]
				if g.now().Sub(t0) > time.Minute { // no client repeats a packet later
					continue
				}
			} else {
				n := rapid.IntRange(0, 25).Draw(t, "code")
				text := code(uint64(n))
				if n > 12 {
					text = fmt.Sprintf("%06d", n)
				}
				r = firstLeg("plain", "alice", text)
				r.Leg = mfa.LegID{1, byte(i)}
				sent = append(sent, r)
			}
			d, err := engines[server].Authenticate(context.Background(), r)
			if err != nil {
				continue
			}
			answer := string(r.Password.Expose())
			before, told := results[r.Leg]
			if told && before == mfa.Accept && d.Verdict != mfa.Accept {
				t.Fatalf("leg %s: accepted, then %s %s", r.Leg, d.Verdict, d.Reason)
			}
			results[r.Leg] = d.Verdict
			switch {
			case d.Verdict == mfa.Accept:
				if leg, twice := accepted[answer]; twice && leg != r.Leg {
					t.Fatalf("code %s accepted for legs %s and %s", answer, leg, r.Leg)
				}
				accepted[answer] = r.Leg
				wrong = 0
			case d.Reason == mfa.WrongCode && !told: // a repeated leg is told again what it was
				wrong++
				if wrong > 2*g.settings.Tries { // each lost answer may book one that was not told
					t.Fatalf("%d wrong codes told in a row, limit %d", wrong, g.settings.Tries)
				}
			}
		}
		recorded := map[mfa.LegID]bool{}
		for _, s := range g.trail.settlements() {
			if s.Reason == mfa.OK {
				recorded[s.Leg] = true
			}
		}
		for answer, leg := range accepted {
			if !recorded[leg] {
				t.Fatalf("code %s was accepted for leg %s and the ledger does not hold it", answer, leg)
			}
		}
	})
}
