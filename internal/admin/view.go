package admin

import (
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
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
	Language  string     `json:"language" doc:"of pages and messages; empty: as the browser asks"`
	// PreferredMethod is asked for first where policy leaves the choice.
	PreferredMethod string    `json:"preferred_method" doc:"asked for first where policy leaves the choice"`
	State           string    `json:"state" enum:"protected,exempt,denied"`
	Blocked         bool      `json:"blocked"`
	Block           *Block    `json:"block,omitempty"`
	Created         time.Time `json:"created"`
	Changed         time.Time `json:"changed"`

	HasPassword            bool       `json:"has_password,omitempty"`
	HasPIN                 bool       `json:"has_pin,omitempty"`
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
	After     string
	Limit     int // 1 to MaxPage; 0 is MaxPage
	State     string
	Search    string
	Factor    string              // second factor that serves them: a method, or NoFactor
	Tag       string              // that they have
	Directory string              // that they have as their own
	within    func(mfa.User) bool // nil: everybody
}

// MaxPage is the largest page of any list.
const MaxPage = 1000

// UserChange makes a user or changes one: what is absent stays as it is.
type UserChange struct {
	Login           *string      `json:"login,omitempty" maxLength:"253"`
	Aliases         *[]string    `json:"aliases,omitempty" maxItems:"32"`
	Name            *string      `json:"name,omitempty" maxLength:"256"`
	Email           *string      `json:"email,omitempty" maxLength:"254"`
	Phone           *string      `json:"phone,omitempty" maxLength:"32" doc:"E.164, +491701234567"`
	Directory       *string      `json:"directory,omitempty" maxLength:"64" doc:"checks the password; empty: as the application says"`
	Tags            *[]string    `json:"tags,omitempty" maxItems:"64"`
	Language        *string      `json:"language,omitempty" enum:",en,de" doc:"of pages and messages; empty: as the browser asks"`
	PreferredMethod *string      `json:"preferred_method,omitempty" maxLength:"16" doc:"second factor that is asked for first where policy leaves the choice; empty: none"`
	State           *string      `json:"state,omitempty" enum:"protected,exempt,denied" doc:"a new user is protected unless told otherwise"`
	Password        *secret.Wire `json:"password,omitempty" writeOnly:"true" doc:"local password; empty removes it"`
	IfMatch         string       `json:"-"` // change: refuse with mfa.ErrChanged what is not as this ETag says
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
	Waiting              string            `json:"waiting" enum:"prompt,inside" doc:"while a user approves on a device: a challenge shows the number to type there, or the request is held and nothing is shown"`
	UnknownUsers         string            `json:"unknown_users" enum:"deny,pass"`
	UnknownUsersUntil    *time.Time        `json:"unknown_users_until,omitempty" doc:"pass: refused from then on"`
	Degraded             string            `json:"degraded" enum:"allow,refuse"`
	Exempt               []string          `json:"exempt"`
	MessageAuthenticator string            `json:"message_authenticator" enum:"learn,warn,require"`
	Rate                 int               `json:"rate" doc:"packets a second from one address; 0: default"`
	Retries              int               `json:"retries" doc:"wrong answers that get a new prompt"`
	Reply                []mfa.ReplyRule   `json:"reply"`
	CallbackURL          string            `json:"callback_url,omitempty" doc:"api: where it is told what became of a sign-in that waits"`
	CallbackCAs          string            `json:"callback_ca_pem,omitempty" doc:"PEM; empty: the system's authorities"`
	CallbackNetworks     []string          `json:"callback_networks,omitempty" doc:"besides the public Internet, where the callback may be"`
	Disabled             bool              `json:"disabled"`
	Created              time.Time         `json:"created"`
	Changed              time.Time         `json:"changed"`
	Warnings             []string          `json:"warnings" doc:"what is more open about it than it may look"`
	Patience             []Patience        `json:"patience,omitempty" doc:"clients that were seen to give up before a person can answer"`
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
	Secret               *secret.Wire     `json:"secret,omitempty" writeOnly:"true" doc:"radius: the shared secret; api: what callbacks are signed with, 16 bytes or more"`
	FirstFactor          *string          `json:"first_factor,omitempty" maxLength:"64" doc:"local, none or the name of a directory"`
	Methods              *[]string        `json:"methods,omitempty" maxItems:"16"`
	Passcode             *string          `json:"passcode,omitempty" enum:"prompt,append,either"`
	Waiting              *string          `json:"waiting,omitempty" enum:"prompt,inside" doc:"inside: radius"`
	UnknownUsers         *string          `json:"unknown_users,omitempty" enum:"deny,pass"`
	UnknownUsersUntil    *time.Time       `json:"unknown_users_until,omitempty" doc:"pass: when that ends, at most a year ahead; default 90 days"`
	Degraded             *string          `json:"degraded,omitempty" enum:"allow,refuse"`
	Exempt               *[]string        `json:"exempt,omitempty" maxItems:"256"`
	MessageAuthenticator *string          `json:"message_authenticator,omitempty" enum:"learn,warn,require"`
	Rate                 *int             `json:"rate,omitempty" minimum:"0" maximum:"1000000"`
	Retries              *int             `json:"retries,omitempty" minimum:"0" maximum:"10"`
	Reply                *[]mfa.ReplyRule `json:"reply,omitempty" maxItems:"64"`
	CallbackURL          *string          `json:"callback_url,omitempty" maxLength:"1024" doc:"api: where it is told what became of a sign-in that waits: https, or http within callback_networks; empty: nowhere. It is shown to auditors, so no secret should be in it"`
	CallbackCAs          *string          `json:"callback_ca_pem,omitempty" maxLength:"65536" doc:"PEM: the authorities that the callback's certificate is from; empty: the system's"`
	CallbackNetworks     *[]string        `json:"callback_networks,omitempty" maxItems:"16" doc:"networks that the callback may be in, besides the public Internet"`
	Disabled             *bool            `json:"disabled,omitempty"`
	IfMatch              string           `json:"-"`
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
	UserFilter     *string      `json:"user_filter,omitempty" maxLength:"1024" doc:"{login} stands for the login, {user} for the same without its domain"`
	GroupAttribute *string      `json:"group_attribute,omitempty" maxLength:"64"`
	UPNSuffix      *string      `json:"upn_suffix,omitempty" maxLength:"253"`
	TimeoutSeconds *int         `json:"timeout_seconds,omitempty" minimum:"0" maximum:"60"`
	IfMatch        string       `json:"-"`
}

