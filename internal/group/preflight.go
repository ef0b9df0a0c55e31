package group

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"countersign/internal/mfa"
)

// candidate is another server of the group, which may become the master.
type candidate struct {
	member mfa.Member
	node   Node // the zero Node: it is no member of the database
	report Report
	heard  bool
}

// scene is what a candidate is held against: the master of now.
type scene struct {
	master   mfa.Member
	epoch    uint64
	revision int64
}

func (c candidate) behind(s scene) int64 { return max(s.revision-c.report.Revision, 0) }

// obstacle says why c cannot become the master now, and what to do about it; "": it can.
func (c candidate) obstacle(s scene) string {
	r := c.report
	switch {
	case c.member.Role == mfa.RoleWitness:
		return "it is a witness, which has no keys and signs nobody in: name a server"
	case c.node.ID == "":
		return "it was activated, but has not joined yet: start its server and wait until countersign group members shows it as replica"
	case !c.heard:
		return fmt.Sprintf("it does not answer at %s: start it, or mend the link to it", c.member.Peer)
	case r.Role == "joining" || r.MemberID != c.node.ID:
		return "it is still joining: wait until countersign group members shows it as replica"
	case r.Epoch != s.epoch:
		return fmt.Sprintf("it is in epoch %d, this group in epoch %d: see countersign doctor there", r.Epoch, s.epoch)
	case !r.Quorum:
		return fmt.Sprintf("it does not hear the master %s: see countersign doctor there", s.master.Name)
	case c.behind(s) > behindMax:
		return fmt.Sprintf("it is %d revisions behind: wait until LAG in countersign group members is below %d", c.behind(s), behindMax)
	case r.ReadOnly != "":
		return "it could take no changes (" + r.ReadOnly + ")"
	}
	return ""
}

// warning is what should be known of a promotion to c; "": nothing.
func (c candidate) warning(s scene) string {
	if c.report.Version == s.master.Version {
		return ""
	}
	return fmt.Sprintf("server %s runs version %s and %s version %s: have all servers run one version soon", c.member.Name, c.report.Version, s.master.Name, s.master.Version)
}

// choose returns the server that is to become the master: the one named to, or of those
// that can the fittest. Servers with a vote come first, then those of the master's version,
// those that are least behind, the oldest.
func choose(all []candidate, s scene, to string) (candidate, error) {
	names := []string{s.master.Name}
	var fit []candidate
	var why []string
	for _, c := range all {
		names = append(names, c.member.Name)
		in := c.obstacle(s)
		switch {
		case to == c.member.Name && in == "":
			return c, nil
		case to == c.member.Name:
			return c, fmt.Errorf("%w: server %s cannot become the master: %s", mfa.ErrInvalid, to, in)
		case in == "":
			fit = append(fit, c)
		default:
			why = append(why, c.member.Name+": "+in)
		}
	}
	slices.Sort(names)
	switch {
	case to != "":
		return candidate{}, fmt.Errorf("no server named %s is in the group (its servers are %s): %w", to, strings.Join(names, ", "), mfa.ErrNotFound)
	case len(all) == 0:
		return candidate{}, fmt.Errorf("%w: %s is the only server of the group, so nobody can take over: add one with countersign group activation create", mfa.ErrInvalid, s.master.Name)
	case len(fit) == 0:
		return candidate{}, fmt.Errorf("%w: no server can take over from %s: %s", mfa.ErrInvalid, s.master.Name, strings.Join(why, "; "))
	}
	return slices.MinFunc(fit, func(a, b candidate) int {
		return cmp.Or(less(a.node.Voter, b.node.Voter), less(a.warning(s) == "", b.warning(s) == ""),
			cmp.Compare(a.behind(s)/behindNoise, b.behind(s)/behindNoise), a.member.Joined.Compare(b.member.Joined), cmp.Compare(a.member.Name, b.member.Name))
	}), nil
}

// behindNoise is a number of revisions that says nothing: what a server has told of itself
// is up to a second old.
const behindNoise = 1000

// less orders true before false.
func less(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
