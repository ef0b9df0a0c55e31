package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/phone"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// maxPassword is the longest local password, in bytes: what RADIUS carries.
const maxPassword = 128

// ListUsers returns one page of users: in the order of their ids, those first, if a text is
// looked for, of whom a name begins with it.
func (s *Service) ListUsers(ctx context.Context, q UserQuery) (UserList, error) {
	limit, err := page(q.Limit)
	if err != nil {
		return UserList{}, err
	}
	like, err := s.likeOf(q)
	if err != nil {
		return UserList{}, err
	}
	out := UserList{Users: []User{}}
	err = s.Users.FindUsers(ctx, q.Search, q.within, like, mfa.UserID(q.After), func(u mfa.User) bool {
		if len(out.Users) == limit {
			out.Next = string(out.Users[limit-1].ID)
			return false
		}
		out.Users = append(out.Users, s.user(u))
		return true
	})
	return out, err
}

// likeOf returns what decides by what users who are alike have; nil if a query selects everybody.
func (s *Service) likeOf(q UserQuery) (func(settlement.Account) bool, error) {
	if q.State == "" && q.Factor == "" && q.Tag == "" && q.Directory == "" {
		return nil, nil
	}
	if q.Factor != "" && q.Factor != NoFactor && !slices.Contains(Factors(), q.Factor) {
		return nil, invalid("factor %q: want %s or one of %s", q.Factor, NoFactor, strings.Join(Factors(), ", "))
	}
	now := s.Now()
	return func(a settlement.Account) bool {
		return (q.State == "" || q.State == a.User.State.String()) && (q.Directory == "" || q.Directory == a.User.Directory) &&
			(q.Tag == "" || slices.Contains(a.User.Tags, q.Tag)) && (q.Factor == "" || hasFactor(a.Credentials, q.Factor, now))
	}, nil
}

func page(limit int) (int, error) {
	if limit < 0 || limit > MaxPage {
		return 0, invalid("limit %d: must be between 1 and %d", limit, MaxPage)
	}
	if limit == 0 {
		return MaxPage, nil
	}
	return limit, nil
}

// User returns one user with the state of their locks.
func (s *Service) User(ctx context.Context, typed string) (User, error) {
	a, err := s.account(ctx, typed)
	if err != nil {
		return User{}, err
	}
	v, now := s.user(a.User), s.Now()
	for _, c := range a.Credentials {
		switch c.Method {
		case mfa.MethodPassword:
			v.HasPassword = true
		case mfa.MethodPIN:
			v.HasPIN = !c.Disabled
		default:
			v.Credentials++
		}
	}
	v.Failures, v.LockedUntil = int(a.Record.Fails.N), lockedUntil(a.Record.Fails, now)
	v.FirstFactorFailures, v.FirstFactorLockedUntil = int(a.Record.First.N), lockedUntil(a.Record.First, now)
	return v, nil
}

func lockedUntil(c settlement.Count, now time.Time) *time.Time {
	if !c.LockedAt(now) {
		return nil
	}
	return moment(c.Until)
}

// user converts for the API.
func (s *Service) user(u mfa.User) User {
	v := User{ID: u.ID, Login: u.Login, Aliases: list(u.Aliases), Name: u.Name, Email: u.Email, Phone: u.Phone,
		Directory: u.Directory, Tags: list(u.Tags), Language: u.Language, PreferredMethod: string(u.Preferred), State: u.State.String(), Blocked: u.BlockedAt(s.Now()),
		Created: u.Created, Changed: u.Changed}
	if u.Block != nil {
		v.Block = &Block{Until: moment(u.Block.Until), Reason: u.Block.Reason, By: u.Block.By, Since: u.Block.Since}
	}
	return v
}

