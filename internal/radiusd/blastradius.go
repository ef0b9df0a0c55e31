package radiusd

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"countersign/internal/mfa"
)

// Exposure is one line of the blastradius report: whether answers to one client address
// can be forged by someone on the network path (CVE-2024-3596). Every answer of ours is
// signed; what remains is a client that sends unsigned requests, because someone may
// strip or alter those, and because such a client probably checks no answer either.
type Exposure struct {
	Application string     `json:"application"`
	Address     netip.Addr `json:"address,omitzero"` // zero: no packet was seen from any address of it
	Mode        string     `json:"mode"`             // learn, warn, require
	Safe        bool       `json:"safe"`
	Proven      time.Time  `json:"proven,omitzero"`       // first signed request
	Without     time.Time  `json:"last_without,omitzero"` // last unsigned request, to the hour
	Next        string     `json:"next_step,omitempty"`
}

// Blastradius reports on every RADIUS application in apps and every address in seen,
// sorted by name and address. An address is safe if unsigned requests from it are
// dropped: always in mode require, once proven in mode learn, never in mode warn.
func Blastradius(apps []mfa.Application, seen []mfa.NAS) []Exposure {
	var report []Exposure
	for _, a := range apps {
		if a.Kind != mfa.KindRADIUS {
			continue
		}
		line := Exposure{Application: a.Name, Mode: string(mode(a))}
		n := len(report)
		for _, s := range seen {
			if s.Application == a.ID {
				line.Address, line.Proven, line.Without = s.Address, s.Proven, s.Without
				report = append(report, line.judge())
			}
		}
		if len(report) == n {
			report = append(report, line.judge())
		}
	}
	slices.SortFunc(report, func(a, b Exposure) int {
		return cmp.Or(cmp.Compare(a.Application, b.Application), a.Address.Compare(b.Address))
	})
	return report
}

func (e Exposure) judge() Exposure {
	switch mfa.MessageAuthenticator(e.Mode) {
	case mfa.MARequire:
		e.Safe = true
	case mfa.MAWarn:
		e.Next = "mode warn accepts unsigned requests; once the client signs, set --message-authenticator require"
	default:
		switch {
		case !e.Address.IsValid():
			e.Next = "no request was seen yet; set --message-authenticator require if the client is known to sign"
		case e.Proven.IsZero():
			e.Next = "the client never signed a request; update it or switch Message-Authenticator on there"
		default:
			e.Safe = true
		}
	}
	return e
}

// mode returns what a demands, with the default filled in. What is not known is the
// strictest.
func mode(a mfa.Application) mfa.MessageAuthenticator {
	switch a.MA {
	case "":
		return mfa.MALearn
	case mfa.MALearn, mfa.MAWarn:
		return a.MA
	}
	return mfa.MARequire
}
