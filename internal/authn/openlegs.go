package authn

import (
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// openLegsMax bounds the memory: beyond it nothing more is remembered until some expire.
const openLegsMax = 10_000

// openLegs are legs whose settlement had an open outcome, so that nobody was answered and no
// verdict recorded. If the client asks again and the settlement stands, both are owed. The zero
// value is ready.
type openLegs struct {
	mu   sync.Mutex
	legs map[mfa.LegID]openLeg
}

type openLeg struct {
	until  time.Time
	begun  time.Time
	method mfa.MethodID
	cred   mfa.CredentialID
}

func (o *openLegs) add(a *attempt, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.legs == nil {
		o.legs = map[mfa.LegID]openLeg{}
	}
	if len(o.legs) >= openLegsMax {
		for id, l := range o.legs {
			if !now.Before(l.until) {
				delete(o.legs, id)
			}
		}
	}
	if len(o.legs) < openLegsMax {
		o.legs[a.Leg] = openLeg{now.Add(settlement.LegKeep), a.begun, a.method, a.cred}
	}
}

func (o *openLegs) of(id mfa.LegID) (openLeg, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l, ok := o.legs[id]
	return l, ok
}

func (o *openLegs) drop(id mfa.LegID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.legs, id)
}
