package mfa

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role is what an administrator is. The zero value is none.
type Role uint8

// The roles of people.
const (
	RoleNone          Role = iota
	RoleHelpDesk           // single permissions on some users
	RoleAuditor            // reads everything, changes nothing
	RoleAdministrator      // everything but what an owner keeps
	RoleOwner              // everything
	roleEnd
)

var roleNames = [roleEnd]string{"none", "help-desk", "auditor", "administrator", "owner"}

// String returns "owner", "administrator", "auditor", "help-desk" or "none".
func (r Role) String() string {
	if r < roleEnd {
		return roleNames[r]
	}
	return "none"
}

// ParseRole reads a role's name; "none" is no role to give.
func ParseRole(s string) (Role, bool) {
	i := slices.Index(roleNames[1:], s)
	return Role(i + 1), i >= 0
}

var (
	reading  = SetOf(MayKnow, MayReadUsers, MayReadAudit, MayReadStatus, MayReadSettings)
	changing = SetOf(HelpDeskPermissions()...) | SetOf(MayChangeScope, MayChangeSettings)
)

// Permissions returns what everybody in the role may. Those of a help desk are given one by
// one beside it.
func (r Role) Permissions() Permissions {
	switch r {
	case RoleOwner:
		return reading | changing | SetOf(MayOwn)
	case RoleAdministrator:
		return reading | changing
	case RoleAuditor:
		return reading
	case RoleHelpDesk:
		return SetOf(MayKnow, MayReadUsers, MayReadStatus)
	}
	return 0
}

// Reach says of which users somebody may take care. The zero value reaches nobody.
type Reach struct {
	All         bool             `json:"all_users,omitempty"`
	Tags        []string         `json:"tags,omitempty"`        // users with one of them
	Directories []string         `json:"directories,omitempty"` // users whose password one of them checks
	Groups      []DirectoryGroup `json:"groups,omitempty"`      // users whom such a directory has in one of them
	// Belongs tells whether a user is in a group now; nil: nobody is in any. It is no part of what
	// is kept.
	Belongs func(u User, in DirectoryGroup) bool `json:"-"`
}

// DirectoryGroup is a group of a directory: what its users have as group_attribute, a DN as a
// rule. Its text is DIRECTORY/GROUP.
type DirectoryGroup struct {
	Directory, Group string
}

// String returns "corp/CN=Staff,DC=corp,DC=example".
func (g DirectoryGroup) String() string { return g.Directory + "/" + g.Group }

// MarshalText implements encoding.TextMarshaler.
func (g DirectoryGroup) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *DirectoryGroup) UnmarshalText(b []byte) error {
	directory, group, ok := strings.Cut(string(b), "/")
	if !ok || directory == "" || group == "" {
		return fmt.Errorf("directory group %q: want DIRECTORY/GROUP", b)
	}
	*g = DirectoryGroup{directory, group}
	return nil
}

// Includes reports whether u is reached.
func (r Reach) Includes(u User) bool {
	return r.All || r.IncludesDirectory(u) || slices.ContainsFunc(r.Tags, func(t string) bool { return slices.Contains(u.Tags, t) })
}

// IncludesDirectory reports whether u is reached because of the directory that u is in, or of a
// group of it.
func (r Reach) IncludesDirectory(u User) bool {
	return u.Directory != "" && (slices.Contains(r.Directories, u.Directory) || r.Belongs != nil && slices.ContainsFunc(r.Groups, func(g DirectoryGroup) bool {
		return g.Directory == u.Directory && r.Belongs(u, g)
	}))
}

// String tells the reach in a few words.
func (r Reach) String() string {
	var parts []string
	if r.All {
		return "all users"
	}
	if len(r.Tags) > 0 {
		parts = append(parts, "users tagged "+strings.Join(r.Tags, " or "))
	}
	if len(r.Directories) > 0 {
		parts = append(parts, "users of directory "+strings.Join(r.Directories, " or "))
	}
	for _, g := range r.Groups {
		parts = append(parts, "users in directory group "+g.String())
	}
	if len(parts) == 0 {
		return "no users"
	}
	return strings.Join(parts, " and ")
}

// Administrator is a user who holds a role.
type Administrator struct {
	User        UserID
	Role        Role
	Permissions Permissions // help desk: what is given beside the role's own
	Reach       Reach       // help desk; others reach everybody
	By          string
	Created     time.Time
	Changed     time.Time
}

// Caller is who asks for an act of administration: an owner of the machine at the unix
// socket, an administrator with a session, a program with a token. The zero value may
// nothing.
type Caller struct {
	By          string        // as the trail names them: "root (unix socket)", "token:NAME", "alice (console)"
	User        UserID        // of an administrator; empty: no person of ours
	Role        Role          // decides whose accounts are out of bounds; see CanUser
	Permissions Permissions   // all that they have
	Reach       Reach         // users on whom these hold
	Application ApplicationID // of a program that may authenticate; empty: none
	Session     SessionID     // that the request came with, and that goes on when others of its user end
	Root        bool          // who owns the machine, at the unix socket of its server
	Proven      MethodID      // in that session, last; "": not known. Decides what of their own account they may change; see Proves
}

// Caller returns a as one who asks, by the name that the trail shows.
func (a Administrator) Caller(by string) Caller {
	c := Caller{By: by, User: a.User, Role: a.Role, Permissions: a.Role.Permissions(), Reach: Reach{All: true}}
	if a.Role == RoleHelpDesk {
		c.Permissions |= a.Permissions & SetOf(HelpDeskPermissions()...)
		c.Reach = a.Reach
	}
	return c
}

// Owner returns who may everything, by the name that the trail shows.
func Owner(by string) Caller { return Administrator{Role: RoleOwner}.Caller(by) }

// Can reports whether c has the permission, on some user at least if it is about users.
func (c Caller) Can(p Permission) bool { return c.Permissions.Has(p) }

// CanUser reports whether c has the permission on u, who holds a role (RoleNone: none).
// Beyond their reach there is nothing for c. The account of an administrator is changed by
// those of a higher role only, and an owner's by owners: who can give somebody a new factor
// can sign in as them.
func (c Caller) CanUser(p Permission, u User, holds Role) bool {
	switch {
	case !c.Can(p), !c.Reach.Includes(u):
		return false
	case p == MayReadUsers, p == MayReadAudit, holds == RoleNone, c.Role == RoleOwner:
		return true
	}
	return c.Role > holds
}

// Lacks says that c has not got a permission. The error wraps ErrForbidden.
func (c Caller) Lacks(p Permission) error {
	switch {
	case p == MayOwn:
		return fmt.Errorf("%s: %w: this is an owner's; owners are root and the server's own user at the unix socket, and administrators with the role owner", c.who(), ErrForbidden)
	case c.Role == RoleNone:
		return fmt.Errorf("%s: %w: its scopes do not include %s", c.who(), ErrForbidden, p)
	}
	return fmt.Errorf("%s: %w: the role %s lacks %s", c.who(), ErrForbidden, c.Role, p)
}

func (c Caller) who() string {
	if c.By == "" {
		return "nobody"
	}
	return c.By
}
