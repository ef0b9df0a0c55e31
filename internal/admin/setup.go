package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	// SetupLife is for how long a link for the first administrator is good.
	SetupLife = 30 * time.Minute
	// MinOwnerPassword is the shortest password of a first administrator, in characters.
	MinOwnerPassword = 12

	// ConsoleApplication is the name of the application that people sign in to the console as.
	ConsoleApplication = "console"

	blobSetup = "setup" // sealed
)

// A group gets its first administrator by a link that is good once, for some minutes, and
// leads to an account that must prove a second factor before it is an owner.

// ErrSetup says that a link for the first administrator is not good; to whom it is shown, it
// says no more.
var ErrSetup = fmt.Errorf("the link is not valid, was used, or has expired: `countersign console link` on the server makes another one: %w", mfa.ErrInvalid)

// Sealed keeps small things sealed in the database. Put is conditional on the revision that
// Get told (0: there is none), or returns mfa.ErrConflict; Get is linearizable.
type Sealed interface {
	GetSealed(ctx context.Context, name string) (secret.Text, int64, error)
	PutSealed(ctx context.Context, name string, ifRev int64, plain []byte) (int64, error)
}

// SetupLink leads the first administrator to the console. Whoever has it becomes the owner.
type SetupLink struct {
	Link    *secret.Wire `json:"link,omitempty" doc:"shown only once"`
	Expires time.Time    `json:"expires"`
}

// keptLink is what is kept of a link.
type keptLink struct {
	Digest  []byte    `json:"digest"` // SHA-256 of 256 random bits
	Expires time.Time `json:"expires"`
	By      string    `json:"by"`
	Used    time.Time `json:"used,omitzero"`

	User mfa.UserID `json:"user,omitempty"` // whom it made: nobody else finishes what it began
	Done time.Time  `json:"done,omitzero"`  // they have finished; their role is written next
}

// roleTime is for how long after it was taken a link stands for the owner whom it made: until
// every server knows the role.
const roleTime = time.Minute

// taken reports whether somebody has just become the owner by l.
func (l keptLink) taken(now time.Time) bool {
	return !l.Done.IsZero() && now.Before(l.Done.Add(roleTime))
}

// SetupNeeded reports whether the group has no owner yet.
func (s *Service) SetupNeeded() bool {
	for _, a := range s.Administrators.Administrators() {
		if a.Role == mfa.RoleOwner {
			return false
		}
	}
	return true
}

// SetupLink makes a link. It takes the place of the one before. A group that has an owner
// needs none.
func (s *Service) SetupLink(ctx context.Context, by string) (SetupLink, error) {
	if s.Web == nil || s.Web() == "" {
		return SetupLink{}, invalid("this server serves no pages: set listen.https in its node file and restart it, or ask a server that does")
	}
	if !s.SetupNeeded() {
		return SetupLink{}, fmt.Errorf("the group has an owner, who can make administrators; one who has lost every factor gets one by `countersign credential add` on a server: %w", mfa.ErrExists)
	}
	before, rev, err := s.keptLink(ctx)
	if err != nil && !errors.Is(err, mfa.ErrNotFound) {
		return SetupLink{}, err
	}
	if before.taken(s.Now()) {
		return SetupLink{}, fmt.Errorf("somebody has just become the owner by the link before: %w", mfa.ErrExists)
	}
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return SetupLink{}, err
	}
	token := secret.FromString(base64.RawURLEncoding.EncodeToString(random[:]))
	digest := sha256.Sum256(token.Expose())
	link := keptLink{Digest: digest[:], Expires: s.Now().Add(SetupLife), By: by}
	if _, err := s.putLink(ctx, rev, link); err != nil {
		return SetupLink{}, err
	}
	url := secret.NewWire(s.Web() + "/setup?link=" + string(token.Expose()))
	return SetupLink{Link: url, Expires: link.Expires},
		s.record(ctx, by, "console link", "first administrator", "until "+link.Expires.UTC().Format(time.RFC3339))
}

func (s *Service) putLink(ctx context.Context, ifRev int64, l keptLink) (int64, error) {
	b, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	return s.Sealed.PutSealed(ctx, blobSetup, ifRev, b)
}

// CheckSetup returns ErrSetup unless the token is good now. It uses nothing up.
func (s *Service) CheckSetup(ctx context.Context, token secret.Text) error {
	_, _, err := s.setupLink(ctx, token)
	return err
}

// keptLink returns what is kept of the latest link, and its revision, or mfa.ErrNotFound. It is
// read at the master.
func (s *Service) keptLink(ctx context.Context) (l keptLink, rev int64, err error) {
	kept, rev, err := s.Sealed.GetSealed(ctx, blobSetup)
	if err != nil {
		return l, 0, err
	}
	if err := json.Unmarshal(kept.Expose(), &l); err != nil {
		return l, 0, fmt.Errorf("the link for the first administrator cannot be read: %w", err)
	}
	return l, rev, nil
}

func (s *Service) setupLink(ctx context.Context, token secret.Text) (keptLink, int64, error) {
	l, rev, err := s.keptLink(ctx)
	if errors.Is(err, mfa.ErrNotFound) {
		return l, 0, ErrSetup
	} else if err != nil {
		return l, 0, err
	}
	digest := sha256.Sum256(token.Expose())
	if token.Len() > 64 || !secret.New(digest[:]).Equal(secret.New(l.Digest)) || !l.Used.IsZero() || !s.Now().Before(l.Expires) || !s.SetupNeeded() {
		return l, 0, ErrSetup
	}
	return l, rev, nil
}

