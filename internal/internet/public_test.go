package internet

import (
	"errors"
	"net/netip"
	"testing"
)

func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2001:4860:4860::8888": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"0.0.0.0": false, "::": false, "100.64.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "fe80::1": false, "fd00::1": false, "ff02::1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "198.18.0.1": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
	if err := Only("tcp", "[::ffff:10.0.0.1]:443", nil); !errors.Is(err, ErrPrivate) {
		t.Errorf("a private address behind its IPv6 form: %v", err)
	}
	if err := Only("tcp", "8.8.8.8:443", nil); err != nil {
		t.Error(err)
	}
	if err := Only("tcp", "somewhere", nil); err == nil {
		t.Error("what is no address may be called")
	}
}
