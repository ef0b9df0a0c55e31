package policy

import (
	"net/netip"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

func TestCountries(t *testing.T) {
	c, err := ReadCountries(strings.NewReader("network,country,name\n192.0.2.0/24,de,Germany\n198.51.100.0,198.51.100.127,FR\n198.51.100.128,198.51.100.255,ZZ\n2001:db8::/32,AT\n0.0.0.0/8,-\n"))
	if err != nil || c.Len() != 3 {
		t.Fatalf("%d spans, %v", c.Len(), err)
	}
	for addr, want := range map[string]string{"192.0.2.0": "DE", "192.0.2.255": "DE", "::ffff:192.0.2.7": "DE", "192.0.3.0": "", "192.0.1.255": "",
		"198.51.100.127": "FR", "198.51.100.128": "", "2001:db8:ffff::1": "AT", "2001:db9::": "", "0.0.0.1": "", "255.255.255.255": "", "::": ""} {
		if got := c.Of(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if c.Of(netip.Addr{}) != "" || (Countries{}).Of(netip.MustParseAddr("192.0.2.0")) != "" {
		t.Error("what is not known has a country")
	}
	for _, bad := range []string{"a,b\nc,d\n", "192.0.2.0/24,Germany\n192.0.2.0/24,Germany\n", "x\n192.0.2.9,192.0.2.1,DE\n", "x\n192.0.2.1,2001:db8::,DE\n",
		"192.0.2.0/24,DE\n192.0.2.128/25,FR\n", "x\n192.0.2.1,192.0.2.9\n"} {
		if c, err := ReadCountries(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken: %d", bad, c.Len())
		}
	}
}

func FuzzReadCountries(f *testing.F) {
	f.Add("192.0.2.0/24,de\n198.51.100.0,198.51.100.127,FR\n", "192.0.2.9")
	f.Fuzz(func(t *testing.T, table, addr string) {
		c, err := ReadCountries(strings.NewReader(table))
		if a, bad := netip.ParseAddr(addr); err == nil && bad == nil {
			if got := c.Of(a); got != "" && (len(got) != 2 || strings.ToUpper(got) != got) {
				t.Errorf("%s is in %q", a, got)
			}
		}
	})
}

// A country that is not known is none that is named, and none of those that are let in.
func TestUnknownCountries(t *testing.T) {
	allow := compiled(t, Rule{Name: "abroad", OutsideCountries: []string{"DE"}, Access: AccessDeny})
	deny := compiled(t, Rule{Name: "there", Countries: []string{"DE"}, Access: AccessDeny})
	for country, want := range map[string][2]mfa.Reason{"DE": {mfa.ReasonNone, mfa.PolicyDenied}, "FR": {mfa.PolicyDenied, mfa.ReasonNone}, "": {mfa.PolicyDenied, mfa.ReasonNone}} {
		s := Situation{Application: vpn, User: staff, Country: country, Now: now}
		if a, d := allow.Decide(&s, Defaults()).Refusal(), deny.Decide(&s, Defaults()).Refusal(); a != want[0] || d != want[1] {
			t.Errorf("%q: %s, %s", country, a, d)
		}
	}
}
