package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Service carries out what an administrator asks for. All exported fields must be set;
// it is safe for concurrent use. In its methods by says who asks: "root (unix socket)",
// "token:NAME".
type Service struct {
	Server         string // this server's name, for the trail
	Users          Users
	Credentials    Credentials
	Applications   Applications
	Directories    Directories
	Gateways       Gateways
	Messenger      Messenger
	Recordings     Recordings
	APITokens      APITokens
	Administrators Administrators
	Settings       Settings
	Keys           Keys
	Radius         Radius
	Trail          Recorder
	Audit          Audit
	Node           Node
	Group          Group
	Parked         Parked
	Tests          DirectoryTester
	Passwords      Passwords
	PINs           PINs
	Engine         mfa.Authenticator // for tests of an administrator
	Decider        mfa.Authenticator // for programs, as for every front-end
	Digests        Digests
	Now            func() time.Time

	Requests Requests // with idempotency keys
	Sessions Sessions
	Groups   Groups        // of directories, for help desks that are limited to some; nil: nobody is in any
	Sealed   Sealed        // where the link for the first administrator is kept
	Web      func() string // base URL of this server's pages; "": it serves none

	Portal  func() string           // base URL of the portal's pages; "": this server serves none
	Notices Notices                 // may be nil
	Country func(netip.Addr) string // where an address is, in two letters; "": not known; nil: of none
	Fraud   func(mfa.Fraud)         // called with a sign-in of which the user says that it was not theirs; may be nil

	Callbacks Callbacks // to programs; nil: nobody is called back

	followers followers
	requests  requestCounts

	mu     sync.Mutex
	reseal Reseal
	uses   map[string]time.Time // of tokens, by id; not written yet

	resealed chan struct{} // wakes Run; made by wake
}

// record puts an act into the trail. What was done stays done if that fails, and the
// error says so.
func (s *Service) record(ctx context.Context, by, verb, object, detail string) error {
	act := mfa.Act{Time: s.Now(), Server: s.Server, By: by, Verb: verb, Object: object, Detail: detail}
	// Not with the caller's context: a caller who hangs up must not keep an act out of the trail.
	if err := s.Trail.Append(context.WithoutCancel(ctx), mfa.Record{Act: &act}); err != nil {
		return fmt.Errorf("%s %s was done, but could not be recorded in the trail: %w", verb, object, err)
	}
	return nil
}

// Resolve finds the user that a login form or a user id names. It returns mfa.ErrNotFound,
// or mfa.ErrInvalid for a login that is none or that means more than one user.
func (s *Service) Resolve(ctx context.Context, typed string) (mfa.User, error) {
	a, err := s.account(ctx, typed)
	return a.User, err
}

// syncTimeout bounds the wait for what another server has just written.
const syncTimeout = 2 * time.Second

// account finds a user. One that is not here may have been made on another server a moment
// ago: then it looks again with what the master has. (A sign-in does not: made-up names would
// keep the master busy.)
func (s *Service) account(ctx context.Context, typed string) (settlement.Account, error) {
	a, err := s.accountHere(ctx, typed)
	if !errors.Is(err, mfa.ErrNotFound) {
		return a, err
	}
	wait, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if s.Users.Sync(wait) != nil {
		return a, err // as far as can be told here
	}
	return s.accountHere(ctx, typed)
}

func (s *Service) accountHere(ctx context.Context, typed string) (settlement.Account, error) {
	name, err := login.Parse(typed)
	if err != nil {
		return settlement.Account{}, fmt.Errorf("login %q: %w: not a user name", typed, mfa.ErrInvalid)
	}
	var found mfa.UserID
	for _, form := range s.forms(name.String()) {
		id, err := s.Users.UserByForm(ctx, form)
		switch {
		case errors.Is(err, mfa.ErrNotFound):
			continue
		case errors.Is(err, mfa.AmbiguousUser), err == nil && found != "" && found != id:
			return settlement.Account{}, fmt.Errorf("login %q: %w: it means more than one user", typed, mfa.ErrInvalid)
		case err != nil:
			return settlement.Account{}, err
		}
		found = id
	}
	if found == "" {
		found = mfa.UserID(typed)
	}
	return s.Users.Account(ctx, found, false)
}

// forms are those under which a login name is looked up, itself first.
func (s *Service) forms(name string) []string {
	n, err := login.Parse(name)
	if err != nil {
		return nil
	}
	return n.Forms(s.Settings.Settings().Domains)
}

// owner returns the user who has the form; the zero User if nobody does.
func (s *Service) owner(ctx context.Context, form string) (mfa.User, error) {
	id, err := s.Users.UserByForm(ctx, form)
	if err == nil {
		var a settlement.Account
		if a, err = s.Users.Account(ctx, id, false); err == nil {
			return a.User, nil
		}
	}
	if errors.Is(err, mfa.ErrNotFound) {
		return mfa.User{}, nil
	}
	if errors.Is(err, mfa.AmbiguousUser) {
		return mfa.User{}, fmt.Errorf("%q: %w: it belongs to several users", form, mfa.ErrExists)
	}
	return mfa.User{}, err
}

// invalid makes an error that wraps mfa.ErrInvalid and reads as one line.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", mfa.ErrInvalid, fmt.Sprintf(format, args...))
}
