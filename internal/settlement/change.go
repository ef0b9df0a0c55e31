package settlement

import (
	"slices"
	"time"

	"countersign/internal/mfa"
)

const (
	// LegKeep is how long a leg's result is kept if there is room: longer than any NAS repeats
	// a request.
	LegKeep = 2 * time.Minute
	// legLeast is how long it is kept in any case: as long as front-ends keep their answers,
	// and longer than a server's trail needs to have it for certain. A request that is
	// repeated later than that finds its code used; it is not accepted twice.
	legLeast = 30 * time.Second
	// legMin is how many results are kept however old, so that a server that stopped
	// between settling and recording still finds its own at its next start.
	legMin = 4
)

// Limits say when failures lock.
type Limits struct {
	Tries int           // failures in a row
	Lock  time.Duration // for how long; also how long a failure is remembered
}

// Change is what one settled leg does to a record.
type Change struct {
	Leg     mfa.LegID
	Attempt mfa.AttemptID
	Reason  mfa.Reason
	Time    time.Time
	Server  string // that settles it

	Credential mfa.CredentialID // whose floor rises; empty: none
	Floor      mfa.Floor
	Nonce      Nonce // handle spent; zero: none

	Remember Success // zero: none

	Fail       bool // book a second-factor failure
	FirstFail  bool // book a first-factor failure
	Clear      bool // the second factor was right: forget its failures
	FirstClear bool // the first factor was right: forget its failures
}

// Clone returns a copy that shares nothing with r.
func (r Record) Clone() Record {
	r.Floors = slices.Clone(r.Floors)
	r.Nonces = slices.Clone(r.Nonces)
	r.Remembered = slices.Clone(r.Remembered)
	if r.Legs != nil {
		r.Legs = append(make([]Leg, 0, len(r.Legs)+1), r.Legs...) // a copy is made to add one
	}
	return r
}

// Result returns the latest result of a leg that was settled before.
func (r Record) Result(id mfa.LegID) (Leg, bool) {
	for _, l := range slices.Backward(r.Legs) {
		if l.ID == id && id != (mfa.LegID{}) {
			return l, true
		}
	}
	return Leg{}, false
}

// Spent reports whether the handle with this nonce was answered.
func (r Record) Spent(nonce uint64) bool {
	return slices.ContainsFunc(r.Nonces, func(n Nonce) bool { return n.ID == nonce })
}

// LockedAt reports whether c is locked at now.
func (c Count) LockedAt(now time.Time) bool { return now.Before(c.Until) }

// Apply returns the record after c. r itself is not changed. It returns
// mfa.TooManyAttempts if the record is full of what must be kept: only results older than
// legLeast make room for newer ones.
func (r Record) Apply(c Change, second, first Limits) (Record, error) {
	n := r.Clone()
	n.sweep(c.Time)
	if c.Clear {
		n.Fails = Count{}
	}
	if c.FirstClear {
		n.First = Count{}
	}
	if c.Fail {
		n.Fails.fail(c.Time, second)
	}
	if c.FirstFail {
		n.First.fail(c.Time, first)
	}
	if c.Credential != "" {
		n.Floors.raise(c.Credential, c.Floor)
	}
	if c.Nonce != (Nonce{}) && !n.Spent(c.Nonce.ID) {
		n.Nonces = append(n.Nonces, c.Nonce)
	}
	if c.Remember != (Success{}) {
		n.Remembered = n.remember(c.Remember)
	}
	n.Legs = append(n.Legs, Leg{ID: c.Leg, Attempt: c.Attempt, Reason: c.Reason, Time: c.Time.Truncate(time.Second), Server: TagOf(c.Server)})
	for n.size() > MaxSize {
		if len(n.Remembered) > 0 { // only a comfort
			n.Remembered = n.Remembered[1:]
			continue
		}
		if len(n.Legs) <= legMin || c.Time.Sub(n.Legs[0].Time).Abs() <= legLeast {
			return r, mfa.TooManyAttempts
		}
		n.Legs = n.Legs[1:]
	}
	return n, nil
}

// Unlock returns r without failures and locks, and with room for new attempts: only the
// last results stay. A handle that was answered stays spent.
func (r Record) Unlock() Record {
	n := r.Clone()
	n.Fails, n.First = Count{}, Count{}
	n.Legs = n.Legs[max(0, len(n.Legs)-legMin):]
	return n
}

