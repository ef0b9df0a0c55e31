package settlement

import (
	"slices"
	"time"

	"countersign/internal/mfa"
)

// RememberedMost is how many successes are remembered of one user; the oldest makes room.
const RememberedMost = 8

// RememberedFor is how long one is kept, whatever the policy says.
const RememberedFor = 10 * time.Minute

// Success is a sign-in with both factors, remembered so that the next one from there need not
// ask again. It is no floor and no count: merging records does not bring it elsewhere.
type Success struct {
	Place      uint64           // keyed digest of application and source
	Credential mfa.CredentialID // that it was made with
	Time       time.Time        // whole seconds
}

// remember returns the successes of r with one more, in place of an older one from there.
func (r Record) remember(s Success) []Success {
	s.Time = s.Time.Truncate(time.Second)
	list := slices.DeleteFunc(slices.Clone(r.Remembered), func(o Success) bool {
		return o.Place == s.Place || s.Time.Sub(o.Time) >= RememberedFor || o.Time.After(s.Time)
	})
	list = append(list, s)
	return list[max(0, len(list)-RememberedMost):]
}

// Since returns the success that is remembered of a place at now and not older than age. One
// from the future, as of a clock that was set back, is none.
func (r Record) Since(place uint64, age time.Duration, now time.Time) (Success, bool) {
	for _, s := range r.Remembered {
		if s.Place == place && !now.Before(s.Time) && now.Sub(s.Time) < min(age, RememberedFor) {
			return s, true
		}
	}
	return Success{}, false
}

// ForgetSuccesses returns r without remembered successes.
func (r Record) ForgetSuccesses() Record {
	n := r.Clone()
	n.Remembered = nil
	return n
}

// Forgotten is ForgetSuccesses of an encoded record: b itself if it has none, or cannot be read.
func Forgotten(b []byte) []byte {
	if len(b) == 0 || b[0] != versionRemembering {
		return b
	}
	var r Record
	if r.UnmarshalBinary(b) != nil {
		return b
	}
	if n, err := r.ForgetSuccesses().MarshalBinary(); err == nil {
		return n
	}
	return b
}
