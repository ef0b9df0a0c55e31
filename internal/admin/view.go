package admin

import (
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// The scopes of the admin API. A token may hold read and write; owners, who come by the
// local socket, hold all three.
const (
	ScopeRead  = "read"
	ScopeWrite = "write"
	ScopeOwner = "owner"
)

// User is a user as the API shows it. The fields from HasPassword on are set by show only.
type User struct {
	ID        mfa.UserID `json:"id"`
	Login     string     `json:"login"`
	Aliases   []string   `json:"aliases"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	Phone     string     `json:"phone"`
	Directory string     `json:"directory"`
	Tags      []string   `json:"tags"`
	State     string     `json:"state" enum:"protected,exempt,denied"`
	Blocked   bool       `json:"blocked"`
	Block     *Block     `json:"block,omitempty"`
	Created   time.Time  `json:"created"`
	Changed   time.Time  `json:"changed"`

	HasPassword            bool       `json:"has_password,omitempty"`
	Credentials            int        `json:"credentials,omitempty" doc:"second factors, disabled ones included"`
	Failures               int        `json:"failures,omitempty" doc:"wrong second factors in a row"`
	LockedUntil            *time.Time `json:"locked_until,omitempty"`
	FirstFactorFailures    int        `json:"first_factor_failures,omitempty" doc:"wrong passwords in a row"`
	FirstFactorLockedUntil *time.Time `json:"first_factor_locked_until,omitempty"`
}

// Block is why and until when a user is kept out.
type Block struct {
	Until  *time.Time `json:"until,omitempty" doc:"absent: until it is lifted"`
	Reason string     `json:"reason"`
	By     string     `json:"by"`
	Since  time.Time  `json:"since"`
}

// UserList is one page of users.
type UserList struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty" doc:"cursor of the next page; absent on the last"`
}

// UserQuery selects users. Search is looked for in login, aliases, name and mail address.
type UserQuery struct {
	After  string
	Limit  int // 1 to MaxPage; 0 is MaxPage
	State  string
	Search string
}

// MaxPage is the largest page of any list.
const MaxPage = 1000

// UserChange makes a user or changes one: what is absent stays as it is.
type UserChange struct {
	Login     *string      `json:"login,omitempty" maxLength:"253"`
	Aliases   *[]string    `json:"aliases,omitempty" maxItems:"32"`
	Name      *string      `json:"name,omitempty" maxLength:"256"`
	Email     *string      `json:"email,omitempty" maxLength:"254"`
	Phone     *string      `json:"phone,omitempty" maxLength:"32" doc:"E.164, +491701234567"`
	Directory *string      `json:"directory,omitempty" maxLength:"64" doc:"checks the password; empty: as the application says"`
	Tags      *[]string    `json:"tags,omitempty" maxItems:"64"`
	State     *string      `json:"state,omitempty" enum:"protected,exempt,denied" doc:"a new user is protected unless told otherwise"`
	Password  *secret.Wire `json:"password,omitempty" writeOnly:"true" doc:"local password; empty removes it"`
}

// BlockRequest blocks a user.
type BlockRequest struct {
	Seconds int64  `json:"seconds,omitempty" minimum:"0" maximum:"315360000" doc:"0: until it is lifted"`
	Reason  string `json:"reason" maxLength:"256"`
}

// ImportReport says what an import did, or would do.
type ImportReport struct {
	DryRun   bool          `json:"dry_run"`
	Rows     int           `json:"rows"`
	Created  int           `json:"created"`
	Existing int           `json:"existing" doc:"rows whose login exists already; left as they are"`
	Failed   int           `json:"failed"`
	Errors   []ImportError `json:"errors" doc:"the first 1000 rows that were refused"`
}

// ImportError is one row that was refused. Line counts from 1, the header included.
type ImportError struct {
	Line   int    `json:"line"`
	Login  string `json:"login"`
	Reason string `json:"reason"`
}

// Application is an application as the API shows it.
type Application struct {
	ID                   mfa.ApplicationID `json:"id"`
	Name                 string            `json:"name"`
	Kind                 string            `json:"kind"`
	Addresses            []string          `json:"addresses"`
	FirstFactor          string            `json:"first_factor"`
	Methods              []string          `json:"methods" doc:"in order of preference; empty: every method"`
	Passcode             string            `json:"passcode" enum:"prompt,append,either"`
	UnknownUsers         string            `json:"unknown_users" enum:"deny,pass"`
	Degraded             string            `json:"degraded" enum:"allow,refuse"`
	Exempt               []string          `json:"exempt"`
	MessageAuthenticator string            `json:"message_authenticator" enum:"learn,warn,require"`
	Rate                 int               `json:"rate" doc:"packets a second from one address; 0: default"`
	Retries              int               `json:"retries" doc:"wrong answers that get a new prompt"`
	Reply                []mfa.ReplyRule   `json:"reply"`
	Disabled             bool              `json:"disabled"`
	Created              time.Time         `json:"created"`
	Changed              time.Time         `json:"changed"`
}

// ApplicationList is all applications.
type ApplicationList struct {
	Applications []Application `json:"applications"`
	Next         string        `json:"next,omitempty"`
}

// ApplicationChange makes an application or changes one: what is absent stays as it is.
type ApplicationChange struct {
	Name                 *string          `json:"name,omitempty" maxLength:"64"`
	Kind                 *string          `json:"kind,omitempty" enum:"radius,ldap,web,oidc,api"`
	Addresses            *[]string        `json:"addresses,omitempty" maxItems:"256" doc:"addresses or networks that its packets come from"`
	Secret               *secret.Wire     `json:"secret,omitempty" writeOnly:"true" doc:"radius: the shared secret"`
	FirstFactor          *string          `json:"first_factor,omitempty" maxLength:"64" doc:"local, none or the name of a directory"`
	Methods              *[]string        `json:"methods,omitempty" maxItems:"16"`
	Passcode             *string          `json:"passcode,omitempty" enum:"prompt,append,either"`
	UnknownUsers         *string          `json:"unknown_users,omitempty" enum:"deny,pass"`
	Degraded             *string          `json:"degraded,omitempty" enum:"allow,refuse"`
	Exempt               *[]string        `json:"exempt,omitempty" maxItems:"256"`
	MessageAuthenticator *string          `json:"message_authenticator,omitempty" enum:"learn,warn,require"`
	Rate                 *int             `json:"rate,omitempty" minimum:"0" maximum:"1000000"`
	Retries              *int             `json:"retries,omitempty" minimum:"0" maximum:"10"`
	Reply                *[]mfa.ReplyRule `json:"reply,omitempty" maxItems:"64"`
	Disabled             *bool            `json:"disabled,omitempty"`
}

// Directory is a directory as the API shows it.
type Directory struct {
	Name           string    `json:"name"`
	Kind           string    `json:"kind"`
	URLs           []string  `json:"urls"`
	StartTLS       bool      `json:"start_tls"`
	CAs            string    `json:"ca_pem" doc:"PEM; empty: the system's authorities"`
	BindDN         string    `json:"bind_dn"`
	BaseDN         string    `json:"base_dn"`
	UserFilter     string    `json:"user_filter"`
	GroupAttribute string    `json:"group_attribute"`
	UPNSuffix      string    `json:"upn_suffix"`
	TimeoutSeconds int       `json:"timeout_seconds" doc:"of one operation; 0: as the policy says"`
	Created        time.Time `json:"created"`
	Changed        time.Time `json:"changed"`
}

// DirectoryList is all directories.
type DirectoryList struct {
	Directories []Directory `json:"directories"`
	Next        string      `json:"next,omitempty"`
}

// DirectoryChange makes a directory or changes one: what is absent stays as it is.
type DirectoryChange struct {
	Name           *string      `json:"name,omitempty" maxLength:"64"`
	Kind           *string      `json:"kind,omitempty" enum:"ldap"`
	URLs           *[]string    `json:"urls,omitempty" maxItems:"8"`
	StartTLS       *bool        `json:"start_tls,omitempty"`
	CAs            *string      `json:"ca_pem,omitempty" maxLength:"65536"`
	BindDN         *string      `json:"bind_dn,omitempty" maxLength:"1024"`
	BindPassword   *secret.Wire `json:"bind_password,omitempty" writeOnly:"true"`
	BaseDN         *string      `json:"base_dn,omitempty" maxLength:"1024"`
	UserFilter     *string      `json:"user_filter,omitempty" maxLength:"1024" doc:"{login} stands for what was typed"`
	GroupAttribute *string      `json:"group_attribute,omitempty" maxLength:"64"`
	UPNSuffix      *string      `json:"upn_suffix,omitempty" maxLength:"253"`
	TimeoutSeconds *int         `json:"timeout_seconds,omitempty" minimum:"0" maximum:"60"`
}

// DirectoryTest asks for a test of a directory.
type DirectoryTest struct {
	Login    string       `json:"login,omitempty" maxLength:"253"`
	Password *secret.Wire `json:"password,omitempty" writeOnly:"true"`
}

// APIToken is an API token as the API shows it. Token is set once, by create.
type APIToken struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Token   *secret.Wire `json:"token,omitempty" doc:"shown only once"`
	Scopes  []string     `json:"scopes"`
	Created time.Time    `json:"created"`
	Expires *time.Time   `json:"expires,omitempty"`
	By      string       `json:"by"`
}

