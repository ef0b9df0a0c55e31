package admin

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"countersign/internal/mfa"
)

// BlastRADIUS reports which RADIUS clients are safe against CVE-2024-3596: those whose
// requests are refused without a valid Message-Authenticator.
func (s *Service) BlastRADIUS(context.Context) (BlastRADIUS, error) {
	heard := map[mfa.ApplicationID][]mfa.NAS{}
	for _, n := range s.Radius.NASes() {
		heard[n.Application] = append(heard[n.Application], n)
	}
	out := BlastRADIUS{Clients: []BlastClient{}}
	for _, a := range s.Applications.Applications() {
		if a.Kind != mfa.KindRADIUS {
			continue
		}
		for _, n := range heard[a.ID] {
			out.Clients = append(out.Clients, blastClient(a, n))
		}
		for _, p := range a.Addresses {
			if !slices.ContainsFunc(heard[a.ID], func(n mfa.NAS) bool { return p.Contains(n.Address) }) {
				c := blastClient(a, mfa.NAS{})
				c.Address = networks([]netip.Prefix{p})[0]
				out.Clients = append(out.Clients, c)
			}
		}
	}
	slices.SortFunc(out.Clients, func(a, b BlastClient) int {
		return cmp.Or(cmp.Compare(a.Application, b.Application), cmp.Compare(a.Address, b.Address))
	})
	return out, nil
}

func blastClient(a mfa.Application, n mfa.NAS) BlastClient {
	c := BlastClient{Application: a.Name, Mode: or(a.MA, mfa.MALearn), FirstSeen: moment(n.FirstSeen),
		Proven: moment(n.Proven), Without: moment(n.Without)}
	if n.Address.IsValid() {
		c.Address = n.Address.String()
	}
	switch {
	case a.MA == mfa.MARequire:
		c.State, c.Advice = "safe", "requests without a valid Message-Authenticator are dropped"
	case a.MA == mfa.MAWarn && !n.Without.IsZero():
		c.State, c.Advice = "unsafe", "it sends requests without Message-Authenticator: update the client, then `application set "+a.Name+" --message-authenticator require`"
	case a.MA == mfa.MAWarn:
		c.State, c.Advice = "unsafe", "requests without one are accepted: `application set "+a.Name+" --message-authenticator learn` or require"
	case !n.Proven.IsZero():
		c.State, c.Advice = "safe", "it has sent a valid one, and is held to it from then on"
	case !n.FirstSeen.IsZero() || !n.Without.IsZero():
		c.State, c.Advice = "unsafe", "it has never sent a Message-Authenticator: update the client or switch it on there"
	default:
		c.State, c.Advice = "unknown", "nothing was heard from it yet"
	}
	return c
}
