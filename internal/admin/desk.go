package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Desk is the Service as one caller may use it. Each of its methods asks first whether they
// may; the error wraps mfa.ErrForbidden if not. Users beyond the caller's reach are not
// found, as those who do not exist. API and console have nothing else of the Service.
type Desk struct {
	s    *Service
	by   Caller
	seen string // ETag of the user whom an act is for; "": as they are
}

// As returns the desk of one caller.
func (s *Service) As(by Caller) Desk { return Desk{s: s, by: by} }

// Seeing returns the desk for one act on a user who is, in the write itself, as that ETag
// says; the error wraps mfa.ErrChanged if not.
func (d Desk) Seeing(etag string) Desk {
	d.seen = etag
	return d
}

// holds asks in the write itself whether the user is still within the caller's reach, and as
// the caller has seen them. typed is what they were called by.
func (d Desk) holds(typed string) condition {
	return func(u mfa.User) error {
		if !d.by.Reach.Includes(u) {
			return d.outOfReach(typed)
		}
		return unchanged(d.seen, d.s.user(u).ETag())
	}
}

// Caller returns whose desk it is.
func (d Desk) Caller() Caller { return d.by }

// may refuses a caller without the permission.
func (d Desk) may(p mfa.Permission) error {
	if d.by.Can(p) {
		return nil
	}
	return d.by.Lacks(p)
}

// allowed runs do for a caller with the permission.
func allowed[T any](d Desk, p mfa.Permission, do func() (T, error)) (out T, err error) {
	if err := d.may(p); err != nil {
		return out, err
	}
	return do()
}

// Allowed finds a user on whom the caller has at least one of the permissions.
func (d Desk) Allowed(ctx context.Context, typed string, anyOf ...mfa.Permission) (mfa.User, error) {
	if !slices.ContainsFunc(anyOf, d.by.Can) {
		return mfa.User{}, d.by.Lacks(anyOf[0])
	}
	u, err := d.s.Resolve(ctx, typed)
	if errors.Is(err, mfa.ErrNotFound) || err == nil && !d.by.Reach.Includes(u) {
		return mfa.User{}, d.outOfReach(typed)
	}
	if err != nil {
		return mfa.User{}, err
	}
	holds, err := d.s.roleOf(u.ID)
	if err != nil {
		return mfa.User{}, err
	}
	if !slices.ContainsFunc(anyOf, func(p mfa.Permission) bool { return d.by.CanUser(p, u, holds) }) {
		return mfa.User{}, fmt.Errorf("%s: %w: %q holds the role %s, and only a higher one, or an owner, changes their account", d.by.By, mfa.ErrForbidden, u.Login, holds)
	}
	return u, nil
}

// outOfReach is the answer for whom there is not, and for whom the caller may not see: the
// two read the same.
func (d Desk) outOfReach(typed string) error {
	if d.by.Reach.All {
		return fmt.Errorf("user %q: %w", typed, mfa.ErrNotFound)
	}
	return fmt.Errorf("user %q: %w among those that %s may see (%s)", typed, mfa.ErrNotFound, d.by.By, d.by.Reach)
}

// ListUsers returns one page of the users that the caller may see.
func (d Desk) ListUsers(ctx context.Context, q UserQuery) (UserList, error) {
	return allowed(d, mfa.MayReadUsers, func() (UserList, error) {
		if q.within = nil; !d.by.Reach.All {
			q.within = d.by.Reach.Includes
		}
		return d.s.ListUsers(ctx, q)
	})
}

// User returns one user.
func (d Desk) User(ctx context.Context, login string) (User, error) {
	u, err := d.Allowed(ctx, login, mfa.MayReadUsers)
	if err != nil {
		return User{}, err
	}
	return d.s.User(ctx, string(u.ID))
}

// userFields are the permissions that the fields of a change ask for.
func userFields(c UserChange) (needs mfa.Permissions) {
	for _, f := range []struct {
		given bool
		needs mfa.Permission
	}{
		{c.Login != nil || c.Aliases != nil || c.Name != nil || c.Email != nil, mfa.MayChangeInfo},
		{c.Phone != nil, mfa.MayChangePhone}, {c.Language != nil, mfa.MayChangeLanguage}, {c.PreferredMethod != nil, mfa.MayChangeMode}, {c.Password != nil, mfa.MayChangePassword}, {c.State != nil, mfa.MayChangeState},
		{c.Tags != nil || c.Directory != nil, mfa.MayChangeScope},
	} {
		if f.given {
			needs |= mfa.SetOf(f.needs)
		}
	}
	return needs
}

// UserChangers are the permissions of which each lets some fields of a user be changed.
var UserChangers = []mfa.Permission{mfa.MayChangeInfo, mfa.MayChangePhone, mfa.MayChangeLanguage, mfa.MayChangeMode, mfa.MayChangePassword, mfa.MayChangeState, mfa.MayChangeScope}

