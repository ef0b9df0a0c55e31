package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// Administrators is what admin needs of the database for roles. Create returns
// mfa.ErrNotFound without the user, mfa.ErrExists if they hold one already; Update runs
// change on a fresh copy, perhaps more than once. A role goes with its user.
type Administrators interface {
	Administrators() []mfa.Administrator
	Administrator(id mfa.UserID) (mfa.Administrator, error)
	CreateAdministrator(ctx context.Context, a mfa.Administrator) (mfa.Administrator, error)
	UpdateAdministrator(ctx context.Context, id mfa.UserID, change func(*mfa.Administrator) error) (mfa.Administrator, error)
	RemoveAdministrator(ctx context.Context, id mfa.UserID, lastOwner bool) error
}

// Administrator is a user with a role, as the API shows it.
type Administrator struct {
	Login       string     `json:"login"`
	User        mfa.UserID `json:"user"`
	Role        string     `json:"role" enum:"owner,administrator,auditor,help-desk"`
	Permissions []string   `json:"permissions" doc:"all that they have"`
	AllUsers    bool       `json:"all_users" doc:"their permissions hold on every user"`
	Tags        []string   `json:"tags" doc:"they hold on users with one of these"`
	Directories []string   `json:"directories" doc:"they hold on users whose password one of these checks"`
	Groups      []string   `json:"groups" doc:"they hold on users whom their directory has in one of these, each DIRECTORY/GROUP"`
	By          string     `json:"by"`
	Created     time.Time  `json:"created"`
	Changed     time.Time  `json:"changed"`
}

// AdministratorList is all users with a role.
type AdministratorList struct {
	Administrators []Administrator `json:"administrators"`
	Next           string          `json:"next,omitempty"`
}

// AdministratorChange gives a role or changes one: what is absent stays as it is.
type AdministratorChange struct {
	Login       *string   `json:"login,omitempty" maxLength:"253" doc:"of the user, to add"`
	Role        *string   `json:"role,omitempty" enum:"owner,administrator,auditor,help-desk"`
	Permissions *[]string `json:"permissions,omitempty" maxItems:"18" doc:"help-desk: user.block, token.manage ..."`
	AllUsers    *bool     `json:"all_users,omitempty" doc:"help-desk: on every user"`
	Tags        *[]string `json:"tags,omitempty" maxItems:"64" doc:"help-desk: on users with one of these tags"`
	Directories *[]string `json:"directories,omitempty" maxItems:"64" doc:"help-desk: on users whose password one of these directories checks"`
	Groups      *[]string `json:"groups,omitempty" maxItems:"16" doc:"help-desk: on users whom their directory has in one of these groups, each DIRECTORY/GROUP with what group_attribute says of it (a DN as a rule)"`
	IfMatch     string    `json:"-"` // refuse with mfa.ErrChanged what is not as this ETag says
}

// ListAdministrators returns all users with a role, by login.
func (s *Service) ListAdministrators(ctx context.Context) (AdministratorList, error) {
	out := AdministratorList{Administrators: []Administrator{}}
	for _, a := range s.Administrators.Administrators() {
		v, err := s.administrator(ctx, a)
		if err != nil {
			return out, err
		}
		out.Administrators = append(out.Administrators, v)
	}
	slices.SortFunc(out.Administrators, func(a, b Administrator) int { return strings.Compare(a.Login, b.Login) })
	return out, nil
}

// Administrator returns one.
func (s *Service) Administrator(ctx context.Context, typed string) (Administrator, error) {
	u, err := s.Resolve(ctx, typed)
	if err != nil {
		return Administrator{}, err
	}
	a, err := s.Administrators.Administrator(u.ID)
	if err != nil && !errors.Is(err, mfa.ErrNotFound) {
		return Administrator{}, err
	} else if err != nil {
		return Administrator{}, fmt.Errorf("%s holds no role: %w", u.Login, mfa.ErrNotFound)
	}
	return administrator(a, u.Login), nil
}