// DirectoryTest asks for a test of a directory.
type DirectoryTest struct {
	Login    string       `json:"login,omitempty" maxLength:"253"`
	Password *secret.Wire `json:"password,omitempty" writeOnly:"true"`
}

// APIToken is an API token as the API shows it. Token is set once, by create.
type APIToken struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Token       *secret.Wire `json:"token,omitempty" doc:"shown only once"`
	Scopes      []string     `json:"scopes"`
	Application string       `json:"application,omitempty" doc:"authenticate: for which application; empty though it has that scope: the application is gone"`
	Created     time.Time    `json:"created"`
	Expires     *time.Time   `json:"expires,omitempty"`
	Used        *time.Time   `json:"used,omitempty" doc:"last use, to ten minutes; absent: never"`
	By          string       `json:"by"`
}

// APITokenList is all API tokens.
type APITokenList struct {
	APITokens []APIToken `json:"api_tokens"`
	Next      string     `json:"next,omitempty"`
}

// APITokenRequest asks for a token.
type APITokenRequest struct {
	Name        string   `json:"name" minLength:"1" maxLength:"64"`
	Scopes      []string `json:"scopes" minItems:"1" maxItems:"8" enum:"read,write,users:read,users:write,enrol,audit:read,status:read,authenticate"`
	Application string   `json:"application,omitempty" maxLength:"64" doc:"authenticate: for which application, of kind api"`
	Seconds     int64    `json:"seconds" minimum:"60" maximum:"315360000" doc:"until it expires"`
}

// Policy is the group's defaults as the API shows them.
type Policy struct {
	policy.Settings
	Warnings []string `json:"warnings" doc:"what is more open about them than it may look"`
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

// fields joins what an act tells.
func fields(told []string) string { return strings.Join(told, ", ") }

// gone tells what was removed.
func gone(id string, contents []string) string {
	return fields(append([]string{"id " + id}, contents...))
}
