package admin

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign/internal/mfa"
)

// set parses *from into *to if the field is given. The first bad value stays in bad and ends
// it.
func set[From, To any](bad *error, name string, to *To, from *From, parse func(From) (To, error)) {
	if from == nil || *bad != nil {
		return
	}
	v, err := parse(*from)
	if err != nil {
		*bad = fmt.Errorf("%w: %s: %w", mfa.ErrInvalid, name, err)
		return
	}
	*to = v
}

// same takes a value as it is.
func same[T any](v T) (T, error) { return v, nil }

// line returns a parser for one line of printable text of at most max bytes.
func line(max int) func(string) (string, error) {
	return func(s string) (string, error) {
		s = strings.TrimSpace(s)
		if len(s) > max {
			return "", fmt.Errorf("longer than %d bytes", max)
		}
		if !utf8.ValidString(s) || strings.IndexFunc(s, unicode.IsControl) >= 0 {
			return "", fmt.Errorf("control characters or invalid UTF-8")
		}
		return s, nil
	}
}

// oneOf returns a parser for one of a few words.
func oneOf[T ~string](words ...T) func(string) (T, error) {
	return func(s string) (T, error) {
		if !slices.Contains(words, T(s)) {
			return "", fmt.Errorf("%q is none of %s", s, strings.Join(texts(words), ", "))
		}
		return T(s), nil
	}
}

// yes returns a parser for a choice of two words, true for the first.
func yes(t, f string) func(string) (bool, error) {
	return func(s string) (bool, error) {
		w, err := oneOf(t, f)(s)
		return w == t, err
	}
}

// between returns a parser for a number within bounds.
func between(min, max int) func(int) (int, error) {
	return func(n int) (int, error) {
		if n < min || n > max {
			return 0, fmt.Errorf("%d is not between %d and %d", n, min, max)
		}
		return n, nil
	}
}

// each returns a parser for at most max items, without doubles.
func each[T comparable](max int, parse func(string) (T, error)) func([]string) ([]T, error) {
	return func(in []string) ([]T, error) {
		if len(in) > max {
			return nil, fmt.Errorf("more than %d", max)
		}
		var out []T
		for _, s := range in {
			v, err := parse(s)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
		return out, nil
	}
}

// network parses an address or a network; the address alone is a network of one. What
// is set beyond the prefix length is a mistake rather than ignored.
func network(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no address and no network (10.0.0.7, 10.0.0.0/24, 2001:db8::/64)", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits beyond its prefix length; the network is %s", s, p.Masked())
	}
	return p, nil
}

// objectName parses the name of an application, directory or token: what a shell and a
// URL carry without quoting.
func objectName(s string) (string, error) {
	ok := s != "" && len(s) <= 64 && s != "." && s != ".." && strings.IndexFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
	}) < 0
	if !ok || s[0] == '-' {
		return "", fmt.Errorf("%q: want 1 to 64 letters, digits, dots, dashes and underscores", s)
	}
	return s, nil
}
