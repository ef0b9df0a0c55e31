package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/mfa"
)

// joins reports whether this server has no database of its own just now: its membership has
// ended, or it has never had one.
func (s *server) joins() bool {
	return s.removed.Load() || s.parted.Load() != nil || s.node == nil && s.activated()
}

// joining says, while this server serves without a database, why that is and what to do; nil:
// the database is there.
func (s *server) joining() error {
	since := s.parted.Load()
	if since == nil {
		return nil
	}
	return fmt.Errorf("this server is joining its group again since %s, and other servers decide its sign-ins meanwhile: ask again in a moment%s: %w",
		since.UTC().Format(time.RFC3339), s.askOther(), mfa.ErrUnavailable)
}

// askOther names a server that can be asked instead.
func (s *server) askOther() string {
	for _, m := range s.peers.members() {
		if _, there := s.heard.Heard(m.Name); there && m.Name != s.Config.Name && m.Role != mfa.RoleWitness {
			return ", or ask " + m.Name
		}
	}
	return ""
}

// partedStatus is the state of a server that joins again while it serves.
func (s *server) partedStatus(since time.Time) (a admin.Status, err error) {
	a = admin.Status{Name: s.Config.Name, Group: s.node.Group(), Role: "joining", Epoch: s.node.Epoch(), Degraded: true, Since: since, Started: s.started,
		Version: s.Version, Warnings: s.warnings()}
	if why := s.inVain.Load(); why != nil {
		a.Warnings = append(a.Warnings, "the last try to join: "+(*why).Error())
	}
	for _, l := range s.listeners() {
		a.Fronts = append(a.Fronts, admin.FrontEnd{Kind: l.Kind, Address: l.Address, OK: true})
	}
	a.Members, err = s.servers()
	for _, m := range a.Members {
		if m.Role == "master" {
			a.Master = m.Name
		}
	}
	return a, err
}

// joiningDoctor tries what a server needs that joins its group: the others' ports, its own
// certificate, its trail and clock.
func (s *server) joiningDoctor(ctx context.Context) admin.CheckList {
	all := []trial{{"group", s.checkJoining}}
	if s.trail != nil {
		all = append(all, trial{"trail", func(ctx context.Context) []admin.Check { return []admin.Check{s.checkTrail(ctx)} }})
	}
	if s.clock != nil {
		all = append(all, trial{"clock", func(ctx context.Context) []admin.Check { return []admin.Check{s.checkClock(ctx)} }})
	}
	list := admin.CheckList{Checks: atOnce(ctx, all)}
	list.SignIns = admin.Works{Detail: "do not work here: this server is joining its group"}
	if s.parted.Load() != nil {
		list.SignIns = admin.Works{OK: true, Detail: "are decided by other servers: this one is joining its group again"}
	}
	list.Changes = admin.Works{Detail: "are refused here while this server is joining its group; make them at another server"}
	return list
}

// checkJoining says how far the joining is, and tries the peer port of every other server.
func (s *server) checkJoining(ctx context.Context) []admin.Check {
	c := admin.Check{Name: "joining", Target: s.peers.roster.Load().Group, Layer: "group", Detail: "a server that lets this one join is being asked",
		NextStep: "wait a moment; if it lasts, do what the checks of the servers say"}
	if why := s.inVain.Load(); why != nil {
		c.Detail = (*why).Error()
	}
	var others []mfa.Member
	for _, m := range s.peers.members() {
		if m.Name != s.Config.Name {
			others = append(others, m)
		}
	}
	ports, ways := make([]admin.Check, len(others)), make([]group.Way, len(others))
	var tries sync.WaitGroup
	for i, m := range others {
		tries.Go(func() { ports[i], ways[i] = s.checkServer(ctx, m, 0, 0) })
	}
	tries.Wait()
	led := false
	for _, w := range ways {
		led = led || w.Master != ""
	}
	if !led {
		c.NextStep = "no server is in contact with a master, who alone lets this one join: bring the others back, as their checks say; `countersign doctor` on one that runs says what is missing there"
		if _, err := os.Stat(filepath.Join(s.Config.DataDir, "epoch.json")); err == nil {
			c.NextStep += "; if they are gone for good, run it here again in half a minute: this server then stands by with its old copy, from which a new epoch can begin"
		}
	}
	return append([]admin.Check{c, s.checkPeerCertificate()}, ports...)
}
