package mfa

import (
	"net/netip"
	"time"
)

// APIToken lets a program use the admin API. Only the SHA-256 of the token is kept.
type APIToken struct {
	ID          string
	Name        string
	Digest      [32]byte
	Scopes      []string      // "read", "write" ...; package admin knows what they permit
	Application ApplicationID // that it may authenticate for; empty: none
	Created     time.Time
	Expires     time.Time // zero: never
	By          string
	Used        time.Time // last use, to some minutes; zero: never
}

// NAS is what we learnt about one RADIUS client address: whether it signs its requests
// (CVE-2024-3596).
type NAS struct {
	Application ApplicationID
	Address     netip.Addr
	FirstSeen   time.Time
	Proven      time.Time // first valid Message-Authenticator; zero: never
	Without     time.Time // last Access-Request without one, to the hour; zero: never
	Patience    Patience  // how long it waits for an answer, as far as that is known
}

// Patience is how long a RADIUS client was seen to wait for an answer before it gave up; zero: it
// was not seen to give up.
type Patience struct {
	GivesUp time.Duration // after this long, whole seconds
	Every   time.Duration // its request was repeated so often meanwhile, whole milliseconds; 0: not at all
	Seen    time.Time     // to the second
}

// Notice tells a user, through an older channel, that a credential of theirs was changed
// (DESIGN law 9). Notices wait in the database until a gateway carries them.
type Notice struct {
	ID    string
	User  UserID
	Time  time.Time
	What  string // "credential totp added"
	By    string
	To    string // mail address; "": the one in the user's profile
	Tries int    // so far
}
