// Package internet knows which addresses are of the public Internet, for what calls an address
// that somebody else has chosen.
package internet

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// ErrPrivate says that an address is none of the public Internet.
var ErrPrivate = errors.New("this is a private address")

// notPublic are ranges besides those that netip knows (RFC 6890).
var notPublic = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16")}

// Public reports whether an address is one of the public Internet. IPv4 in IPv6 counts as IPv4.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsGlobalUnicast() && !a.IsPrivate()
}

// Only is a net.Dialer's Control that refuses, with ErrPrivate, to connect to anything but the
// public Internet. It sees the address that is really used, after the name was looked up.
func Only(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !Public(a.Addr()) {
		return fmt.Errorf("%s: %w", a.Addr(), ErrPrivate)
	}
	return nil
}