// administrator converts for the API. A user who is just being removed has no login.
func (s *Service) administrator(ctx context.Context, a mfa.Administrator) (Administrator, error) {
	acc, err := s.Users.Account(ctx, a.User, false)
	if err != nil && !errors.Is(err, mfa.ErrNotFound) {
		return Administrator{}, err
	}
	return administrator(a, acc.User.Login), nil
}

func administrator(a mfa.Administrator, login string) Administrator {
	c := a.Caller("")
	return Administrator{Login: login, User: a.User, Role: a.Role.String(), Permissions: c.Permissions.Names(), AllUsers: c.Reach.All,
		Tags: list(c.Reach.Tags), Directories: list(c.Reach.Directories), Groups: groupNames(c.Reach.Groups), By: a.By, Created: a.Created, Changed: a.Changed}
}

// AddAdministrator gives a user a role.
func (s *Service) AddAdministrator(ctx context.Context, by string, c AdministratorChange) (Administrator, error) {
	if c.Login == nil || c.Role == nil {
		return Administrator{}, invalid("login or role is missing")
	}
	u, err := s.Resolve(ctx, *c.Login)
	if err != nil {
		return Administrator{}, err
	}
	a := mfa.Administrator{User: u.ID, By: by, Created: s.Now(), Changed: s.Now()}
	if err := s.applyAdministrator(&a, c); err != nil {
		return Administrator{}, err
	}
	if err := s.lookAtGroups(ctx, c); err != nil {
		return Administrator{}, err
	}
	made, err := s.Administrators.CreateAdministrator(ctx, a)
	if errors.Is(err, mfa.ErrExists) {
		return Administrator{}, fmt.Errorf("%s holds a role: %w (administrator set changes it)", u.Login, mfa.ErrExists)
	} else if err != nil {
		return Administrator{}, err
	}
	v := administrator(made, u.Login)
	return v, s.record(ctx, by, "administrator add", u.Login, fields(contents(v)))
}

// SetAdministrator changes a role.
func (s *Service) SetAdministrator(ctx context.Context, by, typed string, c AdministratorChange) (Administrator, error) {
	u, err := s.Resolve(ctx, typed)
	if err != nil {
		return Administrator{}, err
	}
	if c.Login != nil {
		return Administrator{}, invalid("a role stays with its user; give another one to another user")
	}
	if err := s.lookAtGroups(ctx, c); err != nil {
		return Administrator{}, err
	}
	var before Administrator
	changed, err := s.Administrators.UpdateAdministrator(ctx, u.ID, func(a *mfa.Administrator) error {
		before = administrator(*a, u.Login)
		if err := unchanged(c.IfMatch, before.ETag()); err != nil {
			return err
		}
		a.By, a.Changed = by, s.Now()
		return s.applyAdministrator(a, c)
	})
	if err != nil {
		return Administrator{}, err
	}
	v := administrator(changed, u.Login)
	return v, s.record(ctx, by, "administrator set", u.Login, fields(difference(before, v)))
}

// RemoveAdministrator takes a role away; the user stays, and is signed out. The last owner's goes
// only if lastOwner says so.
func (s *Service) RemoveAdministrator(ctx context.Context, by, typed string, lastOwner bool) error {
	u, err := s.Resolve(ctx, typed)
	if err != nil {
		return err
	}
	a, err := s.Administrators.Administrator(u.ID)
	if err == nil || !errors.Is(err, mfa.ErrNotFound) { // also one that cannot be read
		err = s.Administrators.RemoveAdministrator(ctx, u.ID, lastOwner)
	}
	if errors.Is(err, mfa.ErrNotFound) {
		return fmt.Errorf("%s holds no role: %w", u.Login, mfa.ErrNotFound)
	} else if err != nil {
		return err
	}
	if err := s.record(ctx, by, "administrator remove", u.Login, gone(string(u.ID), contents(administrator(a, u.Login)))); err != nil {
		return err
	}
	return s.signOut(ctx, by, u)
}

