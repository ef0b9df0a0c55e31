package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
)

// epochTimeout bounds the question which epoch the others are at. All are asked at once.
const epochTimeout = 2 * time.Second

// errLaterEpoch: the group is at a later epoch than this server's database. Run starts over
// and joins that.
var errLaterEpoch = errors.New("the group is at a later epoch")

// tellEpoch says, signed, which epoch this server's database is of, also while it starts.
func (s *server) tellEpoch() (group.SignedEpoch, error) {
	f, err := s.folder()
	if err != nil {
		return group.SignedEpoch{}, fmt.Errorf("this server has no database yet: %w (%w)", mfa.ErrUnavailable, err)
	}
	e := group.Epoch{Group: f.Group, Epoch: f.Epoch, ClusterID: f.ClusterID, Highest: f.Highest, Since: f.Since, DecidedBy: f.DecidedBy,
		Unconfirmed: f.Unconfirmed, Members: s.peers.members(), Name: s.Config.Name, Time: s.Now().UTC()}
	if n := s.peers.live.Load(); n != nil {
		if st, err := n.Status(); err == nil && st.Quorum {
			e.Master = st.Master
		}
	}
	if records := s.peers.records.Load(); records != nil {
		if r, err := records.EpochRecord(); err == nil && r.Epoch == f.Epoch && r.ClusterID == f.ClusterID {
			e.Since, e.DecidedBy, e.Unconfirmed = r.Since, r.DecidedBy, r.Unconfirmed // a replica's own file knows when it joined
		}
	}
	return e.Sign(s.id.signMessage)
}

// folder is what the epoch file says.
func (s *server) folder() (cluster.Folder, error) {
	if n := s.peers.live.Load(); n != nil {
		return n.Folder(), nil
	}
	return cluster.Look(s.clusterOptions())
}

// told is what one server answered when it was asked for its epoch.
type told struct {
	from  mfa.Member
	epoch group.Epoch
	err   error

	passedOn bool // by somebody else, who is to be asked: whoever said it may be gone
}

// askEpoch asks one server, and believes it or not.
func (s *server) askEpoch(ctx context.Context, m mfa.Member, f cluster.Folder) told {
	t := told{from: m}
	var signed group.SignedEpoch
	if t.err = s.peers.client.Call(ctx, m.Peer, http.MethodGet, peer.PathEpoch, nil, &signed); t.err == nil {
		t.epoch, t.err = signed.Believe(m, f.Group, f.Highest)
	}
	if errors.Is(t.err, group.ErrAbsurdEpoch) {
		s.absurd.Do(func() {
			s.own.Error("a server tells an epoch that cannot be; it is not believed, and nothing is done for it", "server", m.Name, "error", t.err,
				"next", "find out what that server runs on; if its data folder is damaged, empty it and activate it anew")
		})
	}
	return t
}

// askEpochs asks all servers on record at once, for at most epochTimeout.
func (s *server) askEpochs(ctx context.Context, f cluster.Folder) []told {
	ctx, cancel := context.WithTimeout(ctx, epochTimeout)
	defer cancel()
	var all []told
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, m := range s.peers.members() {
		if m.Name == s.Config.Name {
			continue
		}
		wg.Go(func() {
			t := s.askEpoch(ctx, m, f)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, t)
		})
	}
	wg.Wait()
	return all
}

// verdict is what the others' epochs mean for this server.
type verdict struct {
	later   *group.Epoch // the highest above ours; nil: none was told
	rival   *group.Epoch // of another database of our epoch
	unknown bool         // who answered does not know this server, and nobody does
}

func judge(all []told, f cluster.Folder) (v verdict) {
	known := false
	for _, t := range all {
		e := t.epoch
		switch {
		case errors.Is(t.err, group.ErrNotMember):
			v.unknown = true
		case t.err != nil:
		case e.Epoch > f.Epoch && (v.later == nil || e.Epoch > v.later.Epoch || e.Epoch == v.later.Epoch && v.later.Master == ""):
			v.later, known = &e, true
		case e.Epoch == f.Epoch && e.ClusterID != f.ClusterID:
			v.rival, known = &e, true
		default:
			known = true
		}
	}
	v.unknown = v.unknown && !known
	return v
}