// AddUser makes a user. Who is limited to some users makes them within that reach, and may
// set tags and directory for it.
func (d Desk) AddUser(ctx context.Context, c UserChange) (User, error) {
	if err := d.may(mfa.MayAddUser); err != nil {
		return User{}, err
	}
	if err := d.longEnough(c); err != nil {
		return User{}, err
	}
	needs := userFields(c) &^ mfa.SetOf(mfa.MayChangeInfo)
	if !d.by.Can(mfa.MayChangeScope) {
		var u mfa.User
		if c.Tags != nil {
			u.Tags = *c.Tags
		}
		if c.Directory != nil {
			u.Directory = *c.Directory
		}
		if c.Login != nil {
			u.Login = *c.Login
		}
		if !d.by.Reach.Includes(u) {
			return User{}, fmt.Errorf("%s: %w: may take care of %s only, and the new user would be none of them: give a tag or a directory", d.by.By, mfa.ErrForbidden, d.by.Reach)
		}
		if !d.by.Reach.All && within(u.Tags, d.by.Reach.Tags) && (u.Directory == "" || d.by.Reach.IncludesDirectory(u)) {
			needs &^= mfa.SetOf(mfa.MayChangeScope)
		}
	}
	for _, p := range needs.List() {
		if err := d.may(p); err != nil {
			return User{}, err
		}
	}
	return d.s.AddUser(ctx, d.by.By, c)
}

// within reports whether every one of some is in all.
func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// longEnough asks of a local password that somebody gives another what users need for their own;
// root, who may have a machine to give one, knows what they do.
func (d Desk) longEnough(c UserChange) error {
	if c.Password == nil || c.Password.Empty() || d.by.Root || utf8.RuneCount(c.Password.Expose()) >= MinOwnPassword {
		return nil
	}
	return invalid("password: want %d characters or more", MinOwnPassword)
}

// SetUser changes a user. Each field asks for its own permission.
func (d Desk) SetUser(ctx context.Context, login string, c UserChange) (User, error) {
	u, err := d.Allowed(ctx, login, UserChangers...)
	if err != nil {
		return User{}, err
	}
	for _, p := range userFields(c).List() {
		if err := d.may(p); err != nil {
			return User{}, err
		}
	}
	if err := d.longEnough(c); err != nil {
		return User{}, err
	}
	if c.IfMatch == "" {
		c.IfMatch = d.seen
	}
	if c.IfMatch == "" && !d.by.Reach.All {
		c.IfMatch = d.s.user(u).ETag() // what was decided from must still hold
	}
	changed, err := d.s.SetUser(ctx, d.by.By, string(u.ID), c)
	if err == nil && c.Password != nil { // whoever knows the old one is out
		_, err = d.s.EndSessions(ctx, d.by.By, string(u.ID), d.by.Session)
	}
	return changed, err
}

// PIN tells about a user's PIN.
func (d Desk) PIN(ctx context.Context, login string) (PINState, error) {
	u, err := d.Allowed(ctx, login, mfa.MayReadUsers)
	if err != nil {
		return PINState{}, err
	}
	return d.s.PIN(ctx, string(u.ID))
}

// SetPIN sets, ages or removes a user's PIN. A new one ends their sessions.
func (d Desk) SetPIN(ctx context.Context, login string, c PINChange) (PINState, error) {
	u, err := d.Allowed(ctx, login, mfa.MayChangePassword)
	if err != nil {
		return PINState{}, err
	}
	v, err := d.s.SetPIN(ctx, d.by.By, string(u.ID), c)
	if err == nil && c.PIN != nil {
		_, err = d.s.EndSessions(ctx, d.by.By, string(u.ID), d.by.Session)
	}
	return v, err
}

// BlockUser keeps a user out.
func (d Desk) BlockUser(ctx context.Context, login string, r BlockRequest) (User, error) {
	u, err := d.Allowed(ctx, login, mfa.MayBlock)
	if err != nil {
		return User{}, err
	}
	return d.s.blockUser(ctx, d.by.By, string(u.ID), r, d.holds(login))
}

// UnblockUser lifts a block.
func (d Desk) UnblockUser(ctx context.Context, login string) (User, error) {
	u, err := d.Allowed(ctx, login, mfa.MayBlock)
	if err != nil {
		return User{}, err
	}
	return d.s.unblockUser(ctx, d.by.By, string(u.ID), d.holds(login))
}

// UnlockUser forgets a user's failures.
func (d Desk) UnlockUser(ctx context.Context, login string) (User, error) {
	u, err := d.Allowed(ctx, login, mfa.MayBlock)
	if err != nil {
		return User{}, err
	}
	return d.s.unlockUser(ctx, d.by.By, string(u.ID), d.holds(login))
}

// RemoveUser deletes a user.
func (d Desk) RemoveUser(ctx context.Context, login string) error {
	u, err := d.Allowed(ctx, login, mfa.MayRemoveUser)
	if err != nil {
		return err
	}
	return d.s.removeUser(ctx, d.by.By, string(u.ID), d.holds(login))
}

