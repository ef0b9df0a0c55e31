package admin

import (
	"context"
	"errors"
	"fmt"

	"countersign/internal/mfa"
)

// Groups is what admin needs of directories for help desks that are limited to groups of them.
type Groups interface {
	// Belongs reports whether a user is in a group of their directory, as far as this server
	// knows now. It asks nobody.
	Belongs(u mfa.User, in mfa.DirectoryGroup) bool
	// Look reads a group at its directory, now, and returns how many are in it.
	Look(ctx context.Context, in mfa.DirectoryGroup) (members int, err error)
}

// maxGroups is how many groups one help desk may be limited to.
const maxGroups = 16

// caller is an administrator as one who asks. Who is in the groups that limit them is as this
// server knows it.
func (s *Service) caller(a mfa.Administrator, by string) Caller {
	c := a.Caller(by)
	if s.Groups != nil && len(c.Reach.Groups) > 0 {
		c.Reach.Belongs = s.Groups.Belongs
	}
	return c
}

func groupNames(groups []mfa.DirectoryGroup) []string {
	names := make([]string, 0, len(groups))
	for _, g := range groups {
		names = append(names, g.String())
	}
	return names
}

func (s *Service) parseGroups(texts []string) (all []mfa.DirectoryGroup, err error) {
	if len(texts) > maxGroups {
		return nil, fmt.Errorf("%d of them, at most %d", len(texts), maxGroups)
	}
	for _, text := range texts {
		g, err := s.parseGroup(text)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

func (s *Service) parseGroup(text string) (g mfa.DirectoryGroup, err error) {
	if len(text) > 1024 {
		return g, errors.New("a group's name is too long")
	}
	if err := g.UnmarshalText([]byte(text)); err != nil {
		return g, fmt.Errorf("%q: want DIRECTORY/GROUP, for example corp/CN=Staff,DC=corp,DC=example", clip(text))
	}
	_, err = s.parseDirectory(g.Directory)
	return g, err
}

// lookAtGroups reads the groups of a change before it is made: one that cannot be read, or that
// has nobody, is a mistake more often than not, and would limit somebody to nobody.
func (s *Service) lookAtGroups(ctx context.Context, c AdministratorChange) error {
	if c.Groups == nil {
		return nil
	}
	groups, err := s.parseGroups(*c.Groups)
	if err != nil {
		return invalid("groups: %v", err)
	}
	for _, g := range groups {
		if s.Groups == nil {
			return invalid("groups: this server asks no directories")
		}
		n, err := s.Groups.Look(ctx, g)
		switch {
		case err != nil:
			return invalid("groups: %v", err)
		case n == 0:
			return invalid("groups: directory %q has nobody in %s: give the group as group_attribute says it of its members (`countersign directory test %[1]s --login LOGIN` shows that, if a password is given)", g.Directory, g.Group)
		}
	}
	return nil
}
