package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// testGroup is a group of servers in this process, each with a TLS listener on loopback.
type testGroup struct {
	t  testing.TB
	ca pki.CA
}

func newGroup(t testing.TB) *testGroup {
	ca, err := pki.NewCA("main", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &testGroup{t: t, ca: ca}
}

// testServer is one server of the group: its folder and address last, its node comes and goes.
type testServer struct {
	g      *testGroup
	o      Options
	addr   string
	config *tls.Config

	*Node
	peers    atomic.Pointer[http.Handler]
	http     *http.Server
	requests sync.WaitGroup
	stopRun  context.CancelFunc
	ran      chan error
}

// server makes a server with a certificate and an address, and no node yet.
func (g *testGroup) server(name string) *testServer {
	g.t.Helper()
	dir := filepath.Join(g.t.TempDir(), name)
	must(g.t, os.MkdirAll(dir, 0o700))
	pair, err := g.ca.Issue(pki.Subject{Name: name, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now())
	must(g.t, err)
	files := PeerTLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), CAFile: filepath.Join(dir, "ca.pem")}
	must(g.t, os.WriteFile(files.CertFile, pair.CertPEM, 0o600))
	must(g.t, os.WriteFile(files.KeyFile, pair.KeyPEM.Expose(), 0o600))
	must(g.t, os.WriteFile(files.CAFile, g.ca.CertificatePEM(), 0o600))
	own, err := pair.TLS()
	must(g.t, err)
	s := &testServer{g: g, config: &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, NextProtos: []string{"http/1.1"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: g.ca.Pool(),
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(g.t, err)
	s.addr = l.Addr().String()
	must(g.t, l.Close())
	s.o = testOptions(filepath.Join(dir, "data"))
	s.o.Name, s.o.Peer, s.o.PeerTLS = name, "https://"+s.addr, files
	s.o.Tick, s.o.Election = 50*time.Millisecond, 500*time.Millisecond
	if testing.Verbose() && os.Getenv("CLUSTER_TEST_LOG") != "" {
		s.o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("server", name)
	}
	g.t.Cleanup(s.kill)
	return s
}

// up serves the peer port of n and runs it.
func (s *testServer) up(n *Node, err error) *testServer {
	s.g.t.Helper()
	must(s.g.t, err)
	s.Node = n
	h := n.PeerHandler()
	l, err := tls.Listen("tcp", s.addr, s.config)
	must(s.g.t, err)
	s.http = &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		defer s.requests.Done()
		h.ServeHTTP(w, r)
	})}
	go s.http.Serve(l)
	ctx, cancel := context.WithCancel(context.Background())
	s.stopRun, s.ran = cancel, make(chan error, 1)
	go func() { s.ran <- n.Run(ctx) }()
	return s
}

// found makes s the first server of the group.
func (s *testServer) found() *testServer {
	n, err := Found(s.g.t.Context(), s.o)
	return s.up(n, err)
}

// open starts s again.
func (s *testServer) open() *testServer {
	n, err := Open(s.g.t.Context(), s.o)
	return s.up(n, err)
}

// join admits s through master and returns once it has caught up.
func (s *testServer) join(master *testServer) *testServer {
	s.g.t.Helper()
	info, err := master.AddLearner(s.g.t.Context(), s.o.Name, s.o.Peer)
	must(s.g.t, err)
	n, err := Join(s.g.t.Context(), s.o, info)
	s.up(n, err)
	must(s.g.t, n.CatchUp(s.g.t.Context(), func(Progress) {}))
	return s
}

func (s *testServer) voter(master *testServer) *testServer {
	s.g.t.Helper()
	s.join(master)
	must(s.g.t, master.Promote(s.g.t.Context(), s.id()))
	return s
}

func (s *testServer) id() string { return clusterID(uint64(s.srv.MemberID())) }

// kill takes the server off the network and closes it.
func (s *testServer) kill() {
	if s.Node == nil {
		return
	}
	s.http.Close()
	s.stopRun()
	<-s.ran
	s.Close()
	s.requests.Wait()
	s.Node = nil
}

// crash is kill for a master that has no time to hand over.
func (s *testServer) crash() {
	s.srv.HardStop()
	s.kill()
}

func (s *testServer) status() Status {
	s.g.t.Helper()
	st, err := s.Status()
	must(s.g.t, err)
	return st
}

// eventually asks until cond holds, at most limit.
func eventually(t testing.TB, limit time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Since(start) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-tick.C
	}
	return time.Since(start)
}

// localValue reads key from the local copy as the store's view does.
func localValue(t testing.TB, n *Node, key string) string {
	t.Helper()
	kvs, _, err := n.page(t.Context(), []byte(key), nil, 0)
	must(t, err)
	if len(kvs) == 0 {
		return ""
	}
	return string(kvs[0].Value)
}

