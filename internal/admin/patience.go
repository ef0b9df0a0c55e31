package admin

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
)

// Patience says of a RADIUS client that it gives up before a person can answer.
type Patience struct {
	Address string  `json:"address" doc:"of the client"`
	Seconds float64 `json:"gives_up_seconds" doc:"after which it was seen to give up"`
	Every   float64 `json:"repeats_every_seconds,omitempty" doc:"its request meanwhile; absent: it did not repeat it"`
	Seen    string  `json:"seen" doc:"when that was"`
	Advice  string  `json:"advice" doc:"what to set on the client"`
}

// patience returns what was seen of the clients of an application that wait for too short.
func (s *Service) patience(a mfa.Application) []Patience {
	if a.Kind != mfa.KindRADIUS || s.Radius == nil || s.Settings == nil {
		return nil
	}
	var list []Patience
	for _, n := range s.Radius.NASes() {
		if need := s.Settings.Settings().Wait.Duration(); n.Application == a.ID && TooShort(n.Patience, need) {
			list = append(list, Patience{Address: n.Address.String(), Seconds: n.Patience.GivesUp.Seconds(), Every: n.Patience.Every.Seconds(),
				Seen: n.Patience.Seen.UTC().Format(time.RFC3339), Advice: PatienceAdvice(need)})
		}
	}
	slices.SortFunc(list, func(x, y Patience) int { return cmp.Compare(x.Address, y.Address) })
	return list
}

// PatienceSlack is what a client has to wait beyond the time that a person has.
const PatienceSlack = 10 * time.Second

// TooShort reports whether a client was seen to give up before a person who has need to answer
// can have done so.
func TooShort(p mfa.Patience, need time.Duration) bool {
	return !p.Seen.IsZero() && p.GivesUp < need
}

// PatienceAdvice says what to set on a client that gives up too early.
func PatienceAdvice(need time.Duration) string {
	total := int((need + PatienceSlack).Seconds())
	return fmt.Sprintf("set its RADIUS time-out to %d s in all, for example %d s and %d tries; or have the user asked for less long: policy set wait_seconds=N", total, total/3+1, 3)
}
