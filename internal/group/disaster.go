package group

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// DestroyedAfter is for how long a majority must have been silent to be taken for destroyed.
const DestroyedAfter = 150 * time.Second

// Scene is what a server that is to begin a new epoch knows of its group.
type Scene struct {
	Group   string
	Self    mfa.Member
	Own     Report // what this server says of itself
	Voter   bool   // this server has a vote
	Highest uint64 // epoch that it has heard of
	Rival   bool   // there is another database of its epoch
	Master  string // last known; "": none
	Others  []Witnessed
	Started time.Time // since when this server listens
	Now     time.Time
	Silence time.Duration // instead of DestroyedAfter
}

// Witnessed is another server of the group, as it answered or did not.
type Witnessed struct {
	Member mfa.Member
	Voter  bool    // it has a vote in this server's database
	Answer *Report // now; nil: it did not answer, because of Err
	Epoch  *Epoch  // that it told now; nil: none, or it was not believed
	Err    error
	Last   *Seen // last heard; nil: not since Started
	Before *Kept // last heard before Started, as far as it is known; nil: never
}

// Kept is what is remembered of a server's last report over a restart of the one that heard it.
type Kept struct {
	Name      string    `json:"name"`
	At        time.Time `json:"at"` // some seconds before the last report that was heard, at most
	Epoch     uint64    `json:"epoch"`
	ClusterID string    `json:"cluster_id"`
	Revision  int64     `json:"revision"`
	Led       bool      `json:"led"` // it was the master
}

// Judge says whether a new epoch may begin, and what is to be known before. Without an error
// it may. force overrides what is only unwise: nothing is forced against a master that
// answers, or a majority that may live.
func (s Scene) Judge(force bool) (mfa.DisasterPromotion, error) {
	p := mfa.DisasterPromotion{Group: s.Group, NewMaster: s.Self.Name, OldMaster: s.oldMaster(), Revision: s.Own.Revision, Unconfirmed: true,
		Known: []string{}, NotKnown: []string{}, Destroyed: []string{}, Awaits: []string{}}
	p.Epoch = max(s.Own.Epoch, s.Highest)
	for _, o := range s.Others {
		if o.Epoch != nil {
			p.Epoch = max(p.Epoch, o.Epoch.Epoch, o.Epoch.Highest)
		}
	}
	p.NewEpoch = p.Epoch + 1
	p.Confirm = fmt.Sprintf("%s/%d", s.Group, p.Epoch)
	s.heard(&p)
	if err := s.here(); err != nil {
		return p, err
	}
	for _, o := range s.Others {
		if err := s.there(&p, o, force); err != nil {
			return p, err
		}
	}
	return p, s.votes(&p)
}

// Still judges once more, by now, what s and p have found: since then this server has stepped
// aside and tells everybody that it begins an epoch. Of two that begin one at the same time, in
// contact, at least one sees the other here. It adds to p what is to be awaited besides.
func (s Scene) Still(now Scene, p *mfa.DisasterPromotion, force bool) error {
	revision := now.Own.Revision
	now.Own, now.Rival, now.Master = s.Own, s.Rival, s.Master // what it was before it stepped aside
	now.Own.Revision = revision
	q, err := now.Judge(force)
	switch {
	case err != nil:
		return err
	case q.Epoch != p.Epoch:
		return refused("epoch %d was heard of meanwhile: run this again", q.Epoch)
	}
	p.Revision = q.Revision
	for _, name := range q.Awaits {
		if !slices.Contains(p.Awaits, name) {
			p.Awaits = append(p.Awaits, name)
		}
	}
	return nil
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: not promoted, nothing was changed: %w", mfa.ErrInvalid, fmt.Errorf(format, args...))
}

// here refuses for what this server is itself.
func (s Scene) here() error {
	own := s.Own
	switch {
	case s.Self.Role == mfa.RoleWitness:
		return refused("this server, %s, is a witness: it has no keys and can sign nobody in; promote one of the servers", s.Self.Name)
	case own.Role != "master" && own.Role != "replica" && !(own.Role == "removed" && own.Aside != ""): // that one has its copy
		return refused("this server, %s, is %s: it has no copy of the database that a new epoch could begin with", s.Self.Name, own.Role)
	case s.Rival && own.Leads():
		return nil
	case own.Leads():
		return refused("this server, %s, is the master of epoch %d already", s.Self.Name, own.Epoch)
	case own.Quorum && s.Rival:
		return refused("this side of the epoch has a master that answers, %s: promote that one", own.Master)
	case own.Quorum:
		return refused("this server hears the master %s: move the master with `countersign group promote --to %s`, which loses nothing", own.Master, s.Self.Name)
	}
	return nil
}

