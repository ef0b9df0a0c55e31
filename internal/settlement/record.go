// Package settlement holds the record that one conditional write decides an attempt by
// (DESIGN law 3): floors, tries, locks, spent handles and the ids of the last legs of one
// user. It is pure: the codec, what a success or a failure does to a record, and how two
// copies of one merge. Nothing here ever lowers a floor.
package settlement

import (
	"hash/fnv"
	"time"

	"countersign/internal/mfa"
)

// MaxSize is the largest encoded record, in bytes.
const MaxSize = 2048

// Record is the settlement record of one user. The zero Record is that of a user who
// has never been settled.
type Record struct {
	Fails  Count // second factor, over all methods
	First  Count // first factor
	Floors Floors
	Nonces []Nonce // spent handles, oldest first
	Legs   []Leg   // last settled legs, oldest first

	Remembered []Success // oldest first, at most RememberedMost
}

// Count counts failures in a row and holds the lock that they led to.
type Count struct {
	N     uint16    // failures since the last success, lock or expiry
	Last  time.Time // of the last failure, whole seconds
	Until time.Time // locked until; zero: not locked
}

// Nonce is a challenge handle that was answered.
type Nonce struct {
	ID    uint64
	Until time.Time // when the handle expires; the entry is needed no longer then
}

// Leg is the result of one settled leg, kept so that a retransmit of it gets the same
// answer and is not counted again.
type Leg struct {
	ID      mfa.LegID
	Attempt mfa.AttemptID
	Reason  mfa.Reason // accepts or not as Reason.Accepts says
	Time    time.Time  // whole seconds
	Server  Tag        // that settled it
}

// Tag stands for a server in a record: 16 bits of a digest of its name. 0 means none.
type Tag uint16

// TagOf returns the tag of the server with that name.
func TagOf(server string) Tag {
	h := fnv.New32a()
	h.Write([]byte(server))
	return max(Tag(h.Sum32()^h.Sum32()>>16), 1)
}

// CredRevs are the revisions of a user's credentials. There are few: a map would be larger.
type CredRevs []CredRev

// CredRev is the revision of one credential.
type CredRev struct {
	ID  mfa.CredentialID
	Rev int64
}

// Of returns the revision of a credential; 0: it is not among these.
func (c CredRevs) Of(id mfa.CredentialID) int64 {
	for _, r := range c {
		if r.ID == id {
			return r.Rev
		}
	}
	return 0
}

// Account is all that one decision about one user is made from, with the revisions that
// it was read at. Settling is conditional on them.
type Account struct {
	User        mfa.User
	Credentials []mfa.Credential
	Record      Record
	UserRev     int64    // of the key u/ID
	RecordRev   int64    // of the key s/ID; 0: absent
	CredRevs    CredRevs // of the keys c/ID/CRED
	Whole       bool     // User and Credentials hold every change up to RecordRev, so that it stands for their revisions too
	LocalRev    uint64   // number of the last that this server settled alone and has not merged; 0: none
}