// AddUser makes a user, with a local password if one is given.
func (s *Service) AddUser(ctx context.Context, by string, c UserChange) (User, error) {
	if c.Login == nil {
		return User{}, invalid("login is missing")
	}
	u := mfa.User{ID: mfa.UserID(mfa.NewID(nil)), State: mfa.StateProtected, Created: s.Now(), Changed: s.Now()}
	if err := s.applyUser(&u, c); err != nil {
		return User{}, err
	}
	if err := s.unclaimed(ctx, u); err != nil {
		return User{}, err
	}
	var creds []mfa.Credential
	if c.Password != nil && !c.Password.Empty() {
		p, err := s.password(ctx, by, u.ID, c.Password.Text)
		if err != nil {
			return User{}, err
		}
		creds = append(creds, p)
	}
	made, err := s.Users.CreateUser(ctx, u, creds)
	if err != nil {
		return User{}, err
	}
	if err := s.record(ctx, by, "user add", made.Login, fields(contents(s.user(made), personal...))); err != nil {
		return User{}, err
	}
	return s.user(made), nil
}

// personal are the fields of a user of which the trail tells no value.
var personal = []string{"aliases", "name", "email", "phone", "block"}

// SetUser changes a user.
func (s *Service) SetUser(ctx context.Context, by, typed string, c UserChange) (User, error) {
	a, err := s.account(ctx, typed)
	if err != nil {
		return User{}, err
	}
	probe := a.User
	if err := s.applyUser(&probe, c); err != nil { // a mistake of the caller's is told before anything is written
		return User{}, err
	}
	if c.Login != nil || c.Aliases != nil {
		if err := s.unclaimed(ctx, probe); err != nil {
			return User{}, err
		}
	}
	var before User
	void := ""
	if probe.State == mfa.StateDenied && a.User.State != mfa.StateDenied {
		void = s.underWay(ctx, a.User.ID)
	}
	changed, err := s.Users.UpdateUser(ctx, a.User.ID, func(u *mfa.User) error {
		before = s.user(*u)
		if err := unchanged(c.IfMatch, before.ETag()); err != nil {
			return err
		}
		u.Changed = s.Now()
		return s.applyUser(u, c)
	})
	if err != nil {
		return User{}, err
	}
	detail := difference(before, s.user(changed), personal...)
	if c.Password != nil {
		did, err := s.setPassword(ctx, by, a, c.Password.Text)
		if err != nil && len(detail) > 0 { // the rest is done, and has to be told
			err = errors.Join(fmt.Errorf("the password was not set, the rest was: %w", err),
				s.record(ctx, by, "user set", a.User.Login, fields(append(detail, "password not set"))))
		}
		if err != nil {
			return User{}, err
		}
		detail = append(detail, "password "+did)
	}
	if err := s.record(ctx, by, "user set", a.User.Login, fields(detail)+void); err != nil {
		return User{}, err
	}
	if changed.State == mfa.StateDenied {
		if err := s.signOut(ctx, by, changed); err != nil {
			return User{}, err
		}
	}
	return s.user(changed), nil
}

// unclaimed refuses a user of whom a login form, also one in a domain of ours, is
// another's: a login that means two people lets neither of them in.
func (s *Service) unclaimed(ctx context.Context, u mfa.User) error {
	for _, name := range append([]string{u.Login}, u.Aliases...) {
		for _, form := range s.forms(name) {
			if owner, err := s.owner(ctx, form); err != nil {
				return err
			} else if owner.ID != "" && owner.ID != u.ID {
				return fmt.Errorf("login name %q: %w: user %q has it", form, mfa.ErrExists, owner.Login)
			}
		}
	}
	return nil
}

// applyUser changes u as c says, or says what is bad about c.
func (s *Service) applyUser(u *mfa.User, c UserChange) error {
	var bad error
	set(&bad, "login", &u.Login, c.Login, parseLogin)
	set(&bad, "aliases", &u.Aliases, c.Aliases, each(32, parseLogin))
	set(&bad, "name", &u.Name, c.Name, line(256))
	set(&bad, "email", &u.Email, c.Email, parseEmail)
	set(&bad, "phone", &u.Phone, c.Phone, parsePhone)
	set(&bad, "directory", &u.Directory, c.Directory, s.parseDirectory)
	set(&bad, "tags", &u.Tags, c.Tags, each(64, objectName))
	set(&bad, "language", &u.Language, c.Language, parseLanguage)
	set(&bad, "preferred_method", &u.Preferred, c.PreferredMethod, oneOf(append([]mfa.MethodID{""}, methods...)...))
	set(&bad, "state", &u.State, c.State, parseState)
	if c.Password != nil && c.Password.Len() > maxPassword {
		bad = invalid("password: longer than %d bytes, which RADIUS cannot carry", maxPassword)
	}
	return bad
}

