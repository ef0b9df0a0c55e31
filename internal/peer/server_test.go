package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

func issue(t *testing.T, ca pki.CA, name string) *tls.Certificate {
	t.Helper()
	return issueAt(t, ca, name, time.Now())
}

func issueAt(t *testing.T, ca pki.CA, name string, at time.Time) *tls.Certificate {
	t.Helper()
	p, err := ca.Issue(pki.Subject{Name: name, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, at)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func newCA(t *testing.T) pki.CA {
	t.Helper()
	ca, err := pki.NewCA("corp", time.Now().AddDate(0, 0, -100))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// Who is let in: a certificate of the group's CA with a key on record, and the epoch of now.
func TestWhoIsLetIn(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	own, member, stolen, foreign := issue(t, ca, "n1"), issue(t, ca, "n2"), issue(t, ca, "n2"), issue(t, other, "n2")
	known := map[string]string{
		pki.KeyDigest(own.Leaf.RawSubjectPublicKeyInfo):    "n1",
		pki.KeyDigest(member.Leaf.RawSubjectPublicKeyInfo): "n2",
	}
	var reached, removed, unsure atomic.Bool
	var told, heard atomic.Int32
	var ahead atomic.Value
	allow := func(d string) (string, bool) {
		n, ok := known[d]
		return n, ok && !(n == "n2" && removed.Load())
	}
	h := func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			reached.Store(true)
			group.WriteAnswer(w, Caller(r.Context()), nil)
		})
	}
	s := &Server{Allow: allow, Sure: func() bool { return !unsure.Load() }, Epoch: func() uint64 { return 3 }, Role: func(string) string { return mfa.RoleServer }, Passed: []string{"/x"}, Raft: h, RaftPaths: []string{"/raft", "/raft/"}, API: h,
		Tell:        func() (group.SignedEpoch, error) { told.Add(1); return group.SignedEpoch{}, nil },
		Testify:     func() Testimony { return Testimony{[]group.SignedEpoch{{Signature: []byte("told")}}} },
		Hear:        func(t Testimony) error { heard.Add(int32(len(t.Epochs))); return nil },
		Ahead:       func(name string) { ahead.Store(name) },
		Certificate: func() (*tls.Certificate, error) { return own, nil }, Pool: ca.Pool(), Log: slog.New(slog.DiscardHandler)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	call := func(cert *tls.Certificate, epoch uint64, path string) (string, error) {
		c := NewClient(func() (*tls.Certificate, error) { return cert, nil }, ca.Pool(), func(d string) (string, bool) { n, ok := known[d]; return n, ok }, func() uint64 { return epoch })
		defer c.Close()
		var name string
		return name, c.Call(t.Context(), l.Addr().String(), http.MethodGet, path, nil, &name)
	}
	for _, c := range []struct {
		name  string
		cert  *tls.Certificate
		epoch uint64
		is    error // nil with in: let in; nil without: refused in the handshake
		in    bool
	}{
		{"a member", member, 3, nil, true},
		{"a member that has no epoch yet", member, 0, nil, true},
		{"a member that knows a higher epoch", member, 4, nil, true},
		{"a lower epoch", member, 2, group.ErrEpochEnded, false},
		{"certificate of the group's CA, key of nobody", stolen, 3, group.ErrNotMember, false},
		{"a key of nobody in this epoch, of a caller that knows a higher one", stolen, 4, mfa.ErrUnavailable, false},
		{"certificate of another CA", foreign, 3, nil, false},
		{"no certificate", &tls.Certificate{}, 3, nil, false},
	} {
		for _, path := range []string{"/raft/stream/message", "/peer/v1/report"} {
			reached.Store(false)
			_, err := call(c.cert, c.epoch, path)
			if c.in != (err == nil) || c.is != nil && !errors.Is(err, c.is) || reached.Load() != c.in {
				t.Errorf("%s: %s: %v, reached the handler: %v", c.name, path, err, reached.Load())
			}
		}
	}
	if name := ahead.Load(); name != "n2" {
		t.Errorf("ahead of this server was %v", name)
	}
	// A server of an epoch that ended is told so, a stranger nothing.
	for _, c := range []struct {
		cert *tls.Certificate
		told int32
	}{{member, 1}, {stolen, 1}, {foreign, 1}} {
		if _, err := call(c.cert, 2, PathEpoch); told.Load() != c.told || errors.Is(err, group.ErrEpochEnded) {
			t.Errorf("told its epoch %d times, want %d: %v", told.Load(), c.told, err)
		}
	}
	if _, err := call(stolen, 4, "/x"); errors.Is(err, group.ErrNotMember) || !errors.Is(err, group.ErrStranger) {
		t.Errorf("a server of a later epoch is told that it is no member: %v", err)
	}
	// It may send what others have signed, and is told nothing.
	for _, c := range []struct {
		cert        *tls.Certificate
		reads, says bool
	}{{member, true, true}, {stolen, false, true}, {foreign, false, false}} {
		client := NewClient(func() (*tls.Certificate, error) { return c.cert, nil }, ca.Pool(), func(d string) (string, bool) { n, ok := known[d]; return n, ok }, func() uint64 { return 4 })
		var out Testimony
		err := client.Call(t.Context(), l.Addr().String(), http.MethodGet, PathTestimony, nil, &out)
		if c.reads != (err == nil && len(out.Epochs) == 1) {
			t.Errorf("%s reads %+v, %v", c.cert.Leaf.Subject, out, err)
		}
		before := heard.Load()
		err = client.Call(t.Context(), l.Addr().String(), http.MethodPost, PathTestimony, Testimony{make([]group.SignedEpoch, 2)}, nil)
		if c.says != (err == nil && heard.Load() == before+2) {
			t.Errorf("%s says: %v, %d heard", c.cert.Leaf.Subject, err, heard.Load()-before)
		}
		client.Close()
	}
	if _, err := call(member, 2, PathJoin); err != nil {
		t.Errorf("a server of an epoch that ended asks to join: %v", err)
	}
	unsure.Store(true)
	if _, err := call(stolen, 3, "/x"); errors.Is(err, group.ErrNotMember) || !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("a server without contact says %v", err)
	}

	// A connection that lasts ends when the record goes.
	unsure.Store(false)
	c := NewClient(func() (*tls.Certificate, error) { return member, nil }, ca.Pool(), allow, func() uint64 { return 3 })
	defer c.Close()
	if err := c.Call(t.Context(), l.Addr().String(), http.MethodGet, "/x", nil, nil); err != nil {
		t.Fatal(err)
	}
	removed.Store(true)
	if err := c.Call(t.Context(), l.Addr().String(), http.MethodGet, "/x", nil, nil); !errors.Is(err, group.ErrNotMember) {
		t.Errorf("after its record was removed: %v", err)
	}
	// The client believes nobody whose key is not on record.
	delete(known, pki.KeyDigest(own.Leaf.RawSubjectPublicKeyInfo))
	if _, err := call(member, 3, "/x"); err == nil || errors.Is(err, group.ErrNotMember) {
		t.Errorf("a server of nobody's: %v", err)
	}
}

