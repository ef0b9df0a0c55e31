package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

var midday = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// errCrash ends a server in the middle of what it does.
var errCrash = errors.New("the server has crashed")

// world is a group whose database works as etcd's does, as far as votes go. A server that
// is taken out of it joins again as learner, as node.Run has it do.
type world struct {
	t       *testing.T
	members []mfa.Member
	nodes   []Node
	down    map[string]bool
	swap    *mfa.Swap
	full    bool // no write finds room
	mute    bool // the trail takes nothing
	deaf    string
	reports map[string]Report
	acts    []string
	steps   int // of all servers, done so far
	crash   int // after so many steps the server that acts is gone; 0: never
	before  bool
}

func newWorld(t *testing.T, group string) *world {
	w := &world{t: t, down: map[string]bool{}, reports: map[string]Report{}}
	for i, f := range strings.Fields(group) {
		name, flags, _ := strings.Cut(f, ":")
		has := func(c string) bool { return strings.Contains(flags, c) }
		m := mfa.Member{Name: name, Role: mfa.RoleServer, Peer: name + ":7443", Joined: midday.Add(time.Duration(i) * time.Hour), Version: "v1"}
		if has("w") {
			m.Role = mfa.RoleWitness
		}
		w.members = append(w.members, m)
		w.nodes = append(w.nodes, Node{ID: "id-" + name, Name: name, Peer: m.Peer, Voter: has("v"), Master: has("m")})
		w.down[name] = has("x")
		w.reports[name] = Report{Name: name, Version: "v1", Role: "replica", Revision: 1000}
	}
	return w
}

// server returns the use cases on one server.
func (w *world) server(name string) *Service {
	return &Service{Server: name, Store: worldStore{w}, Cluster: worldCluster{w, name}, Peers: worldPeers{w}, Trail: worldTrail{w},
		Now: func() time.Time { return midday }, Log: slog.New(slog.DiscardHandler)}
}

func (w *world) node(id string) *Node {
	for i := range w.nodes {
		if w.nodes[i].ID == id {
			return &w.nodes[i]
		}
	}
	return nil
}

// master returns the name of the one that leads, if all of a pair's or most of more voters live.
func (w *world) master() string {
	up, all, name := 0, 0, ""
	for _, n := range w.nodes {
		if n.Voter {
			all++
			if !w.down[n.Name] {
				up++
			}
		}
		if n.Master {
			name = n.Name
		}
	}
	if up*2 <= all {
		return ""
	}
	return name
}

// elect makes the voter name the master.
func (w *world) elect(name string) {
	for i := range w.nodes {
		w.nodes[i].Master = w.nodes[i].Name == name
	}
}

// step does one thing that lasts, unless the server crashes before or after it.
func (w *world) step(do func()) error {
	w.steps++
	if w.steps == w.crash && w.before {
		return errCrash
	}
	do()
	if w.steps == w.crash {
		return errCrash
	}
	return nil
}

