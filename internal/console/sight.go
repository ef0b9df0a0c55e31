package console

import (
	"slices"
	"time"

	"countersign/internal/admin"
	"countersign/internal/group"
)

// sightTexts are those of what a client may send without a verdict coming of it, each with
// what to do about it; "other" is for the rest.
var sightTexts = []string{"unknown_client", "bad_message_authenticator", "missing_message_authenticator", "wrong_secret", "unsupported", "challenge", "rate_limited", "unknown_code", "malformed", "other"}

// sightsShown is how many a page shows.
const sightsShown = 3

// sight is one, as the page of an application shows it.
type sight struct {
	group.Sight
	Server string // that saw it
	Key    string // of its text
}

// sightsOf are those that concern an application since its newest attempt, the latest first:
// of its own clients, and of strangers, one of which may be meant to be a client of it.
func sightsOf(o group.Overview, a admin.Application, newest time.Time) (all []sight) {
	for _, server := range o.Servers {
		for _, one := range server.Sights {
			if one.Application != a.Name && one.Application != "" || !one.Time.After(newest) {
				continue
			}
			s := sight{one, server.Name, "sight." + one.What}
			if !slices.Contains(sightTexts, one.What) {
				s.Key, s.Detail = "sight.other", one.What
			}
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b sight) int { return b.Time.Compare(a.Time) })
	return all[:min(len(all), sightsShown)]
}
