// Package admin holds the use cases of an administrator on users, applications,
// directories, API tokens and the group's keys; package enroll those on credentials.
// It defines the JSON bodies that the admin API speaks and the command line prints.
// Every act that changes something is in the trail before it is answered.
package admin

import (
	"context"
	"io"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// Users is what admin needs of the database for users. List calls yield in the order of
// ids after the given one until it returns false. Create returns mfa.ErrExists, wrapped
// with the login form that is taken. Update runs change on a fresh copy, perhaps more
// than once, and keeps the login forms in step. Remove deletes the user with forms,
// credentials and settlement.
type Users interface {
	UserByForm(ctx context.Context, form string) (mfa.UserID, error)
	Account(ctx context.Context, id mfa.UserID, fresh bool) (settlement.Account, error)
	ListUsers(ctx context.Context, after mfa.UserID, yield func(mfa.User) bool) error
	// FindUsers is ListUsers of those in whose login, aliases, name or mail address text is
	// found, whatever the case ("": everybody), whom like takes by what Kinds tells of those who are
	// alike, and user by what is not sealed of them (nil: everybody). First come those of whom one of
	// these begins with text.
	FindUsers(ctx context.Context, text string, user func(mfa.User) bool, like func(settlement.Account) bool, after mfa.UserID, yield func(mfa.User) bool) error
	// Outlines yields everybody without what is sealed: no names, no secrets.
	Outlines(ctx context.Context, yield func(settlement.Account) bool) error
	// Restricted yields, as Outlines does, those who are blocked or locked at now.
	Restricted(ctx context.Context, now time.Time, yield func(settlement.Account) bool) error
	// Kinds yields one account, without id, for all users who are alike in directory, state, tags and
	// what kind of credentials they have, and how many these are.
	Kinds(ctx context.Context, yield func(like settlement.Account, n int) bool) error
	CountUsers() int
	// Sync waits until reads here show everything that was acknowledged before, on any server.
	Sync(ctx context.Context) error
	CreateUser(ctx context.Context, u mfa.User, creds []mfa.Credential) (mfa.User, error)
	CreateUsers(ctx context.Context, users []NewUser) ([]error, error)
	UpdateUser(ctx context.Context, id mfa.UserID, change func(*mfa.User) error) (mfa.User, error)
	// VoidEnrolments takes away what a user has begun to enrol before a time (zero: ever) and not
	// proven. An UpdateUser that keeps them out does so by itself.
	VoidEnrolments(ctx context.Context, id mfa.UserID, before time.Time) error
	// RemoveUserIf removes a user who, in the write itself, is as holds wants them; the error
	// of holds is returned otherwise.
	RemoveUserIf(ctx context.Context, id mfa.UserID, holds func(mfa.User) error) error
	// UpdateRecordIf changes the settlement record of such a user; change may run more than once.
	UpdateRecordIf(ctx context.Context, id mfa.UserID, holds func(mfa.User) error, change func(*settlement.Record) error) error
}

// Credentials is what admin needs of the database for local passwords. Update runs change
// on a fresh copy, perhaps more than once.
type Credentials interface {
	AddCredential(ctx context.Context, c mfa.Credential) error
	UpdateCredential(ctx context.Context, user mfa.UserID, id mfa.CredentialID, change func(*mfa.Credential) error) (mfa.Credential, error)
	RemoveCredential(ctx context.Context, user mfa.UserID, id mfa.CredentialID) error
}

// NewUser is a user with credentials, to be created in one write: both or neither.
type NewUser = mfa.NewUser

// Applications is what admin needs of the database for applications. Create refuses a
// name that is taken with mfa.ErrExists; Update runs change on a fresh copy, perhaps
// more than once; both check that a directory named as first factor exists.
type Applications interface {
	Applications() []mfa.Application
	ApplicationByName(name string) (mfa.Application, error)
	CreateApplication(ctx context.Context, a mfa.Application) (mfa.Application, error)
	UpdateApplication(ctx context.Context, id mfa.ApplicationID, change func(*mfa.Application) error) (mfa.Application, error)
	RemoveApplication(ctx context.Context, id mfa.ApplicationID) error
}

// Directories is the same for directories. Remove is refused while an application or a
// user names the directory.
type Directories interface {
	Directories() []mfa.Directory
	Directory(name string) (mfa.Directory, error)
	CreateDirectory(ctx context.Context, d mfa.Directory) (mfa.Directory, error)
	UpdateDirectory(ctx context.Context, name string, change func(*mfa.Directory) error) (mfa.Directory, error)
	RemoveDirectory(ctx context.Context, name string) error
}

// APITokens is the same for API tokens, of which only digests are kept.
type APITokens interface {
	APITokens() []mfa.APIToken
	APITokenByDigest(digest [32]byte) (mfa.APIToken, error)
	CreateAPIToken(ctx context.Context, t mfa.APIToken) (mfa.APIToken, error)
	// UseAPIToken notes when a token was last used.
	UseAPIToken(ctx context.Context, id string, at time.Time) error
	RemoveAPIToken(ctx context.Context, id string) error
}

// Settings is what admin needs of the database for the group's defaults.
type Settings interface {
	Settings() policy.Settings
	UpdateSettings(ctx context.Context, change func(*policy.Settings) error) error
}

// Keys is the group's keyset. Reseal rewrites the records that older keys seal, goes on
// where it stopped, and calls progress from one goroutine.
type Keys interface {
	Keys() []keyring.Info
	RotateKeys(ctx context.Context) error
	Reseal(ctx context.Context, progress func(done, total int)) error
}

// Radius tells what was learnt about the RADIUS clients.
type Radius interface {
	NASes() []mfa.NAS
}

// Recorder appends to the trail and returns when the records are durable.
type Recorder interface {
	Append(ctx context.Context, records ...mfa.Record) error
}

// Audit answers questions about the trail.
type Audit interface {
	// Attempts returns at most q.Limit attempts, newest first.
	Attempts(ctx context.Context, q AuditQuery) (AuditPage[mfa.Attempt], error)
	// Acts does the same for administrative acts; of q it heeds Since, After, Limit and Here.
	Acts(ctx context.Context, q AuditQuery) (AuditPage[mfa.Act], error)
	// Ask asks this server and the others at once, for some seconds at most, and returns one
	// answer for each of them. A mistake in the question is an error.
	Ask(ctx context.Context, q TrailQuestion) ([]TrailAnswer, error)
	// Tail yields every attempt from now on until ctx is done or yield returns false.
	Tail(ctx context.Context, yield func(mfa.Attempt) bool) error
	// Verify reads the whole trail again and reports whether its chain holds.
	Verify(ctx context.Context) (AuditVerification, error)
}

// Node is the running server as its operator sees it.
type Node interface {
	Status(ctx context.Context) (Status, error)
	// Doctor tries every connection that this server needs, now, and says what works. It
	// takes some ten seconds at most.
	Doctor(ctx context.Context) CheckList
	// SetLogLevel sets the level of one component ("" is all of them) for a while
	// (0: until the next start).
	SetLogLevel(component, level string, during time.Duration) error
	// Backup writes one encrypted file that the passphrase opens.
	Backup(ctx context.Context, passphrase secret.Text, w io.Writer) error
}

// Group is the servers of the group. It records in the trail what it does.
type Group interface {
	Servers(ctx context.Context) ([]Member, error)
	// CreateActivation makes a code that admits one server.
	CreateActivation(ctx context.Context, by, role string, life time.Duration) (code secret.Text, expires time.Time, err error)
	// Forget takes another server out for good, Leave this one. With force this one leaves
	// also if no master answers, which then has it on record until it is forgotten there.
	Forget(ctx context.Context, by, name string) error
	Leave(ctx context.Context, by string, force bool) error
	// Promote makes another server the master without loss: the one named to or, if that is
	// "", the fittest. With dry it only says what would be done.
	Promote(ctx context.Context, by, to string, dry bool) (mfa.Promotion, error)
	// PromoteDisaster begins a new epoch on this server, whose master is lost. confirm is the
	// GROUP/EPOCH that ends; with dry it only says what would be done. The server starts over
	// with the new epoch after it has answered.
	PromoteDisaster(ctx context.Context, by, confirm string, force, dry bool) (mfa.DisasterPromotion, error)
	// ReleaseHold lets codes pass that a promotion holds back, though the trails of the
	// awaited servers are not merged. The error wraps mfa.ErrNotFound if nothing is held.
	ReleaseHold(ctx context.Context, by string) (awaited []string, err error)
}

// DirectoryTester tries a directory step by step: name, connection, TLS, bind, search
// for the login, and with a password the user's own bind. login and password may be empty.
type DirectoryTester interface {
	TestDirectory(ctx context.Context, d mfa.Directory, login string, password secret.Text) []Check
}

// Passwords makes and judges hashes of local passwords.
type Passwords interface {
	// Hash returns the PHC string that a credential of mfa.MethodPassword keeps.
	Hash(ctx context.Context, password secret.Text) (secret.Text, error)
	// CheckHash reports whether a hash made elsewhere can be verified here: PHC argon2id
	// within bounds, bcrypt, {SSHA}.
	CheckHash(hash secret.Text) error
}