func parseLogin(s string) (string, error) {
	n, err := login.Parse(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a user name (alice, alice@corp.example, CORP\\alice)", s)
	}
	return n.String(), nil
}

func parseEmail(s string) (string, error) {
	s, err := line(254)(s)
	local, domain, ok := strings.Cut(s, "@")
	if err == nil && s != "" && (!ok || local == "" || domain == "" || strings.ContainsAny(s, " <>,;") || strings.Contains(domain, "@")) {
		err = fmt.Errorf("%q is not a mail address", s)
	}
	return s, err
}

func parsePhone(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", nil
	}
	n, err := phone.Parse(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a number in E.164 form (+491701234567): %w", s, err)
	}
	return n, nil
}

// parseLanguage takes a language that there are texts in, or none.
func parseLanguage(s string) (string, error) {
	if s == "" || mfa.IsLanguage(s) {
		return s, nil
	}
	var ids []string
	for _, l := range mfa.Languages {
		ids = append(ids, l.ID)
	}
	return "", fmt.Errorf("%q is none of %s", s, strings.Join(ids, ", "))
}

func parseState(s string) (mfa.State, error) {
	st, ok := mfa.ParseState(s)
	if !ok {
		return mfa.StateDenied, fmt.Errorf("%q is none of protected, exempt, denied", s)
	}
	return st, nil
}

// parseDirectory checks that the directory exists.
func (s *Service) parseDirectory(name string) (string, error) {
	if name == "" || name == mfa.FirstFactorLocal {
		return name, nil
	}
	if _, err := s.Directories.Directory(name); err != nil {
		return "", fmt.Errorf("%w (directory list shows those there are)", err)
	}
	return name, nil
}

// password makes the credential of a local password.
func (s *Service) password(ctx context.Context, by string, user mfa.UserID, p secret.Text) (mfa.Credential, error) {
	hash, err := s.Passwords.Hash(ctx, p)
	if err != nil {
		return mfa.Credential{}, fmt.Errorf("password: %w", err)
	}
	return s.passwordHash(by, user, hash), nil
}

func (s *Service) passwordHash(by string, user mfa.UserID, hash secret.Text) mfa.Credential {
	return mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: user, Method: mfa.MethodPassword, Secret: hash,
		Created: s.Now(), By: by}
}

// setPassword replaces the local password, or removes it for an empty one, and says what it
// did.
func (s *Service) setPassword(ctx context.Context, by string, a settlement.Account, p secret.Text) (did string, err error) {
	i := slices.IndexFunc(a.Credentials, func(c mfa.Credential) bool { return c.Method == mfa.MethodPassword })
	switch {
	case p.Empty() && i < 0:
		return "absent", nil
	case p.Empty():
		return "removed", s.Credentials.RemoveCredential(ctx, a.User.ID, a.Credentials[i].ID)
	}
	made, err := s.password(ctx, by, a.User.ID, p)
	if err != nil {
		return "", err
	}
	if i < 0 {
		return "set", s.Credentials.AddCredential(ctx, made)
	}
	_, err = s.Credentials.UpdateCredential(ctx, a.User.ID, a.Credentials[i].ID, func(c *mfa.Credential) error {
		c.Secret, c.Created, c.By = made.Secret, made.Created, made.By
		return nil
	})
	return "replaced", err
}

// BlockUser keeps a user out until the block expires or is lifted.
func (s *Service) BlockUser(ctx context.Context, by, typed string, r BlockRequest) (User, error) {
	return s.blockUser(ctx, by, typed, r, anybody)
}

