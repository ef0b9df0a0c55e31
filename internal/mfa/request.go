package mfa

import (
	"context"
	"net/netip"
	"time"

	"countersign/internal/secret"
)

// Caps says what a front-end can carry.
type Caps uint8

// The capabilities.
const (
	CanPrompt  Caps = 1 << iota // ask the user for a code in a later leg
	CanPasskey                  // have a browser use a passkey, on a page that passkeys belong to
	AsItIs                      // what is said goes on as it is: to a user, so it is said in their language
)

// Has reports whether c includes all of want.
func (c Caps) Has(want Caps) bool { return c&want == want }

// Request is one leg of an authentication, stripped of its protocol.
type Request struct {
	Application ApplicationID  // who asks, as the front-end knows it
	FrontEnd    string         // "radius", "ldap", "api", "test"
	Leg         LegID          // identifies this leg; a retransmit has the same
	Login       string         // as typed; the engine normalises it
	Password    secret.Text    // first leg: first factor, possibly with a passcode appended
	Passkey     bool           // first leg: a passkey will say who it is, without login and password
	Handle      []byte         // later leg: the challenge that is answered
	Answer      secret.Text    // later leg: the user's answer: a code, or what a browser returned of a passkey; first leg: a code that came beside the password
	Caps        Caps           // what the front-end can carry
	Peer        netip.AddrPort // who sent the packet
	Source      string         // the end user's address or station as told by the client (Calling-Station-Id); "" if untold
	Session     string         // the client's own name for this conversation, the same in all that it sends for it (Acct-Session-Id); "" if untold
	Refuse      Reason         // set by the front-end: a field cannot be used; refused with this reason once the application is known
	Trace       bool           // keep what was decided on the way (an administrator's test)
	Text        string         // first leg: what the user approves by signing in (a payment, a release), shown where the method can; "": nothing
	Patient     bool           // the front-end keeps this leg open, until its own deadline, while a person acts elsewhere
	Gone        func() bool    // while it waits: the client has given it up; may be nil
	Waits       func()         // called when this leg begins to wait for a person; may be nil
}

// Decision is the outcome of one leg. Its zero value refuses.
type Decision struct {
	Verdict Verdict
	Reason  Reason           // for trail and metrics; never shown to the user
	Message string           // neutral text for the user: prompt of a challenge, or one sentence with the attempt id
	Handle  []byte           // Challenge: to be sent back with the answer; at most 200 bytes
	Expires time.Time        // Challenge: when Handle dies
	Options []byte           // Challenge: what a browser needs to answer with a passkey, JSON; nil: it cannot
	Method  MethodID         // Challenge: that Message asks for; Accept: that was proven, "" if none was or it is not known
	Others  bool             // Challenge: there are other ways to answer
	Awaits  *Awaited         // Challenge: the answer comes from a device or a phone; the next leg asks what it was
	User    UserID           // Accept: who it is; empty for somebody unknown who passes
	Attempt AttemptID        // the same in message and trail
	Reply   []ReplyAttribute // Accept: what the application's rules add
	Trace   []string         // what was decided on the way, if the request asked for it
}

// ReplyAttribute is one attribute that a front-end adds to an accept. Name is of the
// front-end's own dictionary: "Filter-Id", "Class", "Cisco-AVPair".
type ReplyAttribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// An Authenticator decides one leg. The error is ours, never the user's: with a non-nil
// error radiusd stays silent so that the NAS tries the next server, ldapd answers
// unavailable(52), HTTP 503.
type Authenticator interface {
	Authenticate(ctx context.Context, r Request) (Decision, error)
}
