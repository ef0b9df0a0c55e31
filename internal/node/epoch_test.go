package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/group"
	"countersign/internal/mfa"
)

// up runs a server in this process and waits until it answers. end stops it and returns
// what it ended with.
func up(t *testing.T, o Options) (s *server, end func() error) {
	t.Helper()
	s = &server{Options: o, small: true}
	ready := make(chan struct{})
	s.Ready = func(Addresses) { close(ready) }
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, nil) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("%v\n%s", err, o.Stderr)
	}
	return s, func() error { stop(); return <-ended }
}

// A server that has heard of a later epoch, and meets nobody of it, decides nothing. Its
// operator can still begin a new epoch on it.
func TestStandsBy(t *testing.T) {
	o := options(folder(t))
	o.Config.Listen.Peer, o.Config.Listen.Coordinator = free(t), free(t)
	must(t, Init(t.Context(), o, "corp"))
	s, end := up(t, o)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		if _, err := s.store.Member("nyc1"); err == nil {
			break
		}
	}
	if _, err := (groupAdmin{s}).PromoteDisaster(t.Context(), "root", "corp/1", true, false); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), "is the master of epoch 1 already") {
		t.Errorf("a master promoted to what it is: %v", err)
	}
	must(t, s.node.SawEpoch(7))
	must(t, end())

	s, end = up(t, o)
	if err := s.ready(); err == nil || !strings.Contains(err.Error(), "epoch 7") {
		t.Errorf("a server that knows of a later epoch is ready: %v", err)
	}
	if _, err := s.store.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("it takes a change: %v", err)
	}
	if s.group.Cluster.Leads() || s.report().Quorum || s.report().Aside == "" || s.grouped() {
		t.Errorf("it says of itself %+v", s.report())
	}
	told, err := s.tellEpoch()
	must(t, err)
	e, err := told.Believe(mfa.Member{Name: "nyc1", Sign: s.id.public()}, "corp", 1)
	if err != nil || e.Epoch != 1 || e.Highest != 7 || e.Master != "" {
		t.Errorf("it tells %+v, %v", e, err)
	}
	p, err := groupAdmin{s}.PromoteDisaster(t.Context(), "root", "corp/1", false, false)
	if !errors.Is(err, mfa.ErrInvalid) || p.NewEpoch != 8 || s.ready() == nil {
		t.Errorf("the wrong word began an epoch: %+v, %v", p, err)
	}
	if p, err = (groupAdmin{s}).PromoteDisaster(t.Context(), "root", "corp/7", false, false); err != nil || p.NewEpoch != 8 {
		t.Fatalf("promote: %+v, %v", p, err)
	}
	must(t, s.node.SawEpoch(9)) // too late to count
	if err := end(); !errors.Is(err, errForked) || !s.again.Load() {
		t.Errorf("it ended with %v", err)
	}

	s, end = up(t, o)
	if err := s.ready(); err != nil {
		t.Errorf("the new epoch is not ready: %v", err)
	}
	r, err := s.store.EpochRecord()
	if err != nil || r.Epoch != 8 || r.Previous.Epoch != 1 || r.Previous.ForkRevision == 0 || !r.Unconfirmed || r.By != "root" || r.ClusterID != s.node.ClusterID() || r.Hold.Released() {
		t.Errorf("record: %+v, %v", r, err)
	}
	if _, err := s.store.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil); err != nil {
		t.Errorf("the new epoch takes no change: %v", err)
	}
	if c := s.checkHeld(); len(c) != 1 || c[0].OK || !strings.Contains(c[0].Detail, "no server is awaited") || !strings.Contains(c[0].NextStep, "--release") {
		t.Errorf("of what it holds though nobody is awaited, doctor says %+v", c)
	}
	must(t, end())

	// What the epoch was made from stays for seven days, and doctor says so.
	if all, err := cluster.FormerCopies(o.Config.DataDir, s.node.Folder().Copy); err != nil || len(all) != 1 || all[0].Epoch != 1 {
		t.Errorf("former copies: %+v, %v", all, err)
	}
	later := func() time.Time { return time.Now().Add(parkedKeep + time.Minute) }
	for i, now := range []func() time.Time{time.Now, later} {
		s.Now = now
		if checks := s.checkFormer(); len(checks) != 1 || !checks[0].OK || !strings.Contains(checks[0].Detail, "it is removed after") {
			t.Errorf("doctor says %+v", checks)
		}
		s.dropFormer()
		if all, err := cluster.FormerCopies(o.Config.DataDir, s.node.Folder().Copy); err != nil || len(all) != 1-i {
			t.Errorf("former copies: %+v, %v", all, err)
		}
	}

	again, stop := up(t, o) // the receipt is still in the epoch file, and counts once
	if r2, err := again.store.EpochRecord(); err != nil || !r2.Since.Equal(r.Since) {
		t.Errorf("after a restart: %+v, %v", r2, err)
	}
	must(t, stop())
}

