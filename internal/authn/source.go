package authn

import (
	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// from has a be judged, recorded, remembered and throttled by the source that an earlier leg of its
// attempt told: an answer that names none, or another, is no way around rules by source. The first
// that is told stands.
func (e *Engine) from(a *attempt, h mfa.Handle) {
	first, now := h.Source, station(a.Source)
	if first == "" || now == first {
		return
	}
	if now != "" {
		a.note("this request names the source %s; that of the first holds: %s", now, first)
		e.Log.Info("an answer names another source than the sign-in that it belongs to, which goes on as from there", "attempt", h.Attempt,
			"application", a.app.Name, "source", first, "named", now)
	}
	a.Source = first
}

// station is a source as it is carried, compared and counted: an address has one form only.
func station(told string) string {
	if addr := policy.SourceOf(told); addr.IsValid() {
		return addr.String()
	}
	return printable(told)
}

// source is the key of the throttle: the end user's own station, if the client told it.
// Without it all users of a client would share one, and one of them could lock out all.
func (a *attempt) source() string {
	if a.Source == "" {
		return ""
	}
	return string(a.app.ID) + " " + station(a.Source)
}
