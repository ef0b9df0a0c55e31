package mfa

import (
	"net/netip"
	"time"

	"countersign/internal/secret"
)

// The kinds of application.
const (
	KindRADIUS = "radius"
	KindLDAP   = "ldap"
	KindWeb    = "web"
	KindOIDC   = "oidc"
	KindAPI    = "api"
)

// Passcode says where the code of a first leg is looked for. The zero value prompts.
type Passcode string

// The passcode modes.
const (
	PasscodePrompt Passcode = "prompt" // password first, code in a challenge
	PasscodeAppend Passcode = "append" // code behind the password, in one field
	PasscodeEither Passcode = "either" // appended if it fits, prompted for otherwise
)

// Waiting says how a client is asked to wait for a person who answers on a device or a phone.
// The zero value prompts.
type Waiting string

// The ways of waiting.
const (
	WaitPrompt Waiting = "prompt" // a challenge shows what to do, with the number to match; its answer asks what came of it
	WaitInside Waiting = "inside" // the request itself is held until the answer: nothing is shown, so there is no number to match
)

// Values of Application.FirstFactor that are no directory's name.
const (
	FirstFactorLocal = "local" // argon2id hash in the database
	FirstFactorNone  = "none"  // the client has checked the password and sends the code alone
)

// MessageAuthenticator says what a RADIUS client owes us (CVE-2024-3596).
type MessageAuthenticator string

// The modes. Empty means learn.
const (
	MALearn   MessageAuthenticator = "learn"   // once a client has sent a valid one it must always
	MAWarn    MessageAuthenticator = "warn"    // accepted without, logged and counted
	MARequire MessageAuthenticator = "require" // dropped without
)

// Application is one thing that asks. Secret is sealed at rest.
type Application struct {
	ID            ApplicationID
	Name          string
	Kind          string
	Addresses     []netip.Prefix // radius, ldap: where its packets come from; longest match wins
	Secret        secret.Text    // radius: the shared secret
	FirstFactor   string         // "local", "none" or a directory's name
	Methods       []MethodID     // allowed methods in order of preference; empty: every method
	Passcode      Passcode
	Waiting       Waiting
	UnknownPass   bool           // unknown users pass on the first factor, until UnknownUntil
	UnknownUntil  time.Time      // zero: they do not
	DegradedAllow bool           // go on without a master
	Exempt        []netip.Prefix // sources that pass on the first factor
	MA            MessageAuthenticator
	Rate          int // packets/s accepted from one client address; 0: default
	Retries       int // wrong answers that get a new prompt within one attempt; 0: reject at once
	Reply         []ReplyRule
	Callback      Callback // api: where to it is told what became of a sign-in that waits; signed with Secret
	Disabled      bool
	Created       time.Time
	Changed       time.Time
}

// Callback is an address of a program. The zero value is none.
type Callback struct {
	URL      string         // https, or http within Networks
	CAs      string         // PEM: those that its certificate is from; empty: the system's
	Networks []netip.Prefix // besides the public Internet, where it may be
}

// PassesUnknown reports whether unknown users pass on the first factor at now.
func (a Application) PassesUnknown(now time.Time) bool {
	return a.UnknownPass && now.Before(a.UnknownUntil)
}

// ReplyRule adds an attribute to an accept for users that have Tag or are in Group of
// the directory that checked their password; both empty: for everybody.
type ReplyRule struct {
	Tag       string `json:"tag,omitempty"`
	Group     string `json:"group,omitempty"`
	Attribute string `json:"attribute"`
	Value     string `json:"value"`
}

// Directory is a place that checks passwords. BindPassword is sealed at rest.
type Directory struct {
	Name         string
	Kind         string   // "ldap"
	URLs         []string // ldap:// or ldaps://, in order
	StartTLS     bool     // on ldap:// URLs
	CAs          string   // PEM; empty: the system's
	BindDN       string
	BindPassword secret.Text
	BaseDN       string
	UserFilter   string        // {login}: the registered login, {user}: its part before @ or behind \; e.g. (|(sAMAccountName={user})(userPrincipalName={login}))
	GroupAttr    string        // e.g. memberOf; empty: no groups
	UPNSuffix    string        // e.g. corp.example: a bare login is also tried as login@suffix for a direct UPN bind
	Timeout      time.Duration // for one operation; 0: 5 s
	Created      time.Time
	Changed      time.Time
}
