package node

import (
	"slices"

	"countersign/internal/directory"
	"countersign/internal/mfa"
)

// assembleGroups makes what knows who is in the groups of directories that help desks are
// limited to.
func (s *server) assembleGroups() {
	s.members = &directory.Groups{Members: s.checker.Members, Wanted: s.limitingGroups, Now: s.Now, Log: s.log.Logger("directory")}
	s.admin.Groups = s.members
}

// limitingGroups are the groups that some administrator is limited to.
func (s *server) limitingGroups() (all []mfa.DirectoryGroup) {
	for _, a := range s.store.Administrators() {
		for _, g := range a.Reach.Groups {
			if !slices.Contains(all, g) {
				all = append(all, g)
			}
		}
	}
	return all
}