// ImportUsers makes users from CSV.
func (d Desk) ImportUsers(ctx context.Context, r io.Reader, dryRun bool) (ImportReport, error) {
	return allowed(d, mfa.MayChangeScope, func() (ImportReport, error) { return d.s.ImportUsers(ctx, d.by.By, r, dryRun) })
}

// TestSignIn makes one leg of a real authentication of a user whom the caller may test.
// Names that are nobody's are tried by those who reach everybody.
func (d Desk) TestSignIn(ctx context.Context, r TestRequest) (TestResult, error) {
	_, err := d.Allowed(ctx, r.Login, mfa.MayTest)
	if err != nil && !(d.by.Can(mfa.MayTest) && d.by.Reach.All && !errors.Is(err, mfa.ErrForbidden)) {
		return TestResult{}, err
	}
	return d.s.TestSignIn(ctx, d.by.By, r)
}

// Explain tells which rules decide for a user.
func (d Desk) Explain(ctx context.Context, login string, q ExplainQuery) (Explanation, error) {
	u, err := d.Allowed(ctx, login, mfa.MayReadUsers)
	if err != nil {
		return Explanation{}, err
	}
	return d.s.Explain(ctx, string(u.ID), q)
}

// Attempts returns one page of attempts: of everybody to auditors, of a user within reach to
// who may see that user.
func (d Desk) Attempts(ctx context.Context, login string, q AuditQuery) (AttemptList, error) {
	if d.by.Can(mfa.MayReadAudit) && d.by.Reach.All {
		return d.s.Attempts(ctx, login, q)
	}
	if login == "" {
		return AttemptList{}, fmt.Errorf("%s: %w: sees attempts of one user at a time; name the user", d.by.By, mfa.ErrForbidden)
	}
	u, err := d.Allowed(ctx, login, mfa.MayReadAudit, mfa.MayReadUsers)
	if err != nil {
		return AttemptList{}, err
	}
	return d.s.Attempts(ctx, string(u.ID), q)
}

// Story tells of one attempt: to auditors, and to who may see the user that it is about.
func (d Desk) Story(ctx context.Context, text string) (Story, error) {
	if !d.by.Can(mfa.MayReadAudit) && !d.by.Can(mfa.MayReadUsers) {
		return Story{}, d.by.Lacks(mfa.MayReadAudit)
	}
	var id mfa.AttemptID
	if err := id.UnmarshalText([]byte(text)); err != nil || text == "" {
		return Story{}, fmt.Errorf("attempt %q: %w: that is no id of one", clip(text), mfa.ErrNotFound)
	}
	o, err := d.s.Story(ctx, id)
	if err != nil || d.by.Can(mfa.MayReadAudit) && d.by.Reach.All {
		return o, err
	}
	if o.Attempt == nil || o.Attempt.User == "" {
		return Story{}, fmt.Errorf("attempt %s: %w among those that %s may see", id, mfa.ErrNotFound, d.by.By)
	}
	if _, err := d.Allowed(ctx, string(o.Attempt.User), mfa.MayReadAudit, mfa.MayReadUsers); err != nil {
		return Story{}, fmt.Errorf("attempt %s: %w among those that %s may see", id, mfa.ErrNotFound, d.by.By)
	}
	return o, nil
}

// Report makes a report. Those about attempts are for who sees everybody's; the others count
// the users within reach.
func (d Desk) Report(ctx context.Context, name string, q ReportQuery) (Figures, error) {
	need := reportNeeds(name)
	if err := d.may(need); err != nil {
		return Figures{}, err
	}
	if need == mfa.MayReadAudit && !d.by.Reach.All {
		return Figures{}, fmt.Errorf("%s: %w: sees attempts of one user at a time, and this report is about everybody's", d.by.By, mfa.ErrForbidden)
	}
	return d.s.Report(ctx, name, q, d.by.Reach)
}

// Acts returns one page of administrative acts.
func (d Desk) Acts(ctx context.Context, q AuditQuery) (ActList, error) {
	return allowed(d, mfa.MayReadAudit, func() (ActList, error) { return d.s.Acts(ctx, q) })
}

// TailAttempts yields every attempt from now on.
func (d Desk) TailAttempts(ctx context.Context, yield func(Attempt) bool) error {
	if err := d.may(mfa.MayReadAudit); err != nil {
		return err
	}
	return d.s.TailAttempts(ctx, yield)
}

// VerifyAudit reads the whole trail again.
func (d Desk) VerifyAudit(ctx context.Context) (AuditVerification, error) {
	return allowed(d, mfa.MayReadAudit, func() (AuditVerification, error) { return d.s.VerifyAudit(ctx) })
}

// Backup writes one encrypted file.
func (d Desk) Backup(ctx context.Context, passphrase secret.Text, w io.Writer) error {
	if err := d.may(mfa.MayOwn); err != nil {
		return err
	}
	return d.s.Backup(ctx, d.by.By, passphrase, w)
}
