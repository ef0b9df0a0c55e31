package nearest

import (
	"strings"
	"testing"
)

func TestTo(t *testing.T) {
	names := []string{"vpn", "Mail", "netscaler-nyc1", "ab"}
	for typed, want := range map[string]string{
		"vpn": "vpn", "vnp": "vpn", "VPN2": "vpn", "mial": "Mail", "MAIL": "Mail", "netscaler-nyc2": "netscaler-nyc1", "netscalernyc": "netscaler-nyc1",
		"ac": "ab", "xy": "", "": "", "wireless": "", strings.Repeat("v", 65): "",
	} {
		if got := To(typed, names); got != want {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
	if got := To("vpn", nil); got != "" {
		t.Errorf("of none: %q", got)
	}
}