// APITokenList is all API tokens.
type APITokenList struct {
	APITokens []APIToken `json:"api_tokens"`
	Next      string     `json:"next,omitempty"`
}

// APITokenRequest asks for a token.
type APITokenRequest struct {
	Name    string   `json:"name" minLength:"1" maxLength:"64"`
	Scopes  []string `json:"scopes" minItems:"1" maxItems:"2" doc:"read, write"`
	Seconds int64    `json:"seconds" minimum:"60" maximum:"315360000" doc:"until it expires"`
}

// Rule is one step of a decision: what was asked, what was found, where that is set.
type Rule struct {
	Rule   string `json:"rule"`
	Result string `json:"result"`
	From   string `json:"from"`
}

// Explanation tells which rules decide for a user at an application.
type Explanation struct {
	Login       string     `json:"login"`
	User        mfa.UserID `json:"user"`
	Application string     `json:"application"`
	Rules       []Rule     `json:"rules"`
}

// KeyInfo is one key of the group keyset; never the key.
type KeyInfo struct {
	ID      string    `json:"id"`
	Primary bool      `json:"primary" doc:"seals what is written from now on"`
	Created time.Time `json:"created"`
}

// KeyList is the keyset and how far resealing has come.
type KeyList struct {
	Keys   []KeyInfo `json:"keys"`
	Reseal Reseal    `json:"reseal"`
}

