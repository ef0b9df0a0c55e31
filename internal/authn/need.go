package authn

import (
	"context"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// Store is what the engine needs of the replicated database. Reads come from the local
// view; with fresh set they are read through at the master first. All are safe for
// concurrent use.
type Store interface {
	// Application returns the application, or mfa.ErrNotFound.
	Application(id mfa.ApplicationID) (mfa.Application, error)
	// UserByForm resolves a normalised login form (package login) to a user. It returns
	// mfa.ErrNotFound, or mfa.AmbiguousUser if the form belongs to more than one.
	UserByForm(ctx context.Context, form string) (mfa.UserID, error)
	// Account returns what a decision about the user is made from, or mfa.ErrNotFound.
	Account(ctx context.Context, id mfa.UserID, fresh bool) (settlement.Account, error)
	// Standing is Account without the user's names, mail address, phone number and the reason
	// of a block. It costs less, and only a first factor needs them.
	Standing(ctx context.Context, id mfa.UserID, fresh bool) (settlement.Account, error)
	// Settle writes next as a's user's record if the record, the user and the credentials
	// in used are still at the revisions in a, and reports whether they were. With an
	// error that wraps mfa.ErrUnknownOutcome the write may or may not have happened.
	Settle(ctx context.Context, a settlement.Account, used []mfa.CredentialID, next settlement.Record) (rev int64, ok bool, err error)
	// SettleLocal keeps entry on this server alone, to be merged when there is a master
	// again, if the view still has what a was made from, and reports whether it did. Account
	// shows it from then on. It returns the entry with its number and what it was made from.
	// next is the record after it.
	SettleLocal(a settlement.Account, used []mfa.CredentialID, next settlement.Record, entry mfa.Settled) (numbered mfa.Settled, ok bool, err error)
	// Take takes from quotas together, or from none: then the error holds the reason of the first
	// that is used up.
	Take(ctx context.Context, quotas ...mfa.Quota) error
	// Contact reports whether the group has a master that answers, and when it last did; zero:
	// never since this server was started. One server alone is always in contact.
	Contact() (last time.Time, now bool)
	// Behind reports that the master answers while the view lacks what it has acknowledged.
	Behind() bool
	// Epoch is the generation of the database.
	Epoch() uint64
	// Fork says how it began. An error is a fault of ours: then no code passes.
	Fork() (mfa.Fork, error)
}

// FirstFactor checks passwords. A check returns nil, a mfa.Reason for what the user did
// wrong, or another error for what we did.
type FirstFactor interface {
	// Check checks password for the user in the directory named (or "local"). creds are the
	// user's credentials; a local password is one of them. groups are those that the
	// directory told.
	Check(ctx context.Context, directory string, u mfa.User, creds []mfa.Credential, password secret.Text) (groups []string, err error)
	// CheckStranger is Check for somebody unknown here who typed login, in normalised form.
	// names are all names that the directory has for whose password it is, at least one.
	CheckStranger(ctx context.Context, directory, login string, password secret.Text) (groups, names []string, err error)
	// Pretend takes about as long as Check does for one wrong password.
	Pretend(ctx context.Context, directory, login string, password secret.Text)
}

// Method is one kind of second factor. A Method keeps no state between calls and writes
// nothing: the method proves, the engine records.
type Method interface {
	ID() mfa.MethodID
	// Needs says what the front-end must be able to carry if the code does not come with
	// the first leg; policy skips the method otherwise.
	Needs() mfa.Caps
	// Begin prepares an attempt with one credential, and sends what has to be sent. An error
	// that is a mfa.Reason says why that was not possible: the engine goes on to the next
	// credential.
	Begin(ctx context.Context, a mfa.Ask, c mfa.Credential) (mfa.Step, error)
	// Finish checks answer against c and s. f is what the settlement record knows of c.
	// It returns the proof whose Floor is the new one, or a mfa.Reason: WrongCode if
	// the answer is none of c's, ReplayedCode if it was used, CodeOutsideWindow if it is
	// c's but too old or too new, and so on; any other error is a fault of ours.
	// It takes the same time for every answer of the same length that it refuses, and with
	// s.Look for every one.
	Finish(ctx context.Context, c mfa.Credential, f mfa.Floor, s mfa.Step, answer secret.Text) (mfa.Proof, error)
}

// Waiter is a Method whose answer comes by another way than the client's next message; how that
// goes stands in wait.go. Its Begin only says what to show (Ask.Number is set), and its Finish
// returns mfa.WrongCode: nothing that is typed is an answer.
type Waiter interface {
	Method
	// Admit reports whether the user may be asked now, besides what the policy says on prompts; the
	// error is a mfa.Reason. It is called once before a wait is opened.
	Admit(ctx context.Context, w mfa.Wait) error
	// Reach reaches the user for w by creds, all that the user has of the method and may use, in
	// their order; it returns when that is on its way. An error that is a mfa.Reason says why it
	// is not: the wait ends with it. What goes on after ctx is the method's own. It is called on
	// the server that opened the wait, once.
	Reach(ctx context.Context, w mfa.Wait, creds []mfa.Credential) error
}

// Waits are the questions that wait for an answer, as all servers of the group see them.
// Without a master this server keeps them by itself.
type Waits interface {
	// OpenWait writes w, unless one of its id is there that join takes: then that one, as join
	// returns it, stays. It returns the one that stands, and whether that is w. join may be
	// called more than once.
	OpenWait(ctx context.Context, w mfa.Wait, join func(there mfa.Wait) (mfa.Wait, bool)) (got mfa.Wait, opened bool, err error)
	// Wait returns a wait as the local copy has it, with fresh as the master has it, or
	// mfa.ErrNotFound.
	Wait(ctx context.Context, user mfa.UserID, id mfa.WaitID, fresh bool) (mfa.Wait, error)
	// AnswerWait gives a wait, which must still have that nonce, an answer as Wait.After has
	// it. It returns the wait as it stands then and whether the answer is a.
	AnswerWait(ctx context.Context, user mfa.UserID, id mfa.WaitID, nonce [16]byte, a mfa.WaitAnswer) (got mfa.Wait, taken bool, err error)
	// HoldWait says whether the client of w's newest leg still waits, if that leg is leg and w still
	// has that nonce.
	HoldWait(ctx context.Context, w mfa.Wait, leg mfa.LegID, left bool) error
	// WaitChange returns a channel that is closed when one of the user's waits has changed.
	WaitChange(user mfa.UserID) <-chan struct{}
}

// Follower is a Method that learns what became of what it has sent.
type Follower interface {
	// Fate returns why what was sent for a challenge, whose state is given, has not arrived;
	// mfa.ReasonNone: it has, or nobody knows.
	Fate(ctx context.Context, state []byte) mfa.Reason
}

// Trail keeps the records. Append returns when they are durable.
type Trail interface {
	Append(ctx context.Context, records ...mfa.Record) error
}

// Sealer makes and opens challenge handles (package challenge).
type Sealer interface {
	// Seal returns at most 200 bytes.
	Seal(h Handle) ([]byte, error)
	// Open returns mfa.ChallengeInvalid for anything that Seal of this group did not
	// make. It does not look at the expiry.
	Open(b []byte) (Handle, error)
}

// Handle is what a challenge carries from one leg to the next, on whatever server that
// is answered.
type Handle = mfa.Handle

// Clock returns the time; time.Now outside tests.
type Clock func() time.Time