// applyAdministrator changes a as c says, or says what is bad about c.
func (s *Service) applyAdministrator(a *mfa.Administrator, c AdministratorChange) error {
	var bad error
	set(&bad, "role", &a.Role, c.Role, parseRole)
	set(&bad, "permissions", &a.Permissions, c.Permissions, parsePermissions)
	set(&bad, "all_users", &a.Reach.All, c.AllUsers, same[bool])
	set(&bad, "tags", &a.Reach.Tags, c.Tags, each(64, objectName))
	set(&bad, "directories", &a.Reach.Directories, c.Directories, each(64, s.parseDirectory))
	set(&bad, "groups", &a.Reach.Groups, c.Groups, s.parseGroups)
	switch {
	case bad != nil:
		return bad
	case a.Role != mfa.RoleHelpDesk && (c.Permissions != nil || c.AllUsers != nil || c.Tags != nil || c.Directories != nil || c.Groups != nil):
		return invalid("permissions and users are chosen for the role help-desk only; %s has its own, on every user", a.Role)
	case a.Role != mfa.RoleHelpDesk:
		a.Permissions, a.Reach = 0, mfa.Reach{}
	case !a.Reach.All && len(a.Reach.Tags)+len(a.Reach.Directories)+len(a.Reach.Groups) == 0:
		return invalid("a help desk takes care of which users? Name tags, directories or groups of them, or all users")
	case a.Reach.All && len(a.Reach.Tags)+len(a.Reach.Directories)+len(a.Reach.Groups) > 0:
		return invalid("all users, and some of them only: choose one")
	}
	return nil
}

func parseRole(s string) (mfa.Role, error) {
	r, ok := mfa.ParseRole(s)
	if !ok {
		return mfa.RoleNone, fmt.Errorf("%q is none of owner, administrator, auditor, help-desk", s)
	}
	return r, nil
}

func parsePermissions(names []string) (set mfa.Permissions, err error) {
	can := mfa.SetOf(mfa.HelpDeskPermissions()...)
	for _, n := range names {
		p, ok := mfa.ParsePermission(n)
		if !ok || !can.Has(p) {
			return 0, fmt.Errorf("%q is none that a help desk can be given: %s", clip(n), can)
		}
		set |= mfa.SetOf(p)
	}
	return set, nil
}

// roleOf returns the role that a user holds. One that cannot be read counts as the highest.
func (s *Service) roleOf(id mfa.UserID) (mfa.Role, error) {
	a, err := s.Administrators.Administrator(id)
	switch {
	case errors.Is(err, mfa.ErrNotFound):
		return mfa.RoleNone, nil
	case errors.Is(err, mfa.ErrUnavailable):
		return mfa.RoleOwner, err
	case err != nil:
		return mfa.RoleOwner, nil
	}
	return a.Role, nil
}

// Admits refuses (mfa.NoRole) at the console whoever holds no role, for authn.Config.
func (s *Service) Admits(app mfa.Application, user mfa.UserID) error {
	if app.Kind != mfa.KindWeb || app.Name != ConsoleApplication {
		return nil
	}
	_, err := s.Administrators.Administrator(user)
	if errors.Is(err, mfa.ErrNotFound) {
		return mfa.NoRole
	}
	return err
}

// AdministratorCaller returns what a user who has signed in through frontEnd ("console") may
// now. The error wraps mfa.ErrForbidden for who holds no role, is denied or blocked. It is
// to be asked for each request: a role that is taken away ends at once.
func (s *Service) AdministratorCaller(ctx context.Context, id mfa.UserID, frontEnd string) (Caller, error) {
	acc, err := s.Users.Account(ctx, id, false)
	if err != nil {
		return Caller{}, err
	}
	u := acc.User
	if u.State == mfa.StateDenied || u.BlockedAt(s.Now()) {
		return Caller{}, fmt.Errorf("%s: %w: denied or blocked", u.Login, mfa.ErrForbidden)
	}
	a, err := s.Administrators.Administrator(id)
	if errors.Is(err, mfa.ErrNotFound) {
		return Caller{}, fmt.Errorf("%s: %w: holds no role (administrator add gives one)", u.Login, mfa.ErrForbidden)
	} else if err != nil {
		return Caller{}, err
	}
	return s.caller(a, u.Login+" ("+frontEnd+")"), nil
}