// masterOf returns the one of servers that leads.
func masterOf(t testing.TB, servers ...*testServer) *testServer {
	t.Helper()
	var m *testServer
	eventually(t, 10*time.Second, "a master", func() bool {
		for _, s := range servers {
			if st := s.status(); st.Role == "master" {
				m = s
				return true
			}
		}
		return false
	})
	return m
}

func TestThreeServers(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	put(t, a.Node, "u/1", "one")
	b := g.server("b").join(a)
	if v := localValue(t, b.Node, "u/1"); v != "one" {
		t.Errorf("the learner that has caught up has %q", v)
	}
	if st := b.status(); st.Role != "replica" || st.Voter || st.Voters != 1 || st.Master != "a" || !st.Quorum || st.LastContact.IsZero() {
		t.Errorf("a learner says %+v", st)
	}
	rev := put(t, b.Node, "u/2", "two") // relayed
	if v, got := get(t, b.Node, "u/2"); v != "two" || got != rev {
		t.Errorf("the learner reads %q at %d of its own write at %d", v, got, rev)
	}
	must(t, a.Promote(t.Context(), b.id()))
	c := g.server("c").voter(a)
	eventually(t, 5*time.Second, "three voters", func() bool { return c.status().Voters == 3 && c.status().Voter })
	members, err := c.Members()
	must(t, err)
	for i, name := range []string{"a", "b", "c"} {
		if len(members) != 3 || members[i].Name != name || !members[i].Voter || members[i].Master != (name == "a") {
			t.Fatalf("members %+v", members)
		}
	}

	// The master dies while all write. What is acknowledged stays.
	var mu sync.Mutex
	acked := map[string]bool{}
	var gap, last atomic.Int64
	last.Store(time.Now().UnixNano())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var count atomic.Int64
	for _, s := range []*testServer{a, b, c} {
		n := s.Node
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					key := fmt.Sprintf("w/%s/%d/%d", n.o.Name, w, i)
					_, ok, err := n.Commit(ctx, map[string]int64{key: 0}, map[string][]byte{key: []byte("x")}, nil)
					if err == nil && ok {
						mu.Lock()
						acked[key] = true
						mu.Unlock()
						now := time.Now().UnixNano()
						if was := last.Swap(now); now-was > gap.Load() {
							gap.Store(now - was)
						}
						count.Add(1)
					} else if errors.Is(err, mfa.ErrUnavailable) && n.ctx.Err() != nil {
						return // the killed one
					}
				}
			})
		}
	}
	await := func(n int64) { eventually(t, 20*time.Second, "writes go on", func() bool { return count.Load() > n }) }
	await(300)
	a.crash()
	await(count.Load() + 300)
	m := masterOf(t, b, c)
	cancel()
	wg.Wait()
	t.Logf("the longest gap in writes: %s; %d acknowledged", time.Duration(gap.Load()).Round(time.Millisecond), len(acked))
	a.open()
	if _, err := a.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key := range acked {
		if localValue(t, a.Node, key) == "" {
			t.Fatalf("%s was acknowledged and is not on the restarted server", key)
		}
	}
	if st := a.status(); st.Role != "replica" || !st.Voter || st.Master != m.o.Name {
		t.Errorf("the old master says %+v", st)
	}

	// Planned: the master moves, and goes back.
	must(t, m.MoveMaster(t.Context(), a.id()))
	eventually(t, 5*time.Second, "a leads", func() bool { return a.status().Role == "master" && m.status().Role == "replica" })
	put(t, m.Node, "u/3", "three")
	if _, err := m.AddLearner(t.Context(), "d", "https://127.0.0.1:1"); !errors.Is(err, ErrNotMaster) {
		t.Errorf("a replica adds a member: %v, want ErrNotMaster", err)
	}

	// All but one are gone, and that one is restarted.
	b.kill()
	a.kill()
	took := eventually(t, 3*time.Second, "the probe says that there is no master", func() bool { return !c.status().Quorum })
	t.Logf("no quorum noticed after %s", took.Round(time.Millisecond))
	refusedSoon(t, c.Node)
	c.kill()
	start := time.Now()
	c.open()
	t.Logf("opened alone in %s", time.Since(start).Round(time.Millisecond))
	if v := localValue(t, c.Node, "u/1"); v != "one" {
		t.Errorf("restarted alone it has %q", v)
	}
	if st := c.status(); st.Role != "replica" || !st.Voter || st.Voters != 3 || !st.LastContact.IsZero() {
		t.Errorf("restarted alone it says %+v", st)
	}
	refusedSoon(t, c.Node)
	b.open()
	eventually(t, 20*time.Second, "two of three are enough", func() bool { return c.status().Quorum && !c.status().LastContact.IsZero() })
	if v, _ := get(t, c.Node, "u/3"); v != "three" {
		t.Errorf("what two have acknowledged: %q", v)
	}
	put(t, c.Node, "u/4", "four")
}