func (w *world) String() string {
	var all []string
	for _, n := range w.nodes {
		f := n.Name + ":"
		for _, x := range []struct {
			is bool
			c  string
		}{{n.Voter, "v"}, {!n.Voter, "l"}, {n.Master, "m"}} {
			if x.is {
				f += x.c
			}
		}
		all = append(all, f)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

type worldStore struct{ *world }

func (s worldStore) Members() []mfa.Member                        { return s.members }
func (worldStore) CountUsers() int                                { return 0 }
func (worldStore) CreateJoinCode(context.Context, Code) error     { return nil }
func (worldStore) JoinCode(context.Context, string) (Code, error) { return Code{}, mfa.ErrNotFound }
func (worldStore) UsedCode(context.Context, string) (Code, error) { return Code{}, mfa.ErrNotFound }
func (worldStore) RemoveMember(context.Context, string) error     { return nil }
func (s worldStore) UpdateMember(context.Context, string, func(*mfa.Member) error) error {
	return nil
}
func (worldStore) Admit(context.Context, string, mfa.Member, func(Code, *mfa.Member) error) error {
	return nil
}

func (s worldStore) Swap(context.Context) (mfa.Swap, error) {
	if s.swap == nil {
		return mfa.Swap{}, mfa.ErrNotFound
	}
	return *s.swap, nil
}

func (s worldStore) BeginSwap(_ context.Context, p mfa.Swap) error {
	if s.full {
		return mfa.ErrReadOnly
	}
	if s.swap != nil {
		return mfa.ErrExists
	}
	return s.step(func() { s.swap = &p })
}

func (s worldStore) EndSwap(_ context.Context, p mfa.Swap) error {
	if s.swap == nil || *s.swap != p {
		return nil
	}
	return s.step(func() { s.swap = nil })
}

type worldCluster struct {
	*world
	self string
}

func (c worldCluster) Nodes() ([]Node, error)       { return slices.Clone(c.nodes), nil }
func (c worldCluster) Leads() bool                  { return c.master() == c.self }
func (c worldCluster) Full() bool                   { return c.full }
func (c worldCluster) Master() string               { return c.master() }
func (worldCluster) Revision() int64                { return 1000 }
func (worldCluster) Group() string                  { return "corp" }
func (worldCluster) Epoch() uint64                  { return 3 }
func (worldCluster) MasterChanged() <-chan struct{} { return nil }

func (c worldCluster) Barrier(context.Context) (int64, error) { return 1000, nil }

func (worldCluster) AddLearner(context.Context, string, string) (JoinInfo, error) {
	return JoinInfo{}, nil
}

func (c worldCluster) Promote(_ context.Context, id string) error {
	n := c.node(id)
	switch {
	case c.master() != c.self:
		return ErrNotMaster
	case n == nil:
		return mfa.ErrNotFound
	case n.Voter:
		return nil
	case c.down[n.Name]:
		return mfa.ErrUnavailable
	}
	return c.step(func() { n.Voter = true })
}

func (c worldCluster) MoveMaster(_ context.Context, id string) error {
	n := c.node(id)
	switch {
	case c.master() != c.self:
		return ErrNotMaster
	case n == nil || !n.Voter:
		return mfa.ErrInvalid
	case n.Master:
		return nil
	}
	return c.step(func() { c.elect(n.Name) })
}

func (c worldCluster) Remove(_ context.Context, id string) error {
	n := c.node(id)
	switch {
	case c.master() != c.self:
		return ErrNotMaster
	case n == nil:
		return nil
	case n.Master:
		return mfa.ErrInvalid
	}
	return c.step(func() { *n = Node{ID: n.ID + "'", Name: n.Name, Peer: n.Peer} }) // it joins again at once
}

type worldPeers struct{ *world }

func (p worldPeers) Heard(name string) (Report, bool) {
	r := p.reports[name]
	for _, n := range p.nodes {
		if n.Name == name {
			r.MemberID = cmp.Or(r.MemberID, n.ID)
		}
	}
	r.Epoch, r.Master, r.Quorum = cmp.Or(r.Epoch, 3), cmp.Or(r.Master, p.master()), name != p.deaf
	return r, !p.down[name]
}

type worldTrail struct{ *world }

func (t worldTrail) Append(_ context.Context, records ...mfa.Record) error {
	if t.mute {
		return errors.New("no space left on device")
	}
	for _, r := range records {
		t.acts = append(t.acts, fmt.Sprintf("%s %s: %s", r.Act.Verb, r.Act.Object, r.Act.Detail))
	}
	return nil
}

// rest has whoever leads look after the group until nothing is left to do.
func (w *world) rest() {
	w.t.Helper()
	for range 20 {
		before := fmt.Sprint(w, w.swap)
		if m := w.master(); m != "" {
			if _, err := w.server(m).look(w.t.Context()); err != nil {
				w.t.Fatalf("%s at %v: %v", m, w, err)
			}
		}
		if fmt.Sprint(w, w.swap) == before && w.swap == nil {
			return
		}
	}
	w.t.Fatalf("no rest: %v, swap %+v", w, w.swap)
}

func TestPromote(t *testing.T) {
	for _, tt := range []struct{ name, group, to, moved, rest string }{
		{"pair", "n1:vm n2:l", "n2", "n1:v n2:vm", "n1:l n2:vm"},
		{"pair, nobody named", "n1:vm n2:l", "", "n1:v n2:vm", "n1:l n2:vm"},
		{"three", "n1:vm n2:v n3:v", "n3", "n1:v n2:v n3:vm", "n1:v n2:v n3:vm"},
		{"three, the oldest that can", "n1:vm n2:vx n3:v", "", "n1:v n2:v n3:vm", "n1:v n2:v n3:vm"},
		{"three, one vote so far", "n1:vm n2:lx n3:l", "", "n1:v n2:l n3:vm", "n1:l n2:l n3:vm"},
		{"two and a witness", "n1:vm w1:vw n2:v", "", "n1:v n2:vm w1:v", "n1:v n2:vm w1:v"},
		{"six, one without a vote", "n1:vm n2:v n3:v n4:v n5:v n6:l", "n6", "n1:v n2:v n3:v n4:v n5:v n6:vm", "n1:v n2:v n3:v n4:v n5:l n6:vm"},
		{"six, a voter first", "n1:vm n2:l n3:v n4:v n5:v n6:v", "", "n1:v n2:l n3:vm n4:v n5:v n6:v", "n1:v n2:l n3:vm n4:v n5:v n6:v"},
		{"the master itself", "n1:vm n2:l", "n1", "n1:vm n2:l", "n1:vm n2:l"},
	} {
		w := newWorld(t, tt.group)
		s := w.server("n1")
		plan, err := s.Promote(t.Context(), "root", tt.to, true)
		if err != nil || w.steps > 0 || len(w.acts) > 0 || !plan.DryRun {
			t.Errorf("%s: only to be looked at: %v, %d steps, acts %q", tt.name, err, w.steps, w.acts)
		}
		p, err := s.Promote(t.Context(), "root", tt.to, false)
		if err != nil || w.String() != tt.moved || p.NewMaster != w.master() || p.NewMaster != plan.NewMaster || p.OldMaster != "n1" || p.WritesAtRisk+p.UsersAtRisk != 0 {
			t.Errorf("%s: %v, %v: %+v", tt.name, w, err, p)
		}
		if acts := len(w.acts); acts != 1 && !p.Done() || p.Settling != p.Swap || p.Swap != (w.swap != nil) {
			t.Errorf("%s: acts %q, swap %+v: %+v", tt.name, w.acts, w.swap, p)
		}
		if clear(w.down); true {
			w.rest()
		}
		if tt.name == "three, one vote so far" || tt.name == "three, the oldest that can" {
			continue // with all there, votes are given as usual
		}
		if w.String() != tt.rest {
			t.Errorf("%s: comes to rest with %v, want %s", tt.name, w, tt.rest)
		}
	}
}

// What is in the way is said, with what to do, and nothing is changed.
func TestPromoteRefused(t *testing.T) {
	for _, tt := range []struct {
		name, group, to string
		change          func(w *world)
		want            string
	}{
		{"unknown", "n1:vm n2:l", "n9", nil, "its servers are n1, n2"},
		{"alone", "n1:vm", "", nil, "activation create"},
		{"witness", "n1:vm n2:v w1:vw", "w1", nil, "witness"},
		{"nobody but a witness", "n1:vm w1:lw", "", nil, "w1: it is a witness"},
		{"silent", "n1:vm n2:lx", "n2", nil, "does not answer at n2:7443"},
		{"silent, nobody named", "n1:vm n2:lx", "", nil, "n2: it does not answer"},
		{"behind", "n1:vm n2:l", "n2", func(w *world) { w.change("n2", func(r *Report) { r.Revision = 1000 - behindMax - 1 }) }, "5001 revisions behind"},
		{"joining", "n1:vm n2:l", "n2", func(w *world) { w.change("n2", func(r *Report) { r.Role = "joining" }) }, "still joining"},
		{"an earlier membership", "n1:vm n2:l", "n2", func(w *world) { w.change("n2", func(r *Report) { r.MemberID = "old" }) }, "still joining"},
		{"activated only", "n1:vm n2:l", "n2", func(w *world) { w.nodes = w.nodes[:1] }, "has not joined"},
		{"another epoch", "n1:vm n2:l", "n2", func(w *world) { w.change("n2", func(r *Report) { r.Epoch = 2 }) }, "epoch 2"},
		{"deaf", "n1:vm n2:v n3:v", "n2", func(w *world) { w.deaf = "n2" }, "does not hear the master n1"},
		{"no room", "n1:vm n2:l", "n2", func(w *world) { w.change("n2", func(r *Report) { r.ReadOnly = "the disk is full" }) }, "the disk is full"},
		{"another on its way", "n1:vm n2:l n3:l", "n3", func(w *world) { w.swap = &mfa.Swap{From: "n1", To: "n2", Epoch: 3, By: "root", Since: midday} }, "being moved from n1 to n2"},
	} {
		w := newWorld(t, tt.group)
		if tt.change != nil {
			tt.change(w)
		}
		before := w.String()
		for _, dry := range []bool{true, false} {
			if _, err := w.server("n1").Promote(t.Context(), "root", tt.to, dry); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %q in one line", tt.name, err, tt.want)
			}
		}
		if w.steps > 0 || w.String() != before || len(w.acts) > 0 {
			t.Errorf("%s: was refused, and changed something: %v, acts %q", tt.name, w, w.acts)
		}
	}
	w := newWorld(t, "n1:vm n2:l")
	if _, err := w.server("n2").Promote(t.Context(), "root", "", false); !errors.Is(err, ErrNotMaster) {
		t.Errorf("at a replica: %v", err)
	}
}

func (w *world) change(name string, do func(*Report)) {
	r := w.reports[name]
	do(&r)
	w.reports[name] = r
}

// A master whose disk is full hands over where no record is needed, and says what to do
// where one is.
func TestPromoteFullDisk(t *testing.T) {
	w := newWorld(t, "n1:vm n2:v n3:v")
	w.full = true
	if _, err := w.server("n1").Promote(t.Context(), "root", "n2", false); err != nil || w.master() != "n2" {
		t.Errorf("three voters: %v, %v", w, err)
	}
	w = newWorld(t, "n1:vm n2:l")
	w.full = true
	_, err := w.server("n1").Promote(t.Context(), "root", "n2", false)
	if !errors.Is(err, mfa.ErrReadOnly) || !strings.Contains(err.Error(), "free space") || w.String() != "n1:vm n2:l" {
		t.Errorf("a pair: %v, %v", w, err)
	}
	if len(w.acts) != 2 || !strings.Contains(w.acts[1], "failed") {
		t.Errorf("acts %q", w.acts)
	}
}

// What cannot be recorded in the trail is not done.
func TestPromoteUnrecorded(t *testing.T) {
	w := newWorld(t, "n1:vm n2:v n3:v")
	w.mute = true
	_, err := w.server("n1").Promote(t.Context(), "root", "n2", false)
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "no space left") || w.master() != "n1" || w.steps > 0 {
		t.Errorf("%v, %v", w, err)
	}
}

