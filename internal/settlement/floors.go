package settlement

import (
	"iter"
	"slices"
	"strings"

	"countersign/internal/mfa"
)

// Floors are the floors of a user's credentials, each credential once, in order of ids. There
// are few: a map would be larger, and dear to make for each sign-in.
type Floors []CredFloor

// CredFloor is the floor of one credential.
type CredFloor struct {
	ID    mfa.CredentialID
	Floor mfa.Floor
}

// Of returns the floor of a credential; the zero Floor if it has none.
func (f Floors) Of(id mfa.CredentialID) mfa.Floor {
	if i, found := f.find(id); found {
		return f[i].Floor
	}
	return mfa.Floor{}
}

// All yields every floor, in order of ids.
func (f Floors) All() iter.Seq2[mfa.CredentialID, mfa.Floor] {
	return func(yield func(mfa.CredentialID, mfa.Floor) bool) {
		for _, c := range f {
			if !yield(c.ID, c.Floor) {
				return
			}
		}
	}
}

func (f Floors) find(id mfa.CredentialID) (i int, found bool) {
	return slices.BinarySearchFunc(f, id, func(c CredFloor, id mfa.CredentialID) int { return strings.Compare(string(c.ID), string(id)) })
}

// raise is the only place that writes a floor: it goes up or stays. f is changed in place.
func (f *Floors) raise(id mfa.CredentialID, to mfa.Floor) {
	i, found := f.find(id)
	if !found {
		*f = slices.Insert(*f, i, CredFloor{ID: id})
	}
	c := &(*f)[i]
	if to.Next < c.Floor.Next {
		to.Next, to.Drift = c.Floor.Next, c.Floor.Drift
	}
	to.Spent |= c.Floor.Spent
	c.Floor = to
}
