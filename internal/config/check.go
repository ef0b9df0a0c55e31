package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"countersign/internal/logging"
	"countersign/internal/nearest"
)

// checkName allows what is a host name's label or a full host name.
func checkName(v string) error {
	if len(v) > 63 || !hostName(v) {
		return errors.New("must be 1 to 63 letters, digits, dots and hyphens, for example nyc1")
	}
	return nil
}

func checkDir(v string) error {
	if !filepath.IsAbs(v) || strings.ContainsRune(v, 0) {
		return errors.New("must be an absolute path, for example /var/lib/countersign")
	}
	return nil
}

func checkPath(v string) error {
	if v != "" && (!filepath.IsAbs(v) || strings.ContainsRune(v, 0)) {
		return errors.New("must be an absolute path")
	}
	return nil
}

// checkListen allows an IP address, a name or nothing (every address) with a port.
func checkListen(v string) error {
	return address(v, true, "for example 10.0.0.11:1812, [2001:db8::11]:1812 or :1812")
}

// checkAdvertise allows what another machine can call: no empty or unspecified host.
func checkAdvertise(v string) error {
	return address(v, false, "as others reach it, for example nyc1.example.net:7443")
}

func address(v string, listen bool, example string) error {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("must be host:port, %s", example)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !listen {
		return fmt.Errorf("port %q must be a number from 1 to 65535", port)
	}
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case ipErr == nil && !listen && (ip.IsUnspecified() || ip.Zone() != ""):
		return fmt.Errorf("host %q cannot be called by others; must be host:port, %s", host, example)
	case ipErr == nil, host == "" && listen, hostName(host):
		return nil
	}
	return fmt.Errorf("host %q is neither an address nor a host name; must be host:port, %s", host, example)
}

// hostName reports whether s is a host name of at most 63 bytes a label, that is not a
// number with dots (a mistyped address).
func hostName(s string) bool {
	if len(s) == 0 || len(s) > 253 || strings.Trim(s, "0123456789.") == "" && strings.Contains(s, ".") {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// loopback fills in the loopback address where the host was left out.
func loopback(v string) string {
	if strings.HasPrefix(v, ":") {
		return "127.0.0.1" + v
	}
	return v
}

func checkURL(v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be an https URL, for example https://coordinator.example.net")
	}
	return nil
}

func checkFormat(v string) error {
	if v != "text" && v != "json" {
		return errors.New("must be text or json")
	}
	return nil
}

// levels is a table, from the noisiest to the quietest.
var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	l, ok := levels[s]
	if !ok {
		return 0, fmt.Errorf("log level %q: must be debug, info, warn or error", s)
	}
	return l, nil
}

func checkLevel(v string) error {
	if _, ok := levels[v]; !ok {
		return errors.New("must be debug, info, warn or error")
	}
	return nil
}

func level(v string) slog.Level { return levels[v] }

// checkComponent allows radius=debug.
func checkComponent(v string) error {
	name, l, ok := strings.Cut(v, "=")
	if !ok || !hostName(name) {
		return errors.New("must be component: level, for example radius: debug")
	}
	if !slices.Contains(logging.Components, name) {
		hint := ""
		if guess := nearest.To(name, logging.Components); guess != "" {
			hint = fmt.Sprintf("; did you mean %q?", guess)
		}
		return fmt.Errorf("%q is no component%s (there are %s)", name, hint, strings.Join(logging.Components, ", "))
	}
	return checkLevel(l)
}

func putComponents(c *Config, values []string) {
	c.Log.Components = map[string]slog.Level{}
	for _, v := range values {
		name, l, _ := strings.Cut(v, "=")
		c.Log.Components[name] = level(l)
	}
}

// proxy reads the address or network of a reverse proxy.
func proxy(v string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(v); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(v)
	switch {
	case err != nil || p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("must be an address or a network, for example 10.0.0.5 or 10.0.0.0/24")
	case p.Bits() == 0:
		return netip.Prefix{}, errors.New("is everybody, who could then say to come from anywhere; name the proxies alone")
	}
	return p.Masked(), nil
}

func checkProxy(v string) error {
	_, err := proxy(v)
	return err
}

func putProxies(c *Config, values []string) {
	for _, v := range values {
		if p, err := proxy(v); err == nil {
			c.TrustedProxies = append(c.TrustedProxies, p)
		}
	}
}
