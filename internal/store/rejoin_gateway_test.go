package store_test

import (
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/secret"
	"countersign/internal/store"
)

// What an epoch that ended did to gateways is listed, and applied with its secrets.
func TestRejoinListsGateways(t *testing.T) {
	gateway := func(name, password string) mfa.Gateway {
		return mfa.Gateway{Name: name, Kind: mfa.GatewaySMS, Protocol: mfa.GatewayHTTP, Password: secret.FromString(password), Created: noon.Add(-time.Hour),
			HTTP: mfa.HTTPTemplate{Method: "POST", Headers: map[string]string{"X-Key": "of " + password}}}
	}
	d := part(t, func(s *store.Store) {
		for _, name := range []string{"changed", "removed", "left"} {
			_, err := s.CreateGateway(t.Context(), gateway(name, "before"))
			must(t, err)
		}
	})
	_, err := d.there.UpdateGateway(t.Context(), "changed", func(g *mfa.Gateway) error {
		g.Password, g.HTTP.Headers = secret.FromString("after"), map[string]string{"X-Key": "of after"}
		return nil
	})
	must(t, err)
	must(t, d.there.RemoveGateway(t.Context(), "removed"))
	_, err = d.there.CreateGateway(t.Context(), gateway("added", "new"))
	must(t, err)
	if r := d.rejoin(); r.Listed != 3 {
		t.Errorf("report %+v, want 3 listed", r)
	}
	got := map[string]string{}
	for _, c := range d.listed() {
		if c.Kind != parking.Gateway {
			t.Errorf("listed %+v", c)
		}
		got[c.Object] = c.What
		_, err := d.here.ApplyParked(t.Context(), c.ID, false)
		must(t, err)
	}
	if len(got) != 3 || got["changed"] != parking.Changed || got["removed"] != parking.Removed || got["added"] != parking.Added {
		t.Errorf("listed %v", got)
	}
	must(t, d.here.Sync(t.Context()))
	for name, want := range map[string]string{"changed": "after", "added": "new", "left": "before"} {
		g, err := d.here.Gateway(name)
		must(t, err)
		if string(g.Password.Expose()) != want || g.HTTP.Headers["X-Key"] != "of "+want {
			t.Errorf("%s: %+v", name, g)
		}
	}
	if all := d.here.Gateways(); len(all) != 3 {
		t.Errorf("%d gateways are left, want 3", len(all))
	}
}