// refusedSoon checks that a write without a master is refused, and surely not written.
func refusedSoon(t *testing.T, n *Node) {
	t.Helper()
	start := time.Now()
	_, _, err := n.Commit(t.Context(), nil, map[string][]byte{"never": []byte("x")}, nil)
	if took := time.Since(start); !errors.Is(err, mfa.ErrUnavailable) || took > 2500*time.Millisecond {
		t.Errorf("without a master: %v after %s, want ErrUnavailable within 2 s", err, took)
	}
}

func TestLearnerWithDeadMaster(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	put(t, a.Node, "u/1", "one")
	b := g.server("b").join(a)
	eventually(t, 5*time.Second, "b knows its master", func() bool { return b.status().Quorum && b.status().Master == "a" })
	a.crash()
	start := time.Now()
	_, _, err := b.Commit(t.Context(), nil, map[string][]byte{"never": []byte("x")}, nil)
	if took := time.Since(start); took > 2500*time.Millisecond || !errors.Is(err, mfa.ErrUnavailable) && !errors.Is(err, mfa.ErrUnknownOutcome) {
		t.Errorf("a write as the master dies: %v after %s", err, took)
	}
	took := eventually(t, 3*time.Second, "the probe says that there is no master", func() bool { return !b.status().Quorum })
	t.Logf("no quorum noticed after %s more", took.Round(time.Millisecond))
	refusedSoon(t, b.Node)
	if v := localValue(t, b.Node, "u/1"); v != "one" {
		t.Errorf("the local copy has %q", v)
	}
	b.kill()
	b.open()
	if v := localValue(t, b.Node, "u/1"); v != "one" {
		t.Errorf("restarted alone, the local copy has %q", v)
	}
	if st := b.status(); st.Role != "replica" || st.Voter || !st.LastContact.IsZero() {
		t.Errorf("restarted alone, it says %+v", st)
	}
	refusedSoon(t, b.Node)
	a.open()
	eventually(t, 20*time.Second, "the master is found again", func() bool { return b.status().Quorum && b.lost() == nil && !b.status().LastContact.IsZero() })
	put(t, b.Node, "u/2", "two")
	if v, _ := get(t, a.Node, "u/2"); v != "two" {
		t.Errorf("the master has %q", v)
	}
}

func TestRemoveAndJoinAgain(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	b := g.server("b").join(a)
	ids := map[string]bool{b.id(): true}
	for round := range 5 {
		key := fmt.Sprintf("u/%d", round)
		must(t, a.Remove(t.Context(), b.id()))
		must(t, a.Remove(t.Context(), b.id())) // twice is no error
		select {
		case <-b.Removed():
		case <-time.After(10 * time.Second):
			t.Fatal("the removed server never heard of it")
		}
		if st := b.status(); st.Role != "removed" {
			t.Errorf("the removed server says %+v", st)
		}
		if _, _, err := b.Get(t.Context(), "x"); !errors.Is(err, mfa.ErrUnavailable) {
			t.Errorf("a read on the removed server: %v", err)
		}
		b.kill()
		put(t, a.Node, key, "x")
		was := b.copyOnDisk()
		b.join(a)
		if localValue(t, b.Node, key) != "x" || ids[b.id()] {
			t.Fatalf("round %d: member %s, %q", round, b.id(), localValue(t, b.Node, key))
		}
		ids[b.id()] = true
		if now := b.copyOnDisk(); now == was {
			t.Errorf("round %d: still the folder %s", round, now)
		}
		if left, _ := filepath.Glob(filepath.Join(b.o.DataDir, dbDirName, "*")); len(left) != 1 {
			t.Errorf("round %d: databases left: %v", round, left)
		}
	}
}

func (s *testServer) copyOnDisk() string {
	f, err := readEpochFile(s.o.DataDir, s.o.Verify)
	must(s.g.t, err)
	return f.Copy
}

// TestInterruptedJoin stops a server while it joins; its folder is as before, and the next
// join begins anew.
func TestInterruptedJoin(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	put(t, a.Node, "u/1", "one")
	b := g.server("b")
	info, err := a.AddLearner(t.Context(), "b", b.o.Peer)
	must(t, err)
	n, err := Join(t.Context(), b.o, info)
	b.up(n, err)
	b.kill()
	if _, err := Open(t.Context(), b.o); !errors.Is(err, ErrEmpty) {
		t.Errorf("open after an interrupted join: %v, want ErrEmpty", err)
	}
	if _, err := Found(t.Context(), b.o); err == nil {
		t.Error("a group was founded over an interrupted join")
	}
	if _, err := Join(t.Context(), b.o, JoinInfo{Group: "other", Epoch: 1, ClusterID: info.ClusterID}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("join another group: %v, want ErrInvalid", err)
	}
	b.join(a)
	if v := localValue(t, b.Node, "u/1"); v != "one" {
		t.Errorf("after the second join: %q", v)
	}
	b.kill()
	b.open()
}