func TestJudge(t *testing.T) {
	f := cluster.Folder{Epoch: 4, Highest: 4, ClusterID: "a"}
	at := func(epoch uint64, id, master string) told {
		return told{epoch: group.Epoch{Epoch: epoch, ClusterID: id, Master: master}}
	}
	stranger, silent := told{err: group.ErrNotMember}, told{err: errors.New("timeout")}
	for _, c := range []struct {
		name    string
		all     []told
		later   uint64
		master  string
		rival   bool
		unknown bool
	}{
		{name: "nobody answers", all: []told{silent, silent}},
		{name: "the same", all: []told{at(4, "a", "n1"), at(3, "z", "n3")}},
		{name: "one is later", all: []told{at(4, "a", ""), at(5, "b", "n2"), silent}, later: 5, master: "n2"},
		{name: "the highest counts", all: []told{at(6, "c", ""), at(5, "b", "n2")}, later: 6},
		{name: "of two, the one with a master", all: []told{at(5, "b", ""), at(5, "b", "n2")}, later: 5, master: "n2"},
		{name: "another database of this epoch", all: []told{at(4, "b", "n2")}, rival: true},
		{name: "nobody knows this server", all: []told{stranger, silent}, unknown: true},
		{name: "one knows it", all: []told{stranger, at(4, "a", "n1")}},
	} {
		v := judge(c.all, f)
		if (v.later != nil) != (c.later > 0) || v.later != nil && (v.later.Epoch != c.later || v.later.Master != c.master) || (v.rival != nil) != c.rival || v.unknown != c.unknown {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

// A server that does not reach the other database of its epoch hears of it from one of its
// own: both are frozen then, and over restarts. What takes something away goes on.
func TestRivalIsPassedOn(t *testing.T) {
	o := options(folder(t))
	o.Config.Listen.Peer, o.Config.Listen.Coordinator = free(t), free(t)
	must(t, Init(t.Context(), o, "corp"))
	s, end := up(t, o)
	u, err := s.store.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil)
	must(t, err)
	said := s.report()
	said.Name = "nyc2"
	const rival = "00000000deadbeef"
	for name, change := range map[string]func(*group.Report){
		"itself":        func(r *group.Report) { r.Rival = r.ClusterID },
		"another epoch": func(r *group.Report) { r.Epoch, r.Rival = 7, rival },
		"another side":  func(r *group.Report) { r.ClusterID, r.Rival = rival, r.ClusterID },
		"nonsense":      func(r *group.Report) { r.Rival = "../x" },
		"nothing":       func(*group.Report) {},
	} {
		r := said
		change(&r)
		if s.beat("nyc2", "192.0.2.1:7443", r); s.frozen() != nil {
			t.Fatalf("frozen by %s", name)
		}
	}
	said.Rival = rival
	if s.beat("nyc3", "192.0.2.1:7443", said); s.frozen() != nil {
		t.Error("frozen by a report of another server")
	}
	if s.beat("nyc2", "192.0.2.1:7443", said); s.frozen() == nil || s.report().Rival != rival {
		t.Errorf("it was told of another database of its epoch, and says %+v", s.report())
	}
	must(t, end())
	s, end = up(t, o)
	if _, err := s.store.CreateUser(t.Context(), mfa.User{Login: "bob"}, nil); !errors.Is(err, mfa.ErrReadOnly) {
		t.Errorf("a change: %v", err)
	}
	if _, err := s.store.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error { u.Block = &mfa.Block{}; return nil }); err != nil {
		t.Errorf("a block: %v", err)
	}
	must(t, end())
}
