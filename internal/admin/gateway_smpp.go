package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/provider"
)

// The defaults of a gateway of protocol smpp.
const (
	smppWindow  = 10
	smppEnquire = 30 // s
)

// gatewaySMPP converts for the API.
func gatewaySMPP(o mfa.SMPPOptions) *GatewaySMPP {
	return &GatewaySMPP{Version: o.Version, SystemType: o.SystemType, Window: o.Window, EnquireSeconds: int(o.Enquire / time.Second),
		Parts: o.Parts, Alphabet: o.Alphabet, Receipts: !o.NoReceipts, Refuse: list(o.Refuse)}
}

// applySMPP changes what is particular to SMPP, and fills in what was never set.
func applySMPP(g *mfa.Gateway, c *GatewaySMPPChange) error {
	if g.Protocol != mfa.GatewaySMPP {
		if c != nil {
			return invalid("smpp is for gateways of protocol smpp")
		}
		return nil
	}
	o := &g.SMPP
	if o.Version == "" {
		*o = mfa.SMPPOptions{Version: mfa.SMPP34, Window: smppWindow, Enquire: smppEnquire * time.Second, Parts: mfa.PartsByUDH, Alphabet: mfa.AlphabetGSM}
	}
	if c == nil {
		return nil
	}
	var bad error
	set(&bad, "smpp.version", &o.Version, c.Version, oneOf(mfa.SMPP34, mfa.SMPP50))
	set(&bad, "smpp.system_type", &o.SystemType, c.SystemType, printable(12))
	set(&bad, "smpp.window", &o.Window, c.Window, between(1, 1000))
	set(&bad, "smpp.enquire_seconds", &o.Enquire, c.EnquireSeconds, func(n int) (time.Duration, error) {
		n, err := between(1, 600)(n)
		return time.Duration(n) * time.Second, err
	})
	set(&bad, "smpp.parts", &o.Parts, c.Parts, oneOf(mfa.PartsByUDH, mfa.PartsBySAR))
	set(&bad, "smpp.alphabet", &o.Alphabet, c.Alphabet, oneOf(mfa.AlphabetGSM, mfa.AlphabetUCS))
	set(&bad, "smpp.receipts", &o.NoReceipts, c.Receipts, func(yes bool) (bool, error) { return !yes, nil })
	set(&bad, "smpp.refuse", &o.Refuse, c.Refuse, smppRules)
	return bad
}

func smppRules(rules []mfa.SMPPRule) ([]mfa.SMPPRule, error) {
	if len(rules) > 64 {
		return nil, fmt.Errorf("%d rules; at most 64", len(rules))
	}
	for _, r := range rules {
		var why mfa.Reason
		if err := why.UnmarshalText([]byte(r.Reason)); err != nil || !slices.Contains(provider.Refusals, why) {
			return nil, fmt.Errorf("reason %q: want one of %v", clip(r.Reason), provider.Refusals)
		}
		if r.Status < 1 || r.Status > 1<<31-1 {
			return nil, fmt.Errorf("status %d: want a status of SMPP that is not 0", r.Status)
		}
	}
	return rules, nil
}

// printable wants at most most bytes of printable ASCII.
func printable(most int) func(string) (string, error) {
	return func(s string) (string, error) {
		if len(s) > most || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return s, fmt.Errorf("want at most %d characters of ASCII", most)
		}
		return s, nil
	}
}

// checkSMPP reports what does not go together.
func checkSMPP(g *mfa.Gateway) (err error) {
	if g.TLS == "" {
		g.TLS = mfa.GatewayTLS
	}
	if g.TLS == mfa.GatewayStartTLS {
		return invalid("tls: SMPP is spoken over TLS from the first byte (tls), or without (none)")
	}
	if g.Address, err = hostPort(g.Address, map[string]string{mfa.GatewayTLS: "3550", mfa.GatewayPlain: "2775"}[g.TLS]); err != nil {
		return invalid("address: %v", err)
	}
	if _, err := printable(15)(g.Login); err != nil || g.Login == "" {
		return invalid("login: want the system id that the provider gave you, at most 15 characters of ASCII")
	}
	if n := g.Password.Len(); n > 64 {
		return invalid("password: %d characters; SMPP has 8, and some providers more, but not so many", n)
	}
	if digits := strings.TrimPrefix(g.From, "+"); strings.Trim(digits, "0123456789") != "" && len(g.From) > 11 || len(digits) > 20 {
		return invalid("from: want a number, a short code, or a name of at most 11 characters")
	}
	return nil
}
