package oath

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// The bounds of a KeyURI, in bytes.
const (
	MaxURI  = 4096
	MaxName = 253
)

// KeyURI is what an authenticator app reads from a QR code: an otpauth:// URI in the Key
// URI format that the apps share. Whether it is totp or hotp follows from Key.Period.
type KeyURI struct {
	Issuer  string // shown by the app, e.g. the organisation; may be empty; no colon
	Account string // shown by the app, e.g. the login; no colon
	Key     Key
	Counter uint64 // hotp: the first counter
}

// Encode returns the URI. It holds the secret. Algorithm, digits and period are always
// written, spaces as %20: some apps show a plus as it stands. The error wraps
// mfa.ErrInvalid.
func (u KeyURI) Encode() (secret.Text, error) {
	if err := u.check(); err != nil {
		return secret.Text{}, err
	}
	var b strings.Builder
	b.WriteString("otpauth://")
	if u.Key.period > 0 {
		b.WriteString("totp/")
	} else {
		b.WriteString("hotp/")
	}
	if u.Issuer != "" {
		b.WriteString(escape(u.Issuer) + ":")
	}
	b.WriteString(escape(u.Account))
	b.WriteString("?secret=")
	b.Write(FormatSecret(u.Key.secret).Expose())
	if u.Issuer != "" {
		b.WriteString("&issuer=" + escape(u.Issuer))
	}
	fmt.Fprintf(&b, "&algorithm=%s&digits=%d", u.Key.algorithm, u.Key.digits)
	if u.Key.period > 0 {
		fmt.Fprintf(&b, "&period=%d", u.Key.period)
	} else {
		fmt.Fprintf(&b, "&counter=%d", u.Counter)
	}
	return secret.FromString(b.String()), nil
}

// ParseKeyURI reads an otpauth:// URI. It is strict: a parameter that is unknown, given
// twice or of the other type is refused, and so is an issuer that differs from the one in
// the label. The error wraps mfa.ErrInvalid and holds nothing of the secret.
func ParseKeyURI(t secret.Text) (KeyURI, error) {
	if t.Len() > MaxURI {
		return KeyURI{}, bad("it has %d bytes, at most %d", t.Len(), MaxURI)
	}
	const scheme = "otpauth://"
	s := string(t.Expose())
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return KeyURI{}, bad("it must begin with %s", scheme)
	}
	if strings.Contains(s, "#") {
		return KeyURI{}, bad("it has a fragment")
	}
	path, query, _ := strings.Cut(s[len(scheme):], "?")
	kind, label, ok := strings.Cut(path, "/")
	kind = strings.ToLower(kind)
	if !ok || kind != "totp" && kind != "hotp" {
		return KeyURI{}, bad("after %s must come totp/ or hotp/", scheme)
	}
	p, err := parameters(query, kind)
	if err != nil {
		return KeyURI{}, err
	}
	var u KeyURI
	if u.Key, u.Counter, err = p.key(kind); err != nil {
		return KeyURI{}, err
	}
	if err := u.name(label, p); err != nil {
		return KeyURI{}, err
	}
	return u, u.check()
}

type params map[string]string

// parameters splits and decodes the query. The value of image is what some apps show as a
// picture; it is dropped.
func parameters(query, kind string) (params, error) {
	other := map[string]string{"totp": "counter", "hotp": "period"}[kind]
	p := params{}
	if query == "" {
		return p, nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, raw, _ := strings.Cut(pair, "=")
		switch name {
		case "secret", "issuer", "algorithm", "digits", "period", "counter", "image":
		default:
			return nil, bad("it has a parameter that is not known")
		}
		if name == other {
			return nil, bad("parameter %s does not belong to %s", name, kind)
		}
		if _, twice := p[name]; twice {
			return nil, bad("parameter %s is given twice", name)
		}
		value, err := url.QueryUnescape(raw)
		if err != nil {
			return nil, bad("parameter %s has a broken %% escape", name)
		}
		p[name] = value
	}
	return p, nil
}

// key reads the parameters that make the key.
func (p params) key(kind string) (k Key, counter uint64, err error) {
	s, err := ParseSecret(secret.FromString(p["secret"]))
	if err != nil {
		return Key{}, 0, err
	}
	a := DefaultAlgorithm
	if v, given := p["algorithm"]; given {
		if a, err = ParseAlgorithm(v); err != nil {
			return Key{}, 0, err
		}
	}
	digits, err := p.number("digits", DefaultDigits, MaxDigits)
	if err != nil {
		return Key{}, 0, err
	}
	if kind == "totp" {
		period, err := p.number("period", DefaultPeriod, MaxPeriod)
		if err != nil {
			return Key{}, 0, err
		}
		k, err = NewTOTP(s, a, int(digits), int(period))
		return k, 0, err
	}
	if _, given := p["counter"]; !given {
		return Key{}, 0, bad("hotp needs the parameter counter")
	}
	if counter, err = p.number("counter", 0, math.MaxInt64); err != nil {
		return Key{}, 0, err
	}
	k, err = NewHOTP(s, a, int(digits))
	return k, counter, err
}

func (p params) number(name string, absent, most uint64) (uint64, error) {
	v, given := p[name]
	if !given {
		return absent, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n > most {
		return 0, bad("parameter %s must be a number of at most %d", name, most)
	}
	return n, nil
}

// name reads issuer and account from label and parameters.
func (u *KeyURI) name(label string, p params) error {
	text, err := url.PathUnescape(label)
	if err != nil {
		return bad("its label has a broken %% escape")
	}
	issuer, account, both := strings.Cut(text, ":")
	if !both {
		issuer, account = "", text
	}
	u.Account = strings.TrimSpace(account)
	u.Issuer = strings.TrimSpace(issuer)
	if v, given := p["issuer"]; given {
		v = strings.TrimSpace(v)
		if u.Issuer != "" && u.Issuer != v {
			return bad("its label and its parameter issuer name different issuers")
		}
		u.Issuer = v
	}
	return nil
}

func (u KeyURI) check() error {
	if u.Account == "" {
		return bad("it has no account name")
	}
	for _, name := range [][2]string{{"issuer", u.Issuer}, {"account name", u.Account}} {
		what, s := name[0], name[1]
		switch {
		case len(s) > MaxName:
			return bad("its %s has %d bytes, at most %d", what, len(s), MaxName)
		case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
			return bad("its %s holds control characters or is not UTF-8", what)
		case strings.Contains(s, ":"):
			return bad("its %s holds a colon", what)
		case s != strings.TrimSpace(s):
			return bad("its %s begins or ends with a space", what)
		}
	}
	if u.Key.digits == 0 {
		return bad("it has no key")
	}
	if u.Counter > math.MaxInt64 || u.Counter != 0 && u.Key.period > 0 {
		return bad("counter %d: must be 0 for totp and at most %d for hotp", u.Counter, uint64(math.MaxInt64))
	}
	return nil
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func bad(format string, args ...any) error {
	return fmt.Errorf("%w otpauth URI: %s", mfa.ErrInvalid, fmt.Sprintf(format, args...))
}
