// Package peer is the port on which the servers of a group speak to each other: TLS 1.3,
// with certificates of the group both ways. A certificate alone opens nothing: its key must
// be that of a server on record. etcd's traffic and our own calls come through here.
package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// EpochHeader is the epoch that a caller knows. Who knows a lower one than this server is
// refused, unless it asks for the epoch or to join it. Who knows a higher one is never told
// that it is no member: the records here are of an epoch that ended.
const EpochHeader = "X-Countersign-Epoch"

// headerTimeout is how long a caller may take for the head of a request. There are no
// other time-outs: etcd's requests last as long as the connection.
const headerTimeout = 10 * time.Second

// Server answers on the peer port. All fields must be set.
type Server struct {
	// Allow returns the name of the server on record whose key has that digest (pki.KeyDigest).
	Allow func(digest string) (name string, ok bool)
	// Role is that of a server on record: one of mfa.Role...
	Role func(name string) string
	// Sure reports whether the records that Allow goes by are up to date.
	Sure func() bool
	// Epoch is that of this server's database; 0: it has none yet.
	Epoch func() uint64
	// Raft serves RaftPaths (those that end in "/" with all below); nil: not yet.
	Raft      func() http.Handler
	RaftPaths []string
	// API serves everything else: our own paths, each to the roles that access lists, and those
	// that begin with one of Passed, to everybody on record; nil: not yet. Caller names who asks.
	Passed []string
	API    func() http.Handler
	// Tell says which epoch this server's database is of, at PathEpoch: also to servers that
	// know a lower one, which have to learn it from somebody, and while this one starts.
	Tell func() (group.SignedEpoch, error)
	// Ahead is told of a server that knows a higher epoch than this one.
	Ahead func(name string)
	// Testify returns what is told at PathTestimony; Hear takes what somebody sends there, who
	// may be on no record.
	Testify func() Testimony
	Hear    func(t Testimony) error
	// Certificate is this server's; Pool has the group's CA.
	Certificate func() (*tls.Certificate, error)
	Pool        *x509.CertPool
	Log         *slog.Logger

	// Hello is what this server tells of itself. Fits refuses a caller whose program is too
	// old for the group, by the schema that it knows; nil: none is.
	Hello Hello
	Fits  func(schema int, version string) error

	refusals  rate.Sometimes
	strangers strangers
}

type callerKey struct{}

// Caller is the server that sent a request which came through a Server.
func Caller(ctx context.Context) string {
	name, _ := ctx.Value(callerKey{}).(string)
	return name
}

// tlsConfig demands a certificate of the group. Whether the key is on record is asked with
// each request, so that a server that was taken out is told so, and because the records
// may change while a connection lasts. One that has expired opens PathCertificate alone: a
// witness that was switched off for long has it renewed there.
func (s *Server) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"http/1.1"},
		ClientAuth:     tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.Certificate() },
		VerifyConnection: func(c tls.ConnectionState) error {
			_, err := pki.VerifyCaller(c, s.Pool, time.Now())
			return err
		},
	}
}

// verify checks that the other side's key is on record.
func verify(c tls.ConnectionState, allow func(string) (string, bool)) error {
	if len(c.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	leaf := c.PeerCertificates[0]
	digest := pki.KeyDigest(leaf.RawSubjectPublicKeyInfo)
	if _, ok := allow(digest); !ok {
		return fmt.Errorf("certificate of %q has the key %s, which is that of no server on record", leaf.Subject.CommonName, digest)
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.current(w, r); err != nil {
		group.WriteAnswer(w, nil, err)
		return
	}
	if r.URL.Path == PathTestimony && r.Method == http.MethodPost {
		var in Testimony
		err := group.ReadBody(r, &in)
		if err == nil {
			err = s.Hear(in)
		}
		group.WriteAnswer(w, struct{}{}, err)
		return
	}
	name, err := s.admit(r)
	if err == nil {
		err = s.may(name, r.URL.Path)
	}
	if err != nil {
		s.refusals.Do(func() {
			s.Log.Warn("peer port refused a request", "from", r.RemoteAddr, "path", r.URL.Path, "error", err)
		})
		group.WriteAnswer(w, nil, err)
		return
	}
	if r.URL.Path == PathEpoch {
		told, err := s.Tell()
		group.WriteAnswer(w, told, err)
		return
	}
	if r.URL.Path == PathTestimony {
		group.WriteAnswer(w, s.Testify(), nil)
		return
	}
	h := s.API()
	if s.raft(r.URL.Path) {
		h = s.Raft()
		defer func() { // etcd ends a connection by a panic
			if p := recover(); p != nil {
				s.Log.Debug("a replication connection was ended", "from", name, "path", r.URL.Path, "reason", p)
				panic(http.ErrAbortHandler)
			}
		}()
	}
	if h == nil {
		group.WriteAnswer(w, nil, fmt.Errorf("this server is starting: %w", mfa.ErrUnavailable))
		return
	}
	h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, name)))
}