// A certificate that has expired opens the path where it is renewed, if its key is on record
// and it is of the group's CA, and nothing else; and its connection does not last.
func TestExpiredCertificate(t *testing.T) {
	ca, long := newCA(t), time.Now().AddDate(0, 0, -91)
	own, member, stolen, foreign := issue(t, ca, "n1"), issueAt(t, ca, "w1", long), issueAt(t, ca, "w1", long), issueAt(t, newCA(t), "w1", long)
	digest := func(c *tls.Certificate) string { return pki.KeyDigest(c.Leaf.RawSubjectPublicKeyInfo) }
	known := map[string]string{digest(own): "n1", digest(member): "w1"}
	allow := func(d string) (string, bool) { n, ok := known[d]; return n, ok }
	h := func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { group.WriteAnswer(w, Caller(r.Context()), nil) })
	}
	s := &Server{Allow: allow, Sure: func() bool { return true }, Epoch: func() uint64 { return 3 }, Role: func(string) string { return mfa.RoleServer }, Passed: []string{"/x"}, Raft: h, RaftPaths: []string{"/raft/"}, API: h,
		Tell: func() (group.SignedEpoch, error) { return group.SignedEpoch{}, nil }, Ahead: func(string) {},
		Testify: func() Testimony { return Testimony{} }, Hear: func(Testimony) error { return nil },
		Certificate: func() (*tls.Certificate, error) { return own, nil }, Pool: ca.Pool(), Log: slog.New(slog.DiscardHandler)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	shown := member
	c := NewClient(func() (*tls.Certificate, error) { return shown, nil }, ca.Pool(), allow, func() uint64 { return 3 })
	defer c.Close()
	call := func(path string) (string, error) {
		var name string
		return name, c.Call(t.Context(), l.Addr().String(), http.MethodPost, path, struct{}{}, &name)
	}
	for _, path := range []string{"/raft/stream/message", PathReport, PathEpoch, PathTestimony, PathJoin} {
		if _, err := call(path); !errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, group.ErrNotMember) {
			t.Errorf("%s with a certificate that has expired: %v", path, err)
		}
	}
	if _, err := call(PathCertificate); err != nil {
		t.Errorf("its renewal: %v", err)
	}
	shown = issue(t, ca, "w1")
	known[digest(shown)] = "w1"
	if _, err := call(PathReport); err != nil {
		t.Errorf("with the new one: %v", err)
	}
	c.Close()
	shown = stolen
	if _, err := call(PathCertificate); !errors.Is(err, group.ErrNotMember) {
		t.Errorf("a key of nobody: %v", err)
	}
	shown = foreign
	if _, err := call(PathCertificate); err == nil || errors.Is(err, group.ErrNotMember) {
		t.Errorf("a certificate of another CA: %v", err)
	}
}