// aside is why this server decides nothing.
type aside struct {
	why    string
	begins uint64 // the epoch that is being begun here; 0: none
	next   string // what an operator does about it; "": nothing, it passes
}

// What to do about a server that is set aside.
const (
	nextLater   = "start the servers of the later epoch or bring the link to them back: this server joins by itself as soon as one with a master answers; if they are gone for good, run `countersign group promote --disaster` here"
	nextMaster  = "bring back a server that has a master: this one joins it by itself; if the others are gone for good, run `countersign group promote --disaster` here"
	nextUnknown = "if it was taken out of the group, give it up with `countersign group leave --force` here and activate it anew, with a code of the group (`countersign group activation create` there); if the others were restored without it, likewise"
)

// stepAside ends all decisions of this server.
func (s *server) stepAside(why, next string) { s.setAside(aside{why: why, next: next}) }

func (s *server) setAside(a aside) {
	s.peers.stale.Store(true)
	s.aside.Store(&a)
	s.node.Fence(errors.New(a.why))
}

// place finds out, with the database open and its peer routes closed, whether it is of the
// group's epoch, and opens the routes if it is. If the group is at a later one, this server
// joins that.
func (s *server) place(ctx, starting context.Context) error {
	f := s.node.Folder()
	asked := make(chan uint64, 1)
	go func() { asked <- s.askOutside(starting, f) }()
	v := judge(s.askEpochs(starting, f), f)
	if e := <-asked; e > f.Epoch && v.later == nil { // it knows of a server that nobody reaches
		if err := s.node.SawEpoch(e); err != nil {
			s.own.Error("a later epoch could not be noted in epoch.json; a restart asks again", "epoch", e, "error", err)
		}
		f.Highest = max(f.Highest, e)
	}
	switch {
	case v.later != nil && v.later.Master != "":
		return s.follow(ctx, starting, *v.later)
	case v.later != nil:
		s.remember(*v.later)
		s.standBy(fmt.Sprintf("the group is at epoch %d, this server's database is of epoch %d, and no server with a master of the later epoch answers", v.later.Epoch, f.Epoch), nextLater)
	case f.Highest > f.Epoch:
		s.standBy(fmt.Sprintf("this server has heard of epoch %d, its database is of epoch %d, and no server of the later epoch answers", f.Highest, f.Epoch), nextLater)
	case s.node.Cast():
		s.standBy("this server has lost its membership of the database, to join again, and no master lets it", nextMaster)
	case v.unknown:
		s.standBy("the other servers of the group do not know this one", nextUnknown)
	default:
		if v.rival != nil {
			s.meet(*v.rival)
		}
		s.peers.opened(s.node)
	}
	return nil
}

// standBy is stepAside for a start: others see what this server has, and etcd none of them.
func (s *server) standBy(why, next string) {
	s.peers.live.Store(s.node)
	s.stepAside(why, next)
	s.own.Error("this server decides nothing", "because", why, "next", next)
}

// follow joins the later epoch e, and has its own database parked. If no server of that
// lets it join, it stands by.
func (s *server) follow(ctx, starting context.Context, e group.Epoch) error {
	s.own.Warn("the group is at a later epoch; this server's database is parked and it joins as a replica", "epoch", e.Epoch, "was", s.node.Epoch(),
		"told_by", e.Name, "master", e.Master, "decided_by", e.DecidedBy, "since", e.Since.Format(time.RFC3339))
	s.remember(e)
	s.node.Close()
	var err error
	s.node, err = s.join(ctx, followPatience)
	if !errors.Is(err, errNoMaster) {
		s.peers.stale.Store(false)
		return err
	}
	s.own.Warn("no server of the later epoch let this one join", "error", err)
	if s.node, err = cluster.Open(starting, s.clusterOptions()); err != nil {
		return err
	}
	s.standBy(fmt.Sprintf("the group is at epoch %d, this server's database is of epoch %d, and no master of the later epoch let it join", e.Epoch, s.node.Epoch()), nextLater)
	return nil
}