// TestTwoJoinAtOnce: the list of members that the first was told is out of date when it starts.
func TestTwoJoinAtOnce(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	b, c := g.server("b"), g.server("c")
	infoB, err := a.AddLearner(t.Context(), "b", b.o.Peer)
	must(t, err)
	infoC, err := a.AddLearner(t.Context(), "c", c.o.Peer)
	must(t, err)
	n, err := Join(t.Context(), b.o, infoB)
	b.up(n, err)
	m, err := Join(t.Context(), c.o, infoC)
	c.up(m, err)
	must(t, n.CatchUp(t.Context(), func(Progress) {}))
	must(t, m.CatchUp(t.Context(), func(Progress) {}))
}

// TestForeignPeer: a member of another cluster gets no further than the header.
func TestForeignPeer(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	conf, err := a.o.PeerTLS.info().ClientConfig()
	must(t, err)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.o.Peer+"/raft", nil)
	must(t, err)
	req.Header.Set(clusterHeader, "1234567890abcdef")
	resp, err := client.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusPreconditionFailed || a.status().Foreign != 1 {
		t.Errorf("status %s, %d counted, want 412 and 1", resp.Status, a.status().Foreign)
	}
}

// TestAddressOfTheFounder: a server that was founded alone gets a peer port later.
func TestAddressOfTheFounder(t *testing.T) {
	g := newGroup(t)
	a := g.server("a")
	alone := a.o
	alone.Peer, alone.PeerTLS = "", PeerTLS{}
	n, err := Found(t.Context(), alone)
	must(t, err)
	if _, err := n.AddLearner(t.Context(), "b", "https://127.0.0.1:1"); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a server without peer port adds a member: %v, want ErrInvalid", err)
	}
	n.Close()
	a.open()
	must(t, a.UpdatePeerURL(t.Context()))
	members, err := a.Members()
	must(t, err)
	if len(members) != 1 || members[0].PeerURL != a.o.Peer {
		t.Errorf("members %+v, want the address %s", members, a.o.Peer)
	}
	b := g.server("b").join(a)
	put(t, b.Node, "u/1", "one")
}

// TestJoinBySnapshot: the log of a group that was restored begins at a snapshot, so that a
// new member gets the whole database as a file.
func TestJoinBySnapshot(t *testing.T) {
	g := newGroup(t)
	source := newNode(t)
	big := make([]byte, 1000)
	for i := range 200 {
		puts := map[string][]byte{}
		for j := range 50 {
			puts[fmt.Sprintf("u/%d/%d", i, j)] = big
		}
		if _, ok, err := source.Commit(t.Context(), nil, puts, nil); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	file := filepath.Join(t.TempDir(), "snapshot")
	f, err := os.Create(file)
	must(t, err)
	_, err = source.Snapshot(t.Context(), f)
	must(t, err)
	must(t, f.Close())

	a := g.server("a")
	must(t, RestoreInto(t.Context(), a.o, Restore{Snapshot: file, Epoch: 7, DecidedBy: "restore"}))
	a.open()
	rev := put(t, a.Node, "last", "one")
	b := g.server("b")
	info, err := a.AddLearner(t.Context(), "b", b.o.Peer)
	must(t, err)
	if info.Epoch != 7 || info.Records != 10001 || info.Bytes < 10_000_000 || info.Revision != rev {
		t.Errorf("told to join %+v", info)
	}
	n, err := Join(t.Context(), b.o, info)
	b.up(n, err)
	var told []Progress
	must(t, n.CatchUp(t.Context(), func(p Progress) { told = append(told, p) }))
	if end := told[len(told)-1]; end.Records != info.Records || end.TotalRecords != info.Records || end.Revision < end.Target {
		t.Errorf("at the end the progress was %+v", end)
	}
	if b.Epoch() != 7 || localValue(t, b.Node, "last") != "one" || len(localValue(t, b.Node, "u/199/49")) != 1000 {
		t.Error("the copy is not complete")
	}
	must(t, a.Promote(t.Context(), b.id()))
	put(t, b.Node, "more", "two")
	b.kill()
	b.open()
	if localValue(t, b.Node, "more") == "" {
		if _, err := b.Barrier(t.Context()); err != nil || localValue(t, b.Node, "more") == "" {
			t.Error("after a restart a write is missing", err)
		}
	}
}
