package admin

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"countersign/internal/mfa"
)

// minSigningKey is the shortest secret that signs callbacks, in bytes.
const minSigningKey = 16

// callbackURL checks what an administrator gives; where it may lead is looked at with each call.
func callbackURL(s string) (string, error) {
	if s = strings.TrimSpace(s); s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("%q: want https://HOST/PATH", clip(s))
	case u.User != nil:
		return "", fmt.Errorf("%s: no user or password in it: callbacks are signed", u.Redacted())
	case u.Fragment != "":
		return "", fmt.Errorf("%q: a fragment is never sent", clip(s))
	}
	return u.String(), nil
}

// callbackFits checks that the parts of a callback fit each other.
func callbackFits(a *mfa.Application) error {
	c := a.Callback
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		a.Callback = mfa.Callback{}
		return nil
	case err != nil:
		return invalid("callback_url: %v", err)
	case a.Kind != mfa.KindAPI:
		return invalid("callback_url: only applications of kind api are called back")
	case a.Secret.Len() < minSigningKey:
		return invalid("callback_url: callbacks are signed, so the application needs a secret of at least %d bytes", minSigningKey)
	case u.Scheme == "http" && len(c.Networks) == 0:
		return invalid("callback_url: http is for hosts within callback_networks only: name those, or use https")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
		return invalid("callback_url: %s is no address to call", ip)
	}
	return nil
}