// A pair's swap ends well whichever server dies after or before whichever step, and
// whichever leads then: with the new master once it is recorded, as it was before that.
func TestSwapSurvivesCrashes(t *testing.T) {
	const most = 7
	reached := 0
	for crash := 1; crash <= most; crash++ {
		for _, before := range []bool{true, false} {
			for _, leads := range []string{"n1", "n2"} {
				name := fmt.Sprintf("step %d, before it %v, then %s leads", crash, before, leads)
				w := newWorld(t, "n1:vm n2:l")
				w.crash, w.before = crash, before
				_, err := w.server("n1").Promote(t.Context(), "root", "n2", false)
				for i := 0; i < 5 && err == nil && w.steps < crash; i++ {
					_, err = w.server(w.master()).look(t.Context())
				}
				if !errors.Is(err, errCrash) {
					if w.steps >= crash {
						t.Fatalf("%s: %v", name, err)
					}
					continue // there are fewer steps
				}
				reached = max(reached, crash)
				recorded := w.swap != nil || w.master() == "n2"
				if n := w.node("id-" + leads); n != nil && n.Voter { // all come back, and elect one of the voters
					w.elect(leads)
				}
				w.rest()
				want := "n1:vm n2:l"
				if recorded {
					want = "n1:l n2:vm"
				}
				if w.String() != want {
					t.Errorf("%s: comes to rest with %v, want %s", name, w, want)
				}
			}
		}
	}
	if reached != 5 { // record, vote, move, remove, end
		t.Errorf("there were %d steps to crash at", reached)
	}
}

