package policy

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// How much a passkey as second factor has to verify its user. The zero value is "preferred".
const (
	VerifyRequired    = "required"
	VerifyPreferred   = "preferred"
	VerifyDiscouraged = "discouraged"
)

var verifications = []string{VerifyRequired, VerifyPreferred, VerifyDiscouraged}

// The bounds of the lists.
const (
	maxOrigins = 64
	maxModels  = 512
	maxAlone   = 16
)

// checkPasskeys reports the first setting about passkeys that cannot be.
func (s Settings) checkPasskeys() error {
	if s.PasskeySite != "" {
		if err := checkSite(s.PasskeySite); err != nil {
			return fmt.Errorf("policy passkey_site = %q: %w", s.PasskeySite, err)
		}
	}
	if len(s.PasskeyOrigins) > maxOrigins || len(s.PasskeyAllow) > maxModels || len(s.PasskeyDeny) > maxModels || len(s.PasskeyAlone) > maxAlone {
		return fmt.Errorf("policy: at most %d passkey_origins, %d passkey_alone and %d models", maxOrigins, maxAlone, maxModels)
	}
	for _, o := range s.PasskeyOrigins {
		if err := s.checkOrigin(o); err != nil {
			return fmt.Errorf("policy passkey_origins: %q: %w", o, err)
		}
	}
	if s.PasskeyVerify != "" && !slices.Contains(verifications, s.PasskeyVerify) {
		return fmt.Errorf("policy passkey_verification = %q: want one of %s", s.PasskeyVerify, strings.Join(verifications, ", "))
	}
	for name, list := range map[string][]string{"passkey_models_allow": s.PasskeyAllow, "passkey_models_deny": s.PasskeyDeny} {
		for _, m := range list {
			if _, err := ParseModel(m); err != nil {
				return fmt.Errorf("policy %s: %w", name, err)
			}
		}
	}
	for _, a := range s.PasskeyAlone {
		if strings.TrimSpace(a) == "" {
			return fmt.Errorf("policy passkey_alone: an application without a name")
		}
	}
	return nil
}

// checkSite refuses what browsers take for no site (Web Authentication §5.1.2: a valid domain).
func checkSite(site string) error {
	if _, err := netip.ParseAddr(strings.Trim(site, "[]")); err == nil {
		return fmt.Errorf("an IP address cannot be the site of passkeys: give portal and console a name in the DNS, and open them under it")
	}
	switch {
	case strings.ContainsAny(site, ":/@ "):
		return fmt.Errorf("want a domain name alone, without https:// and port, as in mfa.corp.example")
	case !domain(site):
		return fmt.Errorf("want a domain name in lower case, as in mfa.corp.example")
	case site != "localhost" && !strings.Contains(site, "."):
		return fmt.Errorf("browsers take no name without a dot, but for localhost: want the whole name, as in mfa.corp.example")
	}
	return nil
}

// domain reports whether s is a domain name in the form in which browsers compare it: lower
// case, ASCII (A-labels), no dot at the end.
func domain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

func (s Settings) checkOrigin(origin string) error {
	host, err := originHost(origin)
	switch {
	case err != nil:
		return err
	case s.PasskeySite == "":
		return fmt.Errorf("passkey_site is missing, which it has to lie below")
	case host != s.PasskeySite && !strings.HasSuffix(host, "."+s.PasskeySite):
		return fmt.Errorf("browsers let a page use passkeys of %s only if its name is that or ends in .%[1]s", s.PasskeySite)
	}
	return nil
}

// originHost returns the host of an origin in the form in which browsers write it.
func originHost(origin string) (string, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" || u.Host == "" || "https://"+u.Host != origin || u.Port() == "443" || !domain(u.Hostname()) {
		return "", fmt.Errorf("want https, a name in lower case and, if it is not 443, the port, as in https://nyc1.mfa.corp.example:8443")
	}
	return u.Hostname(), nil
}

// PasskeyOrigin reports whether passkeys may be used on pages of an origin.
func (s Settings) PasskeyOrigin(origin string) bool {
	host, err := originHost(origin)
	return err == nil && s.PasskeySite != "" && (host == s.PasskeySite || slices.Contains(s.PasskeyOrigins, origin))
}

// WhyNoPasskey says in a word why passkeys cannot be used on a page that was opened at host
// ("name:port", as in a request); "": they can. The words are "off" (there is no site), "address"
// (an IP address, which no passkey can belong to) and "name" (another name than the policy knows).
func (s Settings) WhyNoPasskey(host string) string {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		name = h
		if port == "443" {
			host = h
		}
	}
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	switch {
	case s.PasskeySite == "":
		return "off"
	case err == nil:
		return "address"
	case !s.PasskeyOrigin("https://" + strings.ToLower(host)):
		return "name"
	}
	return ""
}

// PasskeyStandsAlone reports whether a passkey is enough for an application.
func (s Settings) PasskeyStandsAlone(application string) bool {
	return s.PasskeySite != "" && slices.Contains(s.PasskeyAlone, application)
}

// Model is the AAGUID of a kind of authenticator; zero: it does not tell.
type Model [16]byte

// ParseModel reads an AAGUID as it is written everywhere: 8-4-4-4-12 hexadecimal digits.
func ParseModel(s string) (m Model, err error) {
	if b, err := hex.DecodeString(strings.ReplaceAll(s, "-", "")); err == nil && len(b) == len(m) {
		copy(m[:], b)
		if strings.EqualFold(m.String(), s) {
			return m, nil
		}
	}
	return Model{}, fmt.Errorf("%q is no AAGUID, as in fa2b99dc-9e39-4257-8f92-4a30d23c4118", s)
}

// String writes m as ParseModel reads it.
func (m Model) String() string {
	h := hex.EncodeToString(m[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// PasskeyModel reports whether passkeys of a model may be enrolled. A list of what is allowed
// leaves out those that do not tell what they are.
func (s Settings) PasskeyModel(m Model) bool {
	return !s.PasskeyDenied(m.String()) && (len(s.PasskeyAllow) == 0 || among(s.PasskeyAllow, m.String()))
}

// PasskeyDenied reports whether passkeys of a model serve nobody, whenever they were enrolled. What
// is allowed is asked at enrolment alone: who narrows that keeps the passkeys that there are.
func (s Settings) PasskeyDenied(model string) bool { return among(s.PasskeyDeny, model) }

func among(models []string, model string) bool {
	return slices.ContainsFunc(models, func(one string) bool { return strings.EqualFold(one, model) })
}

// PasskeyModels reports whether it matters which model a passkey is.
func (s Settings) PasskeyModels() bool { return len(s.PasskeyAllow)+len(s.PasskeyDeny) > 0 }
