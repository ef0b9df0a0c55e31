package settlement

import (
	"slices"
	"time"

	"countersign/internal/mfa"
)

// Rejoin returns r with what other gained since base, and whether that changed it. r and
// other are the records of one user in two epochs that lived side by side, base is the
// record at their fork; the zero Record if that is not known. Floors take the higher, spent
// codes and nonces are united, failures that have not expired at now are added to those of r,
// and any lock stands. Legs that r has are not counted again. A second call with the
// same other would count its failures twice: the caller sees to it that there is none.
func (r Record) Rejoin(base, other Record, second, first Limits, now time.Time) (Record, bool) {
	before := r.Clone()
	n := r.Clone()
	for id, f := range other.Floors.All() {
		n.Floors.raise(id, f)
	}
	for _, o := range other.Nonces {
		if now.Before(o.Until) && !n.Spent(o.ID) {
			n.Nonces = append(n.Nonces, o)
		}
	}
	legs := other.since(base)
	n.Fails = n.Fails.rejoin(base.Fails, other.Fails, r.known(legs, secondFactor), cleared(legs), second, now)
	n.First = n.First.rejoin(base.First, other.First, r.known(legs, firstFactor), cleared(legs), first, now)
	for _, l := range legs {
		if _, known := n.Result(l.ID); !known {
			n.Legs = append(n.Legs, l)
		}
	}
	if n.equal(before) {
		return before, false
	}
	n.Nonces = slices.DeleteFunc(n.Nonces, func(o Nonce) bool { return !now.Before(o.Until) })
	slices.SortStableFunc(n.Legs, func(a, b Leg) int { return a.Time.Compare(b.Time) })
	if n.size() > MaxSize {
		n.Remembered = nil
	}
	for len(n.Legs) > 1 && n.size() > MaxSize { // floors and nonces stay
		n.Legs = n.Legs[1:]
	}
	return n, true
}

// since returns the legs of r that base does not have.
func (r Record) since(base Record) (legs []Leg) {
	for _, l := range r.Legs {
		if _, had := base.Result(l.ID); !had && l.ID != (mfa.LegID{}) {
			legs = append(legs, l)
		}
	}
	return legs
}

func firstFactor(r mfa.Reason) bool  { return r == mfa.WrongPassword }
func secondFactor(r mfa.Reason) bool { return !firstFactor(r) && !r.Accepts() }

// known counts those of legs that r has and that are failures of a kind.
func (r Record) known(legs []Leg, kind func(mfa.Reason) bool) (n int) {
	for _, l := range legs {
		if _, has := r.Result(l.ID); has && kind(l.Reason) {
			n++
		}
	}
	return n
}

// cleared reports whether one of legs was a success, which forgets what failed before.
func cleared(legs []Leg) bool {
	return slices.ContainsFunc(legs, func(l Leg) bool { return l.Reason.Accepts() })
}

// rejoin adds to c the failures that other gained since base, but for those that c has.
func (c Count) rejoin(base, other Count, has int, cleared bool, l Limits, now time.Time) Count {
	if other.LockedAt(now) && other.Until.After(c.Until) {
		c.Until = other.Until
	}
	gained := int(other.N)
	switch {
	case other.Last.Equal(base.Last) && other.N == base.N && !cleared:
		gained = 0
	case !cleared && other.N > base.N && base.N > 0 && base.Until.IsZero():
		gained -= int(base.N)
	}
	gained = max(gained-has, 0)
	if gained == 0 || now.Sub(other.Last) >= l.Lock {
		return c
	}
	if now.Sub(c.Last) >= l.Lock && !c.LockedAt(now) { // expired
		c = Count{Until: c.Until}
	}
	if !c.LockedAt(now) && !c.Until.IsZero() { // the lock that they led to has ended
		c = Count{}
	}
	c.N = uint16(min(int(c.N)+gained, int(^uint16(0))))
	if other.Last.After(c.Last) {
		c.Last = other.Last
	}
	if until := c.Last.Add(l.Lock); int(c.N) >= l.Tries && until.After(c.Until) {
		c.Until = until
	}
	return c
}

func (r Record) equal(o Record) bool {
	a, errA := r.MarshalBinary()
	b, errB := o.MarshalBinary()
	return errA == nil && errB == nil && string(a) == string(b)
}

// UsedTwice says how the records of two epochs that lived side by side, with base at their
// fork, show that a code of one credential was accepted in both; "" if they do not. window
// is how far apart two uses of one code can be; 0: any time.
func UsedTwice(base, a, b Record, id mfa.CredentialID, window time.Duration) string {
	for _, l := range a.since(base) {
		if i := slices.IndexFunc(b.Legs, func(o Leg) bool {
			return o.Attempt == l.Attempt && o.ID != l.ID && o.Reason.Accepts() && o.Attempt != (mfa.AttemptID{})
		}); i >= 0 && l.Reason.Accepts() {
			return "the same challenge was answered and accepted in two epochs"
		}
	}
	was, fa, fb := base.Floors.Of(id), a.Floors.Of(id), b.Floors.Of(id)
	switch {
	case (fa.Spent&^was.Spent)&(fb.Spent&^was.Spent) != 0:
		return "the same single-use code was accepted in two epochs"
	case fa.Next <= was.Next || fb.Next <= was.Next:
		return ""
	case fa.Next == fb.Next:
		return "the same code was accepted in two epochs"
	case window > 0 && !near(a.since(base), b.since(base), window):
		return ""
	}
	return "codes were accepted in both epochs, and one of them may be the same"
}

// near reports whether two accepts, one of each, lie within window of each other; or
// whether that cannot be told, because only the last legs are kept.
func near(a, b []Leg, window time.Duration) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for _, x := range a {
		for _, y := range b {
			if x.ID != y.ID && x.Reason.Accepts() && y.Reason.Accepts() && x.Time.Sub(y.Time).Abs() <= window {
				return true
			}
		}
	}
	return false
}