// there looks at another server. It refuses while that hears a master or has more.
func (s Scene) there(p *mfa.DisasterPromotion, o Witnessed, force bool) error {
	name, own := fmt.Sprintf("server %s at %s", o.Member.Name, o.Member.Peer), s.Own
	switch a := o.Answer; {
	case a != nil && a.Begins != 0:
		return refused("%s begins epoch %d at this moment: see countersign group members there, and run this again if that comes to nothing", name, a.Begins)
	case o.Epoch != nil && o.Epoch.Epoch > own.Epoch:
		if o.Epoch.Master != "" {
			return refused("epoch %d lives: %s hears its master, %s; this server, of epoch %d, joins it by itself", o.Epoch.Epoch, name, o.Epoch.Master, own.Epoch)
		}
		if !force {
			return refused("%s has a copy of epoch %d, this server's is of epoch %d: promote that one (--force promotes this one, and everything written since epoch %d began is lost)",
				name, o.Epoch.Epoch, own.Epoch, o.Epoch.Epoch)
		}
		await(p, o.Member)
		p.Known = append(p.Known, fmt.Sprintf("%s has a copy of epoch %d, which is given up", name, o.Epoch.Epoch))
	case a == nil:
		s.silent(p, o)
	case a.Epoch == own.Epoch && a.ClusterID != "" && a.ClusterID != own.ClusterID:
		if !s.Rival {
			return refused("%s has another database of epoch %d: run this again in a moment", name, own.Epoch)
		}
		await(p, o.Member)
		p.Known = append(p.Known, fmt.Sprintf("%s has the other database of epoch %d, which ends; what was changed there is listed there by `countersign group parked`", name, own.Epoch))
	case a.Epoch < own.Epoch:
		await(p, o.Member)
		p.Known = append(p.Known, fmt.Sprintf("%s has a copy of epoch %d and will join the new one", name, a.Epoch))
	case s.Rival && own.Leads():
		p.Known = append(p.Known, fmt.Sprintf("%s is of this side and will join the new epoch", name))
	case a.Quorum && a.Master == a.Name, a.Role == "master" && a.Aside == "":
		return refused("the master lives: %s answers as the master of epoch %d. Mend the link between the two, or stop that server if it must not be the master any more", name, a.Epoch)
	case a.Quorum:
		return refused("the master lives: %s hears it (%s) now. Promote without --disaster there, or mend the link from here", name, a.Master)
	case o.Member.Role != mfa.RoleWitness && a.Role != "joining" && a.Revision > own.Revision && !force:
		return refused("%s is fresher: its copy is at revision %d, this server's at %d: promote that one (--force promotes this one, and these %d changes are lost)",
			name, a.Revision, own.Revision, a.Revision-own.Revision)
	case o.Member.Role != mfa.RoleWitness && a.Role != "joining" && a.Revision > own.Revision:
		await(p, o.Member)
		p.Known = append(p.Known, fmt.Sprintf("%s is fresher: its copy is at revision %d, this server's at %d; what only that has is set aside there", name, a.Revision, own.Revision))
	default:
		if a.Unmerged > 0 {
			await(p, o.Member)
		}
		p.Known = append(p.Known, fmt.Sprintf("%s answers, hears no master, and has no more than this one (revision %d, here %d)", name, a.Revision, own.Revision))
	}
	return nil
}

// await has the new epoch wait for what m settled and this server's copy may lack. A witness
// settles nothing, and would be awaited for ever.
func await(p *mfa.DisasterPromotion, m mfa.Member) {
	if m.Role != mfa.RoleWitness {
		p.Awaits = append(p.Awaits, m.Name)
	}
}

// silent notes a server that does not answer.
func (s Scene) silent(p *mfa.DisasterPromotion, o Witnessed) {
	await(p, o.Member)
	what := "it may live, hear the old master, and have more than this one"
	if o.Member.Name == p.OldMaster {
		what = "it may live: then it goes on by itself until it hears of the new epoch, and what it writes meanwhile is set aside"
	}
	p.NotKnown = append(p.NotKnown, fmt.Sprintf("server %s at %s does not answer (%s; %s): %s", o.Member.Name, o.Member.Peer, s.since(o), plain(o.Err), what))
}

// since says for how long a server has been silent.
func (s Scene) since(o Witnessed) string {
	switch {
	case o.Last == nil && o.Before != nil:
		return fmt.Sprintf("not heard since this server was started %s ago, and before that last at %s", s.Now.Sub(s.Started).Round(time.Second), o.Before.At.UTC().Format(time.RFC3339))
	case o.Last == nil:
		return fmt.Sprintf("not heard since this server was started %s ago", s.Now.Sub(s.Started).Round(time.Second))
	}
	return fmt.Sprintf("last heard %s ago", s.Now.Sub(o.Last.Last).Round(time.Second))
}

