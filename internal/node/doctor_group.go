package node

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"countersign/internal/admin"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/reach"
)

// checkGroup tries the master, the peer port of every other server and every address of
// the coordinator, all at once.
func (s *server) checkGroup(ctx context.Context) []admin.Check {
	if s.peers == nil {
		return nil
	}
	st, _ := s.node.Status()
	var others []mfa.Member
	var ports, coordinators []admin.Check
	var ways []group.Way
	members := s.peers.members()
	for _, m := range members {
		if m.Name != s.Config.Name {
			others = append(others, m)
		}
	}
	ports, ways = make([]admin.Check, len(others)), make([]group.Way, len(others))
	coordinators = make([]admin.Check, len(members))
	var all sync.WaitGroup
	for i, m := range others {
		all.Go(func() { ports[i], ways[i] = s.checkServer(ctx, m, st.Epoch, st.Revision) })
	}
	for i, m := range members {
		if m.Coordinator != "" && s.link == nil {
			all.Go(func() { coordinators[i] = s.checkCoordinator(ctx, m) })
		}
	}
	var outside []admin.Check
	if s.link != nil {
		all.Go(func() { outside = s.checkOutside(ctx) })
	}
	all.Wait()
	for i, m := range members {
		for j := range others {
			if others[j].Name == m.Name && coordinators[i].Name != "" && answered(coordinators[i]) {
				ways[j].Alive = true
			}
		}
	}
	list := []admin.Check{s.checkMaster(ways), s.checkPeerCertificate()}
	if s.link == nil && len(s.Config.Coordinator) > 0 && !s.witness {
		list = append(list, admin.Check{Name: "coordinator.urls", Target: strings.Join(s.Config.Coordinator, ", "), Layer: "file", OK: true, Warning: true,
			Detail:   "it is set, but this group is its own coordinator, so that it is not heeded",
			NextStep: "take coordinator.urls out of " + cmp.Or(s.Config.Path, "the node file") + "; servers are activated through the servers of this group"})
	}
	list = append(append(list, ports...), outside...)
	for _, c := range coordinators {
		if c.Name != "" {
			list = append(list, c)
		}
	}
	return list
}

// checkMaster says whether there is one, and if not, what to do by what the ways to the
// other servers told.
func (s *server) checkMaster(ways []group.Way) admin.Check {
	st, err := s.node.Status()
	last, contact := s.store.Contact()
	c := admin.Check{Name: "master", Target: st.Master, Layer: "group"}
	if err == nil && contact && (st.Quorum || s.grouped()) {
		c.OK, c.Detail = true, fmt.Sprintf("%s, epoch %d", st.Master, st.Epoch)
		return c
	}
	nodes, _ := groupCluster{s.node}.Nodes()
	for i := range ways {
		for _, n := range nodes {
			if n.Name == ways[i].Server {
				ways[i].Voter = n.Voter
			}
		}
	}
	c.Detail = "no master has answered since this server was started"
	if !last.IsZero() {
		c.Detail = "no master answers since " + last.UTC().Format(time.RFC3339)
	}
	if answer, at := s.standing.Last(); !at.IsZero() {
		c.Target = answer.Name
		c.Detail += fmt.Sprintf("; the coordinator's last answer, %s ago, named %s in epoch %d", s.Now().Sub(at).Round(time.Second), answer.Name, answer.Epoch)
	}
	c.NextStep = group.Absent{Server: s.Config.Name, Voter: st.Voter, Witness: s.witness, Ways: ways}.NextStep()
	if aside := s.aside.Load(); aside != nil {
		c.Detail += "; this server decides nothing: " + aside.why
		if aside.next != "" {
			c.NextStep = aside.next
		}
	}
	return c
}

