package authn_test

import (
	"errors"
	"testing"

	"countersign/internal/mfa"
)

// In contact with the master, but with a copy that is behind, a server accepts nobody by its
// copy: not alone, and not where nothing would be settled.
func TestBehindDecidesNothing(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	g.alone(t0)
	g.store.contact, g.store.behind = nil, true // in contact
	if _, err := e.Authenticate(t.Context(), firstLeg("plain", "alice", code(0))); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("a code: %v", err)
	}
	a := g.store.accts["alice"]
	a.User.State = mfa.StateExempt
	g.store.accts["alice"] = a
	if _, err := e.Authenticate(t.Context(), firstLeg("vpn", "alice", "right")); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("an exempt user: %v", err)
	}
	if n := len(g.trail.settlements()); n != 0 {
		t.Errorf("%d settlements in the ledger", n)
	}
}