func (s *Service) blockUser(ctx context.Context, by, typed string, r BlockRequest, holds condition) (User, error) {
	reason, err := line(256)(r.Reason)
	if err != nil {
		return User{}, invalid("reason: %v", err)
	}
	if r.Seconds < 0 || r.Seconds > 10*365*86400 {
		return User{}, invalid("a block lasts at most ten years, or until it is lifted")
	}
	u, err := s.Resolve(ctx, typed)
	if err != nil {
		return User{}, err
	}
	void := s.underWay(ctx, u.ID)
	u, err = s.editUser(ctx, by, "user block", string(u.ID), holds, func(u *mfa.User) string {
		was := blocked(u.Block)
		u.Block = &mfa.Block{Reason: reason, By: by, Since: s.Now()}
		if r.Seconds > 0 {
			u.Block.Until = s.Now().Add(time.Duration(r.Seconds) * time.Second)
		}
		return strings.TrimSuffix(was+" -> "+blocked(u.Block)+": "+reason, ": ") + void
	})
	if err != nil {
		return User{}, err
	}
	return s.user(u), s.signOut(ctx, by, u)
}

// blocked tells a block for the trail.
func blocked(b *mfa.Block) string {
	switch {
	case b == nil:
		return "not blocked"
	case b.Until.IsZero():
		return "blocked until lifted"
	}
	return "blocked until " + b.Until.UTC().Format(time.RFC3339)
}

// UnblockUser lifts a block; there need be none.
func (s *Service) UnblockUser(ctx context.Context, by, typed string) (User, error) {
	return s.unblockUser(ctx, by, typed, anybody)
}

func (s *Service) unblockUser(ctx context.Context, by, typed string, holds condition) (User, error) {
	u, err := s.Resolve(ctx, typed)
	if err != nil {
		return User{}, err
	}
	if err := s.forget(ctx, u.ID); err != nil { // whoever was in before the block proves both factors again
		return User{}, err
	}
	u, err = s.editUser(ctx, by, "user unblock", string(u.ID), holds, func(u *mfa.User) string {
		was := blocked(u.Block)
		u.Block = nil
		return "was " + was
	})
	if err != nil {
		return User{}, err
	}
	return s.user(u), nil
}

// condition says, in the write itself, why a user is not to be changed; nil: they are.
type condition func(mfa.User) error

// anybody is the condition of who may change everybody.
func anybody(mfa.User) error { return nil }

// editUser changes one user for whom holds and records it with the detail that change returns.
func (s *Service) editUser(ctx context.Context, by, verb, typed string, holds condition, change func(*mfa.User) string) (mfa.User, error) {
	u, err := s.Resolve(ctx, typed)
	if err != nil {
		return mfa.User{}, err
	}
	var detail string
	if u, err = s.Users.UpdateUser(ctx, u.ID, func(u *mfa.User) error {
		if err := holds(*u); err != nil {
			return err
		}
		detail = change(u)
		u.Changed = s.Now()
		return nil
	}); err != nil {
		return mfa.User{}, err
	}
	return u, s.record(ctx, by, verb, u.Login, detail)
}

// UnlockUser forgets the failures of both factors and the locks that they led to, and what
// too many attempts in a short time have filled the user's record with.
func (s *Service) UnlockUser(ctx context.Context, by, typed string) (User, error) {
	return s.unlockUser(ctx, by, typed, anybody)
}

func (s *Service) unlockUser(ctx context.Context, by, typed string, holds condition) (User, error) {
	u, err := s.Resolve(ctx, typed)
	if err != nil {
		return User{}, err
	}
	var detail string
	if err := s.Users.UpdateRecordIf(ctx, u.ID, holds, func(r *settlement.Record) error {
		detail = fmt.Sprintf("%d wrong second factors, %d wrong passwords forgotten", r.Fails.N, r.First.N)
		*r = r.Unlock()
		return nil
	}); err != nil {
		return User{}, err
	}
	if err := s.record(ctx, by, "user unlock", u.Login, detail); err != nil {
		return User{}, err
	}
	return s.User(ctx, string(u.ID))
}

// RemoveUser deletes a user with everything that is theirs.
func (s *Service) RemoveUser(ctx context.Context, by, typed string) error {
	return s.removeUser(ctx, by, typed, anybody)
}

func (s *Service) removeUser(ctx context.Context, by, typed string, holds condition) error {
	u, err := s.Resolve(ctx, typed)
	if err != nil {
		return err
	}
	if err := s.Users.RemoveUserIf(ctx, u.ID, holds); err != nil {
		return err
	}
	if err := s.record(ctx, by, "user remove", u.Login, gone(string(u.ID), contents(s.user(u), personal...))); err != nil {
		return err
	}
	return s.signOut(ctx, by, u)
}