// Miss returns r with one more wrong second factor, of no sign-in: a code that was to prove a
// token or to bring it back into step.
func (r Record) Miss(now time.Time, second Limits) Record {
	n := r.Clone()
	n.sweep(now)
	n.Fails.fail(now, second)
	return n
}

// Spend returns r with a challenge spent that belongs to no sign-in.
func (r Record) Spend(nonce Nonce, now time.Time) Record {
	n := r.Clone()
	n.sweep(now)
	if !n.Spent(nonce.ID) {
		n.Nonces = append(n.Nonces, nonce)
	}
	return n
}

// Merge returns the record after a ledger entry that it may or may not hold already, and
// whether that changed it. A leg that it holds changes nothing, so merging twice is merging once:
// floors take the higher, spent codes and nonces are united, failures that have not
// expired at now are added, and a lock stands.
func (r Record) Merge(s mfa.Settled, second, first Limits, now time.Time) (Record, bool) {
	n := r.Clone()
	changed := false
	if s.Credential != "" {
		before := slices.Clone(n.Floors)
		n.Floors.raise(s.Credential, s.Floor)
		changed = !slices.Equal(n.Floors, before)
	}
	if s.Nonce != 0 && now.Before(s.NonceUntil) && !n.Spent(s.Nonce) {
		n.Nonces = append(n.Nonces, Nonce{ID: s.Nonce, Until: s.NonceUntil})
		changed = true
	}
	if _, known := n.Result(s.Leg); known {
		return n, changed
	}
	if s.Failures > 0 && now.Sub(s.Time) < second.Lock {
		n.Fails.fail(s.Time, second)
		changed = true
	}
	if s.FirstFails > 0 && now.Sub(s.Time) < first.Lock {
		n.First.fail(s.Time, first)
		changed = true
	}
	if changed {
		n.sweep(now)
		n.Legs = append(n.Legs, Leg{ID: s.Leg, Attempt: s.Attempt, Reason: s.Reason, Time: s.Time.Truncate(time.Second), Server: TagOf(s.Server)})
		slices.SortStableFunc(n.Legs, func(a, b Leg) int { return a.Time.Compare(b.Time) })
		if n.size() > MaxSize {
			n.Remembered = nil
		}
		for len(n.Legs) > 1 && n.size() > MaxSize { // several servers' within two minutes; floors and nonces stay
			n.Legs = n.Legs[1:]
		}
	}
	return n, changed
}

// Raise lifts the floor of one credential to at least f.
func (r Record) Raise(id mfa.CredentialID, f mfa.Floor) Record {
	n := r.Clone()
	n.Floors.raise(id, f)
	return n
}

// Forget returns r without the floors of credentials that keep says are gone.
func (r Record) Forget(keep func(mfa.CredentialID) bool) Record {
	n := r.Clone()
	n.Floors = slices.DeleteFunc(n.Floors, func(c CredFloor) bool { return !keep(c.ID) })
	return n
}

// fail books a failure at now. A failure that is older than the lock time, or that led
// to a lock that has ended, is forgotten first.
func (c *Count) fail(now time.Time, l Limits) {
	now = now.Truncate(time.Second)
	if c.LockedAt(now) {
		return
	}
	if !c.Until.IsZero() || now.Sub(c.Last) >= l.Lock {
		*c = Count{}
	}
	if c.N < ^uint16(0) {
		c.N++
	}
	if now.After(c.Last) {
		c.Last = now
	}
	if int(c.N) >= l.Tries {
		c.Until = now.Add(l.Lock)
	}
}

// sweep drops what is needed no longer at now. A leg from the future is from before the
// clock was set back: kept, it would keep every leg behind it too, until the record is full.
func (r *Record) sweep(now time.Time) {
	r.Nonces = slices.DeleteFunc(r.Nonces, func(n Nonce) bool { return !now.Before(n.Until) })
	r.Remembered = slices.DeleteFunc(r.Remembered, func(s Success) bool { return now.Sub(s.Time).Abs() >= RememberedFor })
	for len(r.Legs) >= legMin && now.Sub(r.Legs[0].Time).Abs() > LegKeep {
		r.Legs = r.Legs[1:]
	}
}
