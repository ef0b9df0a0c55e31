package admin

import (
	"slices"

	"countersign/internal/mfa"
	"countersign/internal/provider"
)

// A secret that is never shown is not sent where its owner did not mean it to go either: who may
// change an address but does not know the secret would only have to listen there. So what decides
// who hears it is changed together with it.

// entrusted refuses a change of a gateway that has what is kept secret heard by somebody else.
func (c GatewayChange) entrusted(before, after mfa.Gateway) error {
	elsewhere := before.Address != after.Address || before.SIP.Transport == "tls" && after.SIP.Transport != "tls" || weaker(before.TLS, after.TLS) || before.CAs != after.CAs || before.Protocol != after.Protocol
	told := before.HTTP.Body != after.HTTP.Body || before.HTTP.Method != after.HTTP.Method || before.HTTP.Format != after.HTTP.Format
	for name, v := range after.HTTP.Headers {
		if c.HTTP != nil && c.HTTP.Headers[name] != sealedValue {
			told = true
		} else if elsewhere && before.HTTP.Headers[name] == v && !public(before, name, v) {
			return invalid("headers %s: its value would be sent elsewhere: give it again", name)
		}
	}
	if (elsewhere || told) && !before.Password.Empty() && c.Password == nil {
		return invalid("password: give it again, because this change decides who gets it (address, protocol, less tls, ca_pem, profile and what http says of the request)")
	}
	return nil
}

// weaker reports whether a gateway's connection is protected less than before.
func weaker(before, after string) bool {
	order := []string{mfa.GatewayPlain, mfa.GatewayStartTLS, mfa.GatewayTLS}
	return slices.Index(order, after) < slices.Index(order, before)
}

// public reports whether a header is as the profile has it, so nobody's secret.
func public(g mfa.Gateway, name, value string) bool {
	p, err := provider.ByName(g.HTTP.Profile)
	return err == nil && p.Headers[name] == value
}

// entrusted refuses a change of a directory that has its bind password heard by somebody else.
func (c DirectoryChange) entrusted(before, after mfa.Directory) error {
	elsewhere := !slices.Equal(before.URLs, after.URLs) || before.StartTLS && !after.StartTLS || before.CAs != after.CAs
	if elsewhere && !before.BindPassword.Empty() && c.BindPassword == nil {
		return invalid("bind_password: give it again, because this change decides who gets it (urls, no more start_tls, ca_pem)")
	}
	return nil
}