// Reseal is the progress of rewriting what older keys seal.
type Reseal struct {
	Running bool   `json:"running"`
	Done    int    `json:"done"`
	Total   int    `json:"total"`
	Error   string `json:"error,omitempty" doc:"why the last run stopped; it goes on by itself"`
}

// AuditQuery selects records of the trail, newest first.
type AuditQuery struct {
	User        mfa.UserID
	Application string // its name
	Since       time.Time
	Reason      string
	After       string // cursor
	Limit       int    // 1 to MaxPage
}

// Attempt is one attempt as the API shows it.
type Attempt struct {
	AttemptID   mfa.AttemptID `json:"attempt_id"`
	Time        time.Time     `json:"time"`
	Server      string        `json:"server"`
	Application string        `json:"application"`
	FrontEnd    string        `json:"front_end"`
	User        mfa.UserID    `json:"user"`
	Login       string        `json:"login"`
	Source      string        `json:"source"`
	Peer        string        `json:"peer"`
	Verdict     string        `json:"verdict"`
	Reason      string        `json:"reason"`
	Method      string        `json:"method"`
	Credential  string        `json:"credential"`
	Degraded    bool          `json:"degraded"`
	DurationMS  float64       `json:"duration_ms"`
	Trace       []string      `json:"trace,omitempty"`
}

// AttemptList is one page of attempts, newest first.
type AttemptList struct {
	Attempts []Attempt `json:"attempts"`
	Next     string    `json:"next,omitempty"`
}

// ActList is one page of administrative acts, newest first.
type ActList struct {
	Acts []mfa.Act `json:"acts"`
	Next string    `json:"next,omitempty"`
}