// plain is an error without what only programmers read.
func plain(err error) string {
	if err == nil {
		return "it says nothing that is believed"
	}
	if in := errors.Unwrap(err); in != nil && strings.HasPrefix(err.Error(), "Get ") || in != nil && strings.HasPrefix(err.Error(), "Post ") {
		return in.Error()
	}
	return err.Error()
}

// votes refuses while a majority of several voters may live: it needs nobody.
func (s Scene) votes(p *mfa.DisasterPromotion) error {
	voters, alive := 0, 0
	if s.Voter {
		voters, alive = 1, 1
	}
	var silent []Witnessed
	for _, o := range s.Others {
		if !o.Voter {
			continue
		}
		voters++
		if o.Answer != nil {
			alive++
		} else {
			silent = append(silent, o)
		}
	}
	if voters < 3 || s.Rival || s.Highest > s.Own.Epoch {
		return nil
	}
	if alive > voters/2 {
		return refused("%d of %d voters answer, which is a majority: they agree on a master by themselves within seconds", alive, voters)
	}
	for _, o := range silent {
		quiet := s.Now.Sub(s.Started)
		if o.Last != nil {
			quiet = s.Now.Sub(o.Last.Last)
		}
		if left := s.Silence - quiet; left > 0 {
			return refused("server %s has a vote and has been silent for %s only: a majority is taken for destroyed after %s; ask again in %s",
				o.Member.Name, quiet.Round(time.Second), s.Silence, left.Round(time.Second))
		}
		p.Destroyed = append(p.Destroyed, o.Member.Name)
	}
	return nil
}

// oldMaster is the master that is lost, as far as anybody here knows.
func (s Scene) oldMaster() string {
	if s.Master != "" {
		return s.Master
	}
	var last *Seen
	for _, o := range s.Others {
		if o.Last != nil && o.Last.Report.Leads() && (last == nil || o.Last.Last.After(last.Last)) {
			last = o.Last
		}
	}
	if last != nil {
		return last.Name
	}
	var before *Kept
	for _, o := range s.Others {
		if o.Before != nil && o.Before.Led && o.Before.Epoch == s.Own.Epoch && (before == nil || o.Before.At.After(before.At)) {
			before = o.Before
		}
	}
	if before != nil {
		return before.Name
	}
	voters := slices.DeleteFunc(slices.Clone(s.Others), func(o Witnessed) bool { return !o.Voter })
	if len(voters) == 1 && !s.Voter {
		return voters[0].Member.Name
	}
	return ""
}

// heard says what was last heard of the old master, and what may be lost.
func (s Scene) heard(p *mfa.DisasterPromotion) {
	i := slices.IndexFunc(s.Others, func(o Witnessed) bool { return o.Member.Name == p.OldMaster })
	var at time.Time
	var rev int64
	how := "when it was last heard, at "
	switch last, before := s.lastOf(i); {
	case last != nil:
		at, rev = last.Last.UTC(), last.Report.Revision
	case before != nil:
		at, rev = before.At.UTC(), before.Revision
		how = "when it was last heard before this server was restarted, some seconds after "
	default:
		p.NotKnown = append(p.NotKnown, "what the old master had: this server has never heard it in this epoch")
		return
	}
	p.LastHeard, p.LastRevisionHeard = &at, &rev
	risk := max(rev-s.Own.Revision, 0)
	p.WritesAtRisk = &risk
	if risk == 0 {
		none := int64(0)
		p.UsersAtRisk = &none
	} else {
		p.NotKnown = append(p.NotKnown, fmt.Sprintf("which users these %d writes touch", risk))
	}
	p.Known = append(p.Known, fmt.Sprintf("the old master %s was at revision %d %s%s; this copy is at %d", p.OldMaster, rev, how, at.Format(time.RFC3339), s.Own.Revision))
	p.NotKnown = append(p.NotKnown, fmt.Sprintf("what %s wrote after %s; it is not counted as at risk", p.OldMaster, at.Format(time.RFC3339)))
}

// lastOf returns what is known of the server with that index (-1: none), in this epoch.
func (s Scene) lastOf(i int) (*Seen, *Kept) {
	if i < 0 {
		return nil, nil
	}
	last, before := s.Others[i].Last, s.Others[i].Before
	if last != nil && last.Report.Epoch != s.Own.Epoch {
		last = nil
	}
	if before != nil && (before.Epoch != s.Own.Epoch || before.ClusterID != s.Own.ClusterID) {
		before = nil
	}
	return last, before
}
