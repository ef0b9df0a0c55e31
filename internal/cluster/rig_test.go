package cluster

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

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