func (s *server) checkPeerCertificate() admin.Check {
	leaf, now := s.peers.cert.Load().Leaf, s.Now()
	var err error
	if now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		err = fmt.Errorf("the certificate of the peer port is valid from %s to %s; here it is %s", leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return check("peer certificate", s.peers.address, reach.TLS, err, "valid until "+leaf.NotAfter.UTC().Format(time.RFC3339), "set the clock right if it is wrong; else look in the log for why it was not renewed: it is tried again each minute")
}

// target is what the peer port and the coordinator's port have in common.
func (s *server) target(m mfa.Member, address, setting, path string) reach.Target {
	return reach.Target{Server: m.Name, Address: address, Setting: setting, Path: path, Roots: s.peers.pool, Now: s.Now}
}

// answered reports whether a program was there that spoke with us, whatever it said: the
// system accepts connections of one that stands still, too.
func answered(c admin.Check) bool {
	return c.OK || c.Layer != reach.Lookup && c.Layer != reach.TCP && c.Layer != reach.TLS
}

// checkServer tries the peer port of m. rev is the revision of the copy here.
func (s *server) checkServer(ctx context.Context, m mfa.Member, epoch uint64, rev int64) (admin.Check, group.Way) {
	t := s.target(m, m.Peer, "advertise.peer", peer.PathReport)
	t.Certificate, t.Key = s.peers.certificate, s.peers.allow
	signed := &http.Request{Header: http.Header{}} // as every call of ours is: epoch, version
	s.peers.client.Sign(signed)
	t.Header = signed.Header
	r := reach.Try(ctx, t)
	var report group.Report
	if r.OK {
		judgeReport(&r, m, group.ReadAnswer(r.Response, &report), report, epoch, rev)
	}
	way := group.Way{Server: m.Name, Address: m.Peer, OK: r.OK || r.Layer == reach.Lag, Layer: r.Layer, Alive: answered(result(m.Name, m.Peer, r))}
	if report.Quorum {
		way.Master = report.Master
	}
	return result("server "+m.Name, m.Peer, r), way
}

const joinsLater = "this server joins the later epoch by itself within seconds: run this again; its log says why if it does not"

// judgeReport judges what m has answered, or that it has refused to.
func judgeReport(r *reach.Result, m mfa.Member, err error, report group.Report, epoch uint64, rev int64) {
	fail := func(layer, next string, err error) {
		r.OK, r.Layer, r.Detail, r.NextStep = false, layer, err.Error(), next
	}
	switch {
	case errors.Is(err, group.ErrNotMember):
		fail(reach.Authorisation, "if this server was taken out of the group or its keys are new, activate it anew with a code of the group: `countersign group activation create` there", err)
	case errors.Is(err, group.ErrEpochEnded):
		fail(reach.Epoch, joinsLater, err)
	case errors.Is(err, mfa.ErrUnavailable):
		fail(reach.HTTP, "wait until "+m.Name+" has started; if it goes on, look at its log", err)
	case err != nil:
		fail(reach.HTTP, "look at the log of "+m.Name+", and compare the versions", err)
	case report.Name != m.Name:
		fail(reach.Authorisation, "correct advertise.peer of "+m.Name, fmt.Errorf("the server that answers there is %s, not %s", report.Name, m.Name))
	case epoch == 0: // this server has nothing to compare with
		r.Detail += fmt.Sprintf(", %s, epoch %d", report.Role, report.Epoch)
	case report.Epoch > 0 && report.Epoch < epoch:
		fail(reach.Epoch, m.Name+" joins the later epoch by itself as soon as it reaches a server of that: let it; its log says why if it does not", fmt.Errorf("%s is at epoch %d, this server at %d", m.Name, report.Epoch, epoch))
	case report.Epoch > epoch:
		fail(reach.Epoch, joinsLater, fmt.Errorf("%s is at epoch %d, this server at %d", m.Name, report.Epoch, epoch))
	case rev-report.Revision > group.DefaultLimits.Behind:
		fail(reach.Lag, "look at the link to "+m.Name+" and at its disk: it catches up by itself when both are well", fmt.Errorf("its copy is %d revisions behind the one here", rev-report.Revision))
	case report.Revision-rev > group.DefaultLimits.Behind:
		fail(reach.Lag, "look at the link to "+m.Name+" and at the disk here: this server catches up by itself when both are well", fmt.Errorf("the copy here is %d revisions behind that of %s", report.Revision-rev, m.Name))
	default:
		r.Layer = reach.Lag
		r.Detail += fmt.Sprintf(", %s, epoch %d, revision %d (%+d)", report.Role, report.Epoch, report.Revision, report.Revision-rev)
	}
}

// checkCoordinator tries the coordinator's port of m, which any server has and passes on.
func (s *server) checkCoordinator(ctx context.Context, m mfa.Member) admin.Check {
	r := reach.Try(ctx, s.target(m, m.Coordinator, "advertise.coordinator", coordinator.PathMaster))
	if r.OK {
		var signed coordinator.Signed
		judgeStanding(&r, m, group.ReadAnswer(r.Response, &signed), signed, s.peers.signKey, s.node.Epoch())
	}
	return result("coordinator at "+m.Name, m.Coordinator, r)
}

func judgeStanding(r *reach.Result, m mfa.Member, err error, signed coordinator.Signed, key func(string) ed25519.PublicKey, epoch uint64) {
	fail := func(layer, next string, err error) {
		r.OK, r.Layer, r.Detail, r.NextStep = false, layer, err.Error(), next
	}
	var st coordinator.Standing
	if err == nil {
		if st, err = signed.Open(key); err != nil {
			fail(reach.Authorisation, "if that server came into the group a moment ago, run this again; else find out what answers at that address", err)
			return
		}
	}
	switch {
	case errors.Is(err, mfa.ErrUnavailable):
		fail(reach.HTTP, "the way is free, a master is missing: see the check of the master", err)
	case err != nil:
		fail(reach.HTTP, "look at the log of "+m.Name+", and compare the versions", err)
	case st.Epoch != epoch:
		fail(reach.Epoch, "the server of the lower epoch joins the later one by itself as soon as it reaches one of its servers: let it; its log says why if it does not", fmt.Errorf("it says that %s is the master in epoch %d, this server is at %d", st.Name, st.Epoch, epoch))
	default:
		r.Layer = reach.Epoch
		r.Detail += fmt.Sprintf(", master %s in epoch %d", st.Name, st.Epoch)
	}
}

func result(name, target string, r reach.Result) admin.Check {
	return admin.Check{Name: name, Target: target, Layer: r.Layer, OK: r.OK, Detail: r.Detail, NextStep: r.NextStep}
}

// works says whether people can sign in here, and whether changes can be made.
func (s *server) works() (signIns, changes admin.Works) {
	st, _ := s.node.Status()
	_, contact := s.store.Contact()
	signIns = admin.Works{OK: true, Detail: "work"}
	switch err := s.ready(); {
	case err != nil:
		signIns = admin.Works{Detail: "do not work: " + err.Error()}
	case s.witness:
		signIns = admin.Works{Detail: "are not for this server: a witness votes and signs nobody in"}
	case !contact:
		signIns.Detail = "work, from the copy here, and are marked as degraded; not at applications with degraded: refuse"
	}
	switch {
	case !contact && s.witness:
		changes.Detail = "are refused for want of a master"
	case !contact:
		changes.Detail = "are refused for want of a master, but for blocking a user, disabling a credential and revoking a token"
	case st.ReadOnly != nil:
		changes.Detail = "are refused: " + st.ReadOnly.Error()
	case s.aside.Load() != nil:
		changes.Detail = "are refused: this server decides nothing"
	case s.refusesChanges() != nil:
		changes.Detail = "are refused: " + s.refusesChanges().Error()
	default:
		changes = admin.Works{OK: true, Detail: "work"}
	}
	return signIns, changes
}