// remember keeps, over restarts, that there is epoch e, and whom to ask there.
func (s *server) remember(e group.Epoch) {
	if err := s.node.SawEpoch(e.Epoch); err != nil {
		s.own.Error("a later epoch could not be noted in epoch.json; a restart asks the other servers again", "epoch", e.Epoch, "error", err)
	}
	s.peers.writing.Lock()
	defer s.peers.writing.Unlock()
	s.peers.stale.Store(true)
	list := roster{e.Group, e.Members}
	if len(list.Members) == 0 {
		return
	}
	s.peers.roster.Store(&list)
	if err := list.write(s.Config.DataDir, s.id); err != nil {
		s.own.Warn("the copy of the later epoch's member records could not be written", "error", err)
	}
}

// meet notes a database of the same epoch that is not this one: two servers were promoted
// without contact. Both go on to sign people in, and refuse changes, until one of them is
// promoted again.
func (s *server) meet(e group.Epoch) {
	f := s.node.Folder()
	if f.Rival == e.ClusterID {
		return
	}
	s.own.Error("there are two databases of one epoch: changes are refused on both", "epoch", e.Epoch, "other_server", e.Name, "other_master", e.Master,
		"other_decided_by", e.DecidedBy, "other_since", e.Since.Format(time.RFC3339),
		"next", fmt.Sprintf("on the side that is to stay, run `countersign group promote --disaster --confirm %s/%d`", f.Group, f.Epoch))
	if err := s.node.SawRival(e.ClusterID); err != nil {
		s.own.Error("this could not be noted in epoch.json", "error", err)
	}
}

// hearRival notes what a server of this database says of another one of the same epoch, which
// this server may not reach: changes are refused on all of one side or on none.
func (s *server) hearRival(r group.Report) {
	f := s.node.Folder()
	rival := r.RivalOf(f.Epoch, f.ClusterID)
	if rival == "" || f.Rival != "" || s.aside.Load() != nil {
		return
	}
	s.own.Error("there are two databases of one epoch: changes are refused on both", "epoch", f.Epoch, "told_by", r.Name, "other_cluster", rival,
		"next", fmt.Sprintf("on the side that is to stay, run `countersign group promote --disaster --confirm %s/%d`", f.Group, f.Epoch))
	if err := s.node.SawRival(rival); err != nil {
		s.own.Error("this could not be noted in epoch.json", "error", err)
	}
}

// frozen returns why changes are refused: the epoch has two sides.
func (s *server) frozen() error {
	f := s.node.Folder()
	if f.Rival == "" {
		return nil
	}
	return fmt.Errorf("%w: epoch %d has two databases, %s here and %s on another server, because two servers were promoted without contact: run `countersign group promote --disaster` on the side that is to stay (blocking a user, disabling a credential and revoking a token work meanwhile)",
		mfa.ErrReadOnly, f.Epoch, f.ClusterID, f.Rival)
}

// suspect asks a server that seems to be at another epoch, and acts on what it says. The
// error wraps errLaterEpoch if this server has to end and follow.
func (s *server) suspect(ctx context.Context, m mfa.Member) error {
	ctx, cancel := context.WithTimeout(ctx, epochTimeout)
	defer cancel()
	return s.heed(s.askEpoch(ctx, m, s.node.Folder()))
}

// heed acts on what a server says of its epoch. The error wraps errLaterEpoch if this server
// has to end and follow.
func (s *server) heed(t told) error {
	f, m := s.node.Folder(), t.from
	v := judge([]told{t}, f)
	switch {
	case v.later != nil && s.aside.Load() == nil:
		s.stepAside(fmt.Sprintf("the group is at epoch %d, this server's database is of epoch %d", v.later.Epoch, f.Epoch), "")
		s.remember(*v.later)
		s.again.Store(true)
		return fmt.Errorf("%w: %d, says %s", errLaterEpoch, v.later.Epoch, m.Name)
	case v.later != nil && (v.later.Master != "" || t.passedOn):
		s.remember(*v.later)
		s.again.Store(true)
		return fmt.Errorf("%w: %d, says %s, whose master is %s", errLaterEpoch, v.later.Epoch, m.Name, v.later.Master)
	case v.rival != nil && s.aside.Load() == nil:
		s.meet(*v.rival)
	case v.later != nil: // seen before, or without a master
		return s.node.SawEpoch(v.later.Epoch)
	}
	return nil
}
