package admin

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// GatewaySIP says how calls are placed.
type GatewaySIP struct {
	Transport   *string `json:"transport,omitempty" enum:"udp,tcp,tls" doc:"default udp"`
	Domain      *string `json:"domain,omitempty" maxLength:"253" doc:"of its SIP addresses; empty: the host of the address"`
	Dial        *string `json:"dial,omitempty" maxLength:"64" doc:"what is dialled, {number} (+49170...) or {digits} (49170...) in it; default {number}"`
	RingSeconds *int    `json:"ring_seconds,omitempty" minimum:"0" maximum:"120" doc:"until somebody picks up; 0: 30"`
	Calls       *int    `json:"calls,omitempty" minimum:"0" maximum:"10000" doc:"most at once, of one server; 0: 10"`
	AudioPorts  *string `json:"audio_ports,omitempty" maxLength:"11" doc:"UDP ports of the server for audio, as in 10000-10099; empty: any"`
}

// gatewaySIP converts for the API.
func gatewaySIP(t mfa.SIPTrunk) *GatewaySIP {
	ring, calls, ports := int(t.Ring/time.Second), t.Calls, ""
	if t.FirstPort > 0 {
		ports = fmt.Sprintf("%d-%d", t.FirstPort, t.LastPort)
	}
	return &GatewaySIP{Transport: &t.Transport, Domain: &t.Domain, Dial: &t.Dial, RingSeconds: &ring, Calls: &calls, AudioPorts: &ports}
}

// applySIP takes over what was given.
func applySIP(g *mfa.Gateway, c *GatewaySIP) error {
	if c == nil {
		return nil
	}
	if g.Protocol != mfa.GatewaySIP {
		return invalid("sip is for gateways of protocol sip")
	}
	var bad error
	t := &g.SIP
	set(&bad, "transport", &t.Transport, c.Transport, oneOf("udp", "tcp", "tls"))
	set(&bad, "domain", &t.Domain, c.Domain, sipDomain)
	set(&bad, "dial", &t.Dial, c.Dial, dialForm)
	set(&bad, "ring_seconds", &t.Ring, c.RingSeconds, func(n int) (time.Duration, error) {
		n, err := between(0, 120)(n)
		return time.Duration(n) * time.Second, err
	})
	set(&bad, "calls", &t.Calls, c.Calls, between(0, 10000))
	if c.AudioPorts != nil {
		var ports [2]int
		set(&bad, "audio_ports", &ports, c.AudioPorts, audioPorts)
		t.FirstPort, t.LastPort = ports[0], ports[1]
	}
	return bad
}

// checkCall completes a gateway for calls.
func checkCall(g *mfa.Gateway) (err error) {
	if g.Protocol != mfa.GatewaySIP {
		return invalid("protocol: calls go by sip")
	}
	if g.SIP.Transport == "" {
		g.SIP.Transport = "udp"
	}
	if g.TLS != "" {
		return invalid("tls: a gateway for calls has a transport: --transport tls")
	}
	port := "5060"
	if g.SIP.Transport == "tls" {
		port = "5061"
	}
	if g.Address, err = hostPort(g.Address, port); err != nil {
		return invalid("address: %v", err)
	}
	if !sipUser(g.From) {
		return invalid("from: the number or name that calls come from, as the provider knows it: digits, letters and + - . _ (as in +4930123456)")
	}
	return nil
}

func sipDomain(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s != "" && net.ParseIP(s) == nil && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}) >= 0 {
		return "", fmt.Errorf("%q is no name of a domain", clip(s))
	}
	return s, nil
}

// sipUser reports whether s may stand before the @ of a SIP address as it is.
func sipUser(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("+-._*#", r)
	}) < 0
}

func dialForm(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", nil
	}
	rest := strings.NewReplacer("{number}", "", "{digits}", "").Replace(s)
	if rest == s || rest != "" && !sipUser(rest) {
		return "", fmt.Errorf("%q: want {number} or {digits}, and before or after it digits, as in 0{digits}", clip(s))
	}
	return s, nil
}

func audioPorts(s string) (ports [2]int, err error) {
	if s == "" {
		return ports, nil
	}
	first, last, ok := strings.Cut(s, "-")
	a, err1 := strconv.Atoi(first)
	b, err2 := strconv.Atoi(last)
	if !ok || err1 != nil || err2 != nil || a < 1024 || b > 65535 || b < a {
		return ports, fmt.Errorf("%q: want FIRST-LAST from 1024 to 65535", clip(s))
	}
	return [2]int{a, b}, nil
}