// BeginSetup uses the link up and makes the account, which has a password and no role yet. Of
// several who come with one link only one gets in. A name or password that cannot be leaves
// the link good.
func (s *Service) BeginSetup(ctx context.Context, token secret.Text, c UserChange) (User, error) {
	l, rev, err := s.setupLink(ctx, token)
	if err != nil {
		return User{}, err
	}
	if c.Login == nil || c.Password == nil || utf8.RuneCount(c.Password.Expose()) < MinOwnerPassword {
		return User{}, invalid("password: want %d characters or more; this account can do everything", MinOwnerPassword)
	}
	l.Used = s.Now()
	rev, err = s.putLink(ctx, rev, l)
	if errors.Is(err, mfa.ErrConflict) {
		return User{}, ErrSetup
	} else if err != nil {
		return User{}, err
	}
	u, err := s.AddUser(ctx, "console link of "+l.By, c)
	if errors.Is(err, mfa.ErrInvalid) || errors.Is(err, mfa.ErrExists) {
		l.Used = time.Time{}
		if _, back := s.putLink(ctx, rev, l); back != nil {
			return User{}, fmt.Errorf("%w; and the link is used up", err)
		}
	}
	if err != nil {
		return u, err
	}
	l.User = u.ID
	if _, err = s.putLink(ctx, rev, l); errors.Is(err, mfa.ErrConflict) {
		return User{}, ErrSetup // a newer link was made meanwhile
	}
	return u, err
}

// SettingUp returns ErrSetup unless the user may go on with what a link began: there is no owner
// yet, and no newer link.
func (s *Service) SettingUp(ctx context.Context, user mfa.UserID) error {
	_, _, err := s.begun(ctx, user)
	return err
}

// begun returns the link that made the user, and its revision.
func (s *Service) begun(ctx context.Context, user mfa.UserID) (keptLink, int64, error) {
	l, rev, err := s.keptLink(ctx)
	switch {
	case errors.Is(err, mfa.ErrNotFound):
		return l, 0, ErrSetup
	case err != nil:
		return l, 0, err
	case l.User == "" || l.User != user || !l.Done.IsZero() || !s.SetupNeeded():
		return l, 0, ErrSetup
	}
	if u, err := s.Resolve(ctx, string(user)); err != nil {
		return l, 0, err
	} else if u.State == mfa.StateDenied || u.BlockedAt(s.Now()) {
		return l, 0, ErrSetup
	}
	return l, rev, nil
}

// FinishSetup makes the user the group's owner: they have proven a second factor. Of several who
// finish one does: the user of the latest link takes it, which is one conditional write.
func (s *Service) FinishSetup(ctx context.Context, u User) error {
	l, rev, err := s.begun(ctx, u.ID)
	if err != nil {
		return err
	}
	l.Done = s.Now()
	rev, err = s.putLink(ctx, rev, l)
	if errors.Is(err, mfa.ErrConflict) {
		return ErrSetup
	} else if err != nil {
		return err
	}
	if err := s.makeOwner(ctx, u); err != nil {
		l.Done = time.Time{} // so that it can be tried again
		_, back := s.putLink(ctx, rev, l)
		return errors.Join(err, back)
	}
	return nil
}

func (s *Service) makeOwner(ctx context.Context, u User) error {
	// Made now and not at the first sign-in: that may be while the group has no master.
	if _, err := s.BuiltIn(ctx, ConsoleApplication); err != nil {
		return err
	}
	role := mfa.RoleOwner.String()
	_, err := s.AddAdministrator(ctx, "console link", AdministratorChange{Login: &u.Login, Role: &role})
	return err
}

// builtIn is what an application of the server's own begins as.
func builtIn(name string) ApplicationChange {
	kind, retries := mfa.KindWeb, 2
	c := ApplicationChange{Name: &name, Kind: &kind, Retries: &retries}
	if name == InvitationApplication {
		none, pass, no := mfa.FirstFactorNone, []string{string(mfa.MethodTAP)}, 0
		c.FirstFactor, c.Methods, c.Retries = &none, &pass, &no
	}
	return c
}

// BuiltIn returns an application that is the server's own, and makes it if it is not there:
// every sign-in goes through one, with a policy that an administrator may change.
func (s *Service) BuiltIn(ctx context.Context, name string) (mfa.Application, error) {
	a, err := s.Applications.ApplicationByName(name)
	if err == nil && a.Kind != mfa.KindWeb {
		return a, fmt.Errorf("the name %q is the %s's own, and an application of kind %s has it: give that another name (`countersign application set %s --name ...`)", name, name, a.Kind, name)
	}
	if !errors.Is(err, mfa.ErrNotFound) {
		return a, err
	}
	if _, err := s.AddApplication(ctx, builtInBy, builtIn(name)); err != nil && !errors.Is(err, mfa.ErrExists) {
		return a, fmt.Errorf("application %q: %w", name, err)
	}
	return s.Applications.ApplicationByName(name)
}
