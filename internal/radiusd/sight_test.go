package radiusd

import (
	"net/netip"
	"testing"
	"time"
)

func TestSightsAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	s := &Server{Now: func() time.Time { return now }}
	addr := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }
	s.sights.add(Sight{Time: now, Application: "vpn", Client: addr(1), What: "bad_message_authenticator"})
	for n := range 1000 { // whoever can forge addresses
		s.sights.add(Sight{Time: now, Client: addr(n), What: "unknown_client"})
	}
	all := s.Sights()
	if len(all) != strangersKept+1 {
		t.Fatalf("%d sights are kept", len(all))
	}
	known := 0
	for _, one := range all {
		if one.Application == "vpn" {
			known++
		}
	}
	if known != 1 {
		t.Error("strangers push out what is known")
	}
	now = now.Add(time.Minute)
	for range 3 { // the same again
		s.sights.add(Sight{Time: now, Application: "vpn", Client: addr(1), What: "bad_message_authenticator"})
	}
	if all = s.Sights(); len(all) != strangersKept+1 || !all[0].Time.Equal(now) || all[0].Application != "vpn" {
		t.Errorf("%d sights, the first is %+v", len(all), all[0])
	}
	for n := range 100 {
		s.sights.add(Sight{Time: now, Application: "vpn", Client: addr(n), What: "challenge"})
	}
	if all = s.Sights(); len(all) != strangersKept+sightsKept {
		t.Errorf("%d sights are kept", len(all))
	}
	now = now.Add(2 * sightKept)
	if all = s.Sights(); len(all) != 0 {
		t.Errorf("%d sights of long ago", len(all))
	}
}
