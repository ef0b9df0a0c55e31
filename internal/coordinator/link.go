package coordinator

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/mfa"
)

// Link is a server's connection to the independent coordinator of its group. It is safe
// for concurrent use.
type Link struct {
	group string
	urls  []string // without a slash at their end
	ca    *x509.Certificate
	http  *http.Client
	good  atomic.Int64 // index of the URL that answered last
}

// NewLink returns a link for a server of group, which shows certificate and believes a
// coordinator with a certificate of ca.
func NewLink(groupName string, urls []string, ca *x509.Certificate, certificate func() (*tls.Certificate, error)) *Link {
	l := &Link{group: groupName, ca: ca}
	for _, u := range urls {
		l.urls = append(l.urls, strings.TrimRight(u, "/"))
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	l.http = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate() },
			VerifyConnection: func(s tls.ConnectionState) error {
				if !registry.IsCoordinator(s.PeerCertificates[0]) {
					return fmt.Errorf("certificate of %q: not a coordinator's", s.PeerCertificates[0].Subject.CommonName)
				}
				return nil
			}},
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return l
}

// URLs are the coordinator's addresses.
func (l *Link) URLs() []string { return l.urls }

// Close ends idle connections.
func (l *Link) Close() { l.http.CloseIdleConnections() }

// Report sends a heartbeat and returns who is master, and that with its signature.
func (l *Link) Report(ctx context.Context, h registry.Heartbeat) (st Standing, s Signed, err error) {
	if err := l.call(ctx, http.MethodPost, PathReport, h, &s); err != nil {
		return st, s, err
	}
	st, err = s.OpenBy(l.ca)
	return st, s, l.own(st.Group, err)
}

// Master asks who is master.
func (l *Link) Master(ctx context.Context) (st Standing, s Signed, err error) {
	if err := l.call(ctx, http.MethodGet, PathMaster+"?group="+url.QueryEscape(l.group), nil, &s); err != nil {
		return st, s, err
	}
	st, err = s.OpenBy(l.ca)
	return st, s, l.own(st.Group, err)
}

func (l *Link) own(name string, err error) error {
	if err == nil && name != l.group {
		err = fmt.Errorf("%w: the coordinator answers for group %q", mfa.ErrInvalid, name)
	}
	return err
}

// Issue has a certificate (PEM) issued.
func (l *Link) Issue(ctx context.Context, r registry.IssueRequest) (cert []byte, err error) {
	return cert, l.call(ctx, http.MethodPost, PathIssue, r, &cert)
}

// Announce tells the coordinator that a joining code was made.
func (l *Link) Announce(ctx context.Context, id string, expires time.Time) error {
	return l.call(ctx, http.MethodPost, PathJoining, JoiningCode{group.CodeDigest(id), expires}, nil)
}

// Letters waits for requests of new servers, about 20 s; none is no error.
func (l *Link) Letters(ctx context.Context) (all []registry.Letter, err error) {
	return all, l.call(ctx, http.MethodPost, PathLetters, struct{}{}, &all)
}

// Reply answers one.
func (l *Link) Reply(ctx context.Context, r registry.Reply) error {
	return l.call(ctx, http.MethodPost, PathReply, r, nil)
}

// Grant asks for the next epoch. The error wraps mfa.ErrConflict if the coordinator refuses,
// and mfa.ErrUnavailable if none answers.
func (l *Link) Grant(ctx context.Context, r registry.GrantRequest) (g registry.Grant, s SignedGrant, err error) {
	if err := l.call(ctx, http.MethodPost, PathGrant, r, &s); err != nil {
		return g, s, err
	}
	g, err = s.OpenBy(l.ca)
	return g, s, l.own(g.Group, err)
}

// call asks the coordinator that answered last, then the others, until one decides.
func (l *Link) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	var tried error
	first := l.good.Load()
	for i := range l.urls {
		at := (int(first) + i) % len(l.urls)
		r, err := http.NewRequestWithContext(ctx, method, l.urls[at]+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(GroupHeader, l.group)
		resp, err := l.http.Do(r) //nolint:bodyclose // ReadAnswer closes it
		if err == nil {
			if err = group.ReadAnswer(resp, out); err == nil || !errors.Is(err, mfa.ErrUnavailable) {
				l.good.Store(int64(at))
				return err
			}
		}
		tried = errors.Join(tried, fmt.Errorf("%s: %w", l.urls[at], cause(err)))
		if ctx.Err() != nil {
			break
		}
	}
	if tried == nil {
		tried = errors.New("coordinator.urls names none")
	}
	return fmt.Errorf("%w: %w (%w)", errNoCoordinator, tried, mfa.ErrUnavailable)
}

// errNoCoordinator: the next step depends on what each of them said.
var errNoCoordinator = errors.New("no coordinator answers")

// cause is an error without the URL that net/http puts before it.
func cause(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}