// AuditVerification says whether the trail's chain holds.
type AuditVerification struct {
	OK      bool      `json:"ok"`
	Records int64     `json:"records"`
	Files   int       `json:"files"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Head    string    `json:"head" doc:"hexadecimal hash of the last record"`
	Problem string    `json:"problem,omitempty" doc:"the first place where the chain breaks, and how"`
}

// Status is the state of the server and of its group.
type Status struct {
	Name     string     `json:"name"`
	Group    string     `json:"group"`
	Role     string     `json:"role" doc:"master, replica, witness, unactivated"`
	Epoch    uint64     `json:"epoch"`
	Master   string     `json:"master" doc:"empty: none is known"`
	Degraded bool       `json:"degraded"`
	Since    time.Time  `json:"since"`
	Revision int64      `json:"revision"`
	Lag      int64      `json:"lag"`
	Members  []Member   `json:"members"`
	Fronts   []FrontEnd `json:"front_ends"`
	Version  string     `json:"version"`
	Users    int        `json:"users"`
	Warnings []string   `json:"warnings" doc:"what needs somebody's care"`
}

// Member is one server of the group.
type Member struct {
	Name      string `json:"name"`
	Role      string `json:"role"`
	Voter     bool   `json:"voter"`
	Reachable bool   `json:"reachable"`
	Revision  int64  `json:"revision"`
	Version   string `json:"version"`
}

// FrontEnd is one listener.
type FrontEnd struct {
	Kind    string `json:"kind"`
	Address string `json:"address"`
	OK      bool   `json:"ok"`
}

// Check is one connection that was tried, or one layer of it.
type Check struct {
	Name     string `json:"name"`
	Target   string `json:"target"`
	Layer    string `json:"layer" doc:"name, tcp, tls, http, bind, search, clock, disk ..."`
	OK       bool   `json:"ok"`
	Detail   string `json:"detail"`
	NextStep string `json:"next_step"`
}

// CheckList is the answer of doctor and of directory test.
type CheckList struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// LogLevel sets a component's verbosity.
type LogLevel struct {
	Component string `json:"component" maxLength:"64" doc:"empty: all"`
	Level     string `json:"level" enum:"debug,info,warn,error"`
	Seconds   int64  `json:"seconds,omitempty" minimum:"0" maximum:"604800" doc:"0: until the next start"`
}

// BackupRequest asks for a backup.
type BackupRequest struct {
	Passphrase *secret.Wire `json:"passphrase" writeOnly:"true"`
}

// TestRequest is one leg of a real authentication, made by an administrator.
type TestRequest struct {
	Login       string       `json:"login" maxLength:"4096"`
	Application string       `json:"application" maxLength:"64"`
	Password    *secret.Wire `json:"password,omitempty" writeOnly:"true"`
	Source      string       `json:"source,omitempty" maxLength:"253" doc:"as a Calling-Station-Id"`
	Handle      []byte       `json:"handle,omitempty" doc:"of the challenge that is answered"`
	Answer      *secret.Wire `json:"answer,omitempty" writeOnly:"true"`
}

// TestResult is its outcome.
type TestResult struct {
	Verdict   string               `json:"verdict" enum:"accept,reject,challenge"`
	Reason    string               `json:"reason"`
	Message   string               `json:"message" doc:"what the user would see"`
	AttemptID mfa.AttemptID        `json:"attempt_id"`
	Handle    []byte               `json:"handle,omitempty"`
	Reply     []mfa.ReplyAttribute `json:"reply"`
	Trace     []string             `json:"trace"`
}

// BlastRADIUS says of each RADIUS client whether it is safe against CVE-2024-3596.
type BlastRADIUS struct {
	Clients []BlastClient `json:"clients"`
}

// BlastClient is one address of one RADIUS application.
type BlastClient struct {
	Application string     `json:"application"`
	Address     string     `json:"address" doc:"the client's, or the network configured if none of it has been heard"`
	Mode        string     `json:"message_authenticator" enum:"learn,warn,require"`
	State       string     `json:"state" enum:"safe,unsafe,unknown"`
	FirstSeen   *time.Time `json:"first_seen,omitempty"`
	Proven      *time.Time `json:"proven,omitempty" doc:"first request with a valid Message-Authenticator"`
	Without     *time.Time `json:"without,omitempty" doc:"last request without one, to the hour"`
	Advice      string     `json:"advice"`
}

// Removed says what was removed.
type Removed struct {
	Removed string `json:"removed"`
}

// moment returns nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// list makes sure that JSON shows [] and not null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// texts converts strings of one type to plain ones.
func texts[T ~string](s []T) []string {
	out := make([]string, len(s))
	for i, v := range s {
		out[i] = string(v)
	}
	return out
}

// or returns s, or the default for "".
func or[T ~string](s, otherwise T) string {
	if s == "" {
		return string(otherwise)
	}
	return string(s)
}

// fields joins the names of what a change touched.
func fields(names []string) string { return strings.Join(names, ", ") }
