package mfa

import (
	"time"

	"countersign/internal/secret"
)

// State is what a second factor means to a user (DESIGN law 8). The zero value denies.
type State uint8

// The states.
const (
	StateDenied    State = iota // never let in
	StateProtected              // both factors
	StateExempt                 // passes on the first factor; listed in a report
)

var stateNames = map[State]string{StateDenied: "denied", StateProtected: "protected", StateExempt: "exempt"}

// String returns "denied", "protected" or "exempt".
func (s State) String() string {
	if n, ok := stateNames[s]; ok {
		return n
	}
	return "denied"
}

// ParseState reads a state's name. Anything unclear is denied.
func ParseState(s string) (State, bool) {
	for st, n := range stateNames {
		if n == s {
			return st, true
		}
	}
	return StateDenied, false
}

// User is a person. Login, Aliases, Name, Email and Phone are sealed at rest.
type User struct {
	ID        UserID
	Login     string   // the name shown; normalised by package login
	Aliases   []string // further login names, normalised
	Name      string
	Email     string
	Phone     string // E.164
	Directory string // directory that checks the password; "" = as the application says
	Tags      []string
	Language  string   // of Languages; "": none was chosen
	Preferred MethodID // asked for first where policy leaves the choice; "": none
	State     State
	Block     *Block // nil: not blocked
	Created   time.Time
	Changed   time.Time
}

// Block keeps a user out until it expires.
type Block struct {
	Until  time.Time `json:"until,omitzero"` // zero: until lifted
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
}

// Stricter reports whether b, which may be nil for no block, keeps a user out longer than a.
func (b *Block) Stricter(a *Block) bool {
	switch {
	case b == nil:
		return false
	case a == nil:
		return true
	case a.Until.IsZero():
		return false
	}
	return b.Until.IsZero() || b.Until.After(a.Until)
}

// BlockedAt reports whether u is blocked at now.
func (u User) BlockedAt(now time.Time) bool {
	return u.Block != nil && (u.Block.Until.IsZero() || now.Before(u.Block.Until))
}

// Credential is one thing a user proves themselves with. Secret is sealed at rest.
type Credential struct {
	ID        CredentialID
	User      UserID
	Method    MethodID
	Label     string      // serial number or device name
	Secret    secret.Text // totp, hotp: the key; password: PHC string; pin: PHC strings, the newest first, a line each; recovery: newline-joined keyed digests; tap: keyed digest; passkey: public key and what else package method/passkey keeps, JSON
	Algorithm string      // totp, hotp: "SHA1", "SHA256", "SHA512"
	Digits    int         // totp, hotp: 6 to 8; pin: how many it has
	Period    int         // totp: seconds
	Counter   uint64      // hotp: first counter that is valid; the settlement's floor rises above it
	Drawn     bool        // totp, hotp: the key was drawn when the credential was made, so that nothing has used it before
	Uses      int         // tap: how often it may be used; recovery: number of codes
	Scope     []string    // tap: applications it is valid for, as ScopeOf has them; empty: every application
	Disabled  bool
	Hold      Reason // why it serves nobody until it is resynchronised: ResyncRequired, HeldAfterPromotion; ReasonNone: not held
	Created   time.Time
	Confirmed time.Time // first proven success at enrolment; zero: none yet
	Expires   time.Time // zero: never
	By        string    // who made it
	Why       string    // tap: the reason given
	Awaits    bool      // tap: it serves nobody until somebody else than its issuer has approved it
	Issuer    UserID    // tap that awaits or was approved: the administrator who issued it; empty: no person of ours
	Approver  string    // tap: who approved it, as the trail names them

	MustChange bool // pin: given by somebody else, to be changed at the portal before it serves elsewhere
}

// Floor is what the settlement record knows of one credential.
type Floor struct {
	Next  uint64 `json:"next"`  // totp: first time step that is still good; hotp, passkey: first counter that is; others: 0
	Drift int    `json:"drift"` // totp: steps by which the token's clock is ahead (+) or behind (-), remembered
	Spent uint64 `json:"spent"` // recovery, tap: bit n is set when code or use n (from 0) is spent
}

// Proof is what a method found: the answer matches, and how the floor rises with it.
type Proof struct {
	Floor Floor // the new floor; Next never lower and Spent never fewer than before
}

// Ask is what a method is told of the attempt that it begins a challenge for.
type Ask struct {
	Application string // its name
	Attempt     AttemptID
	Nonce       uint64       // of the handle that the challenge goes into
	Alike       []Credential // passkey: all that may answer, the one that is begun with among them
	Sent        []byte       // state of the challenge before, if that was for the same credential; nil: none
	Again       bool         // the user asked for another code instead of that one
	Number      string       // methods that wait: to be matched by the user; "": nothing can be shown
}

// Step is what a method hands from Begin to Finish inside the sealed handle.
type Step struct {
	Prompt  string    // shown to the user
	Options []byte    // Begin: what a browser needs to answer, JSON; nil: nothing
	Attempt AttemptID // Finish: that the challenge was made for
	Nonce   uint64    // Finish: of its handle; 0: there was no challenge
	Alone   bool      // Finish: there was no other factor, so this has to be two
	State   []byte    // at most 64 bytes, sealed: a keyed digest of a sent code and the like
	Look    bool      // nothing is accepted yet: how long it takes must not tell whether the answer is right
}

// NewUser is a user with their first credentials, created together or not at all.
type NewUser struct {
	User        User
	Credentials []Credential
}