// A recorded swap that cannot be any more is given up, and the votes are put right.
func TestSwapGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name, group string
		swap        mfa.Swap
		change      func(w *world)
		want        string
	}{
		{"of another epoch", "n1:vm n2:v", mfa.Swap{From: "n1", To: "n2", Epoch: 2, Since: midday}, nil, "n1:vm n2:l"},
		{"nobody waits for it any more", "n1:vm n2:l", mfa.Swap{From: "n1", To: "n2", Epoch: 3, Since: midday.Add(-swapLife - time.Second)}, nil, "n1:vm n2:l"},
		{"late, but the vote is given", "n1:vm n2:v", mfa.Swap{From: "n1", To: "n2", Epoch: 3, Since: midday.Add(-time.Hour)}, nil, "n1:l n2:vm"},
		{"three voters by now", "n1:vm n2:v n3:v", mfa.Swap{From: "n1", To: "n2", Epoch: 3, Since: midday}, nil, "n1:vm n2:v n3:v"},
		{"forgotten", "n1:vm n2:l", mfa.Swap{From: "n1", To: "n2", Epoch: 3, Since: midday}, func(w *world) { w.members, w.nodes = w.members[:1], w.nodes[:1] }, "n1:vm"},
		{"no member any more", "n1:vm n2:l", mfa.Swap{From: "n1", To: "n2", Epoch: 3, Since: midday}, func(w *world) { w.nodes = w.nodes[:1] }, "n1:vm"},
	} {
		w := newWorld(t, tt.group)
		w.swap = &tt.swap
		if tt.change != nil {
			tt.change(w)
		}
		w.rest()
		if w.String() != tt.want || w.swap != nil {
			t.Errorf("%s: %v, swap %+v, want %s", tt.name, w, w.swap, tt.want)
		}
	}
}

// While the swap waits for a server to answer, nothing is given up that is young.
func TestSwapWaits(t *testing.T) {
	w := newWorld(t, "n1:vm n2:lx")
	w.swap = &mfa.Swap{From: "n1", To: "n2", Epoch: 3, Since: midday}
	if _, err := w.server("n1").look(t.Context()); err == nil || w.swap == nil || w.String() != "n1:vm n2:l" {
		t.Errorf("the new master is away: %v, %v, swap %+v", err, w, w.swap)
	}
	w.down["n2"] = false
	w.rest()
	if w.String() != "n1:l n2:vm" {
		t.Errorf("it came back: %v", w)
	}
}