// current refuses a caller whose certificate has expired everything but to have it renewed,
// and ends its connection, so that it comes again with the new one.
func (s *Server) current(w http.ResponseWriter, r *http.Request) error {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !time.Now().After(r.TLS.PeerCertificates[0].NotAfter) {
		return nil
	}
	w.Header().Set("Connection", "close")
	if r.URL.Path == PathCertificate {
		return nil
	}
	return fmt.Errorf("the certificate of %.64q has expired: %w; it renews itself while there is a master", r.TLS.PeerCertificates[0].Subject.CommonName, mfa.ErrUnavailable)
}

// admit checks that the caller's key is on record, before anything else sees the request.
func (s *Server) admit(r *http.Request) (string, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return "", fmt.Errorf("%w: no certificate", mfa.ErrInvalid)
	}
	name, ok := s.Allow(pki.KeyDigest(r.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo))
	theirs, err := epochOf(r)
	if ours := s.Epoch(); !ok && err == nil && theirs > ours && ours > 0 {
		return "", fmt.Errorf("%w: the caller, whose certificate is of %q, tells epoch %d, and this server's records are of epoch %d",
			group.ErrStranger, r.TLS.PeerCertificates[0].Subject.CommonName, theirs, ours)
	}
	if !ok && !s.Sure() {
		return "", fmt.Errorf("%w here, but this server has no contact with the master: %w", group.ErrNotMember, mfa.ErrUnavailable)
	}
	if !ok {
		return "", fmt.Errorf("%w: certificate of %q", group.ErrNotMember, r.TLS.PeerCertificates[0].Subject.CommonName)
	}
	if err := s.understands(name, r); err != nil {
		return "", err
	}
	switch ours := s.Epoch(); {
	case err != nil:
		return "", fmt.Errorf("%w: server %s says epoch %q", mfa.ErrInvalid, name, r.Header.Get(EpochHeader))
	case theirs != 0 && theirs < ours && r.URL.Path != PathEpoch && r.URL.Path != PathJoin:
		return "", fmt.Errorf("%w: server %s knows epoch %d, this group is at epoch %d", group.ErrEpochEnded, name, theirs, ours)
	case theirs > ours && ours > 0:
		s.Ahead(name)
	}
	return name, nil
}

// epochOf returns the epoch that a caller knows; 0: it does not tell.
func epochOf(r *http.Request) (uint64, error) {
	text := r.Header.Get(EpochHeader)
	if text == "" {
		return 0, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

func (s *Server) raft(path string) bool {
	for _, p := range s.RaftPaths {
		if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// Serve answers on l until ctx is done, and then ends every connection.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.refusals = rate.Sometimes{First: 10, Interval: 10 * time.Second}
	handshakes := &rate.Sometimes{First: 10, Interval: 10 * time.Second}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: 32 << 10, TLSConfig: s.tlsConfig(),
		ErrorLog: slog.NewLogLogger(refusalLog{s.Log.Handler(), handshakes}, slog.LevelInfo)}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeTLS(l, "", "") }()
	select {
	case err := <-ended:
		return fmt.Errorf("peer port %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	_ = srv.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("peer port %s: %w", l.Addr(), err)
	}
	return nil
}

// refusalLog passes on some of what net/http says of handshakes that were refused: a server
// that is refused tries again many times a second.
type refusalLog struct {
	slog.Handler
	some *rate.Sometimes
}

// Handle drops what is of no interest: connections that end before they have said anything.
func (h refusalLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasSuffix(r.Message, ": EOF") || strings.Contains(r.Message, "connection reset") {
		return nil
	}
	var err error
	h.some.Do(func() { err = h.Handler.Handle(ctx, r) })
	return err
}
