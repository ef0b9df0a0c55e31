package peer

import (
	"fmt"
	"slices"
	"strings"

	"countersign/internal/mfa"
)

var (
	everyone = []string{mfa.RoleServer, mfa.RoleWitness, mfa.RoleCoordinator}
	keyless  = []string{mfa.RoleServer, mfa.RoleWitness} // a group's members
	servers  = []string{mfa.RoleServer}                  // those with the group's keys
)

// access says which roles may call our own paths. A witness has no sign-ins to be decided, and
// no copy that it writes beyond what etcd carries.
var access = map[string][]string{
	PathReport:      everyone,
	PathJoin:        everyone,
	PathForget:      everyone,
	PathEpoch:       everyone,
	PathTestimony:   everyone,
	PathOverview:    everyone,
	PathCertificate: keyless,
	PathPromote:     keyless,
	PathDecide:      servers,
	PathDatabase:    servers,
	PathTrail:       servers,
	PathFigures:     servers,
	PathRetire:      {mfa.RoleCoordinator},
}

// may refuses a call that is not for the caller's role. Paths that are none of ours and do not
// lie below one of Passed are nobody's.
func (s *Server) may(name, path string) error {
	role := s.Role(name)
	if slices.Contains(access[path], role) || slices.Contains(everyone, role) && (s.raft(path) || s.passed(path)) {
		return nil
	}
	if _, ours := access[path]; !ours {
		return fmt.Errorf("%.64q: %w", path, mfa.ErrNotFound)
	}
	return fmt.Errorf("%w: %s is a %s, which has no business at %s", mfa.ErrForbidden, name, or(role, "server without a role on record"), path)
}

func (s *Server) passed(path string) bool {
	return slices.ContainsFunc(s.Passed, func(p string) bool { return strings.HasPrefix(path, p) })
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}
