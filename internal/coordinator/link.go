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
	"slices"
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
	group    string
	given    []string // URLs, without a slash at their end, as the node file has them
	ca       *x509.Certificate
	http     *http.Client
	urls     atomic.Pointer[[]string] // given, and those that were learnt
	good     atomic.Pointer[string]   // the URL that answered last
	patience time.Duration
}

// defaultPatience is how long one coordinator may take while there is another to ask: one that
// hangs must not keep a server from the others.
const defaultPatience = 4 * time.Second

// NewLink returns a link for a server of group, which shows certificate and believes a
// coordinator with a certificate of ca.
func NewLink(groupName string, urls []string, ca *x509.Certificate, certificate func() (*tls.Certificate, error)) *Link {
	l := &Link{group: groupName, ca: ca, patience: defaultPatience}
	for _, u := range urls {
		l.given = append(l.given, strings.TrimRight(u, "/"))
	}
	l.urls.Store(&l.given)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	l.http = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols, RootCAs: pool,
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
func (l *Link) URLs() []string { return *l.urls.Load() }

// Learn adds the addresses (host:port) that the coordinators themselves tell, in place of
// those that were learnt before.
func (l *Link) Learn(addresses []string) {
	urls := slices.Clone(l.given)
	for _, u := range URLs(addresses) {
		if !slices.Contains(urls, u) {
			urls = append(urls, u)
		}
	}
	l.urls.Store(&urls)
}

// URLs are those of coordinators at addresses (host:port).
func URLs(addresses []string) (urls []string) {
	for _, a := range addresses {
		urls = append(urls, "https://"+strings.TrimSuffix(a, ":443"))
	}
	return urls
}

// Close ends idle connections.
func (l *Link) Close() { l.http.CloseIdleConnections() }

// Report sends a heartbeat and returns who is master, and that with its signature.
func (l *Link) Report(ctx context.Context, h registry.Heartbeat) (st Standing, s Signed, err error) {
	if err := l.call(ctx, http.MethodPost, PathReport, h, &s); err != nil {
		return st, s, err
	}
	if st, err = s.OpenBy(l.ca); err == nil {
		err = l.own(st.Group, nil)
	}
	if err == nil {
		l.Learn(st.Coordinators)
	}
	return st, s, err
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
	urls := l.order()
	for i, u := range urls {
		decided, err := l.one(ctx, i+1 < len(urls) && path != PathLetters, method, u+path, body, out)
		if decided {
			l.good.Store(&u)
			return err
		}
		tried = errors.Join(tried, fmt.Errorf("%s: %w", u, cause(err)))
		if ctx.Err() != nil {
			break
		}
	}
	if tried == nil {
		tried = errors.New("coordinator.urls names none")
	}
	return fmt.Errorf("%w: %w (%w)", errNoCoordinator, tried, mfa.ErrUnavailable)
}

// order is the URLs, with the one first that answered last.
func (l *Link) order() []string {
	urls := slices.Clone(l.URLs())
	if good := l.good.Load(); good != nil {
		if i := slices.Index(urls, *good); i > 0 {
			urls = slices.Insert(slices.Delete(urls, i, i+1), 0, *good)
		}
	}
	return urls
}

// one asks one coordinator, and reports whether that has decided. A call that may have been
// carried out and is asked again is the same call: the coordinators see to that.
func (l *Link) one(ctx context.Context, others bool, method, u string, body []byte, out any) (decided bool, err error) {
	if others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.patience)
		defer cancel()
	}
	r, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(GroupHeader, l.group)
	resp, err := l.http.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return false, err
	}
	err = group.ReadAnswer(resp, out)
	undecided := resp.StatusCode == http.StatusOK && err != nil || errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, mfa.ErrUnknownOutcome)
	return !undecided, err
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
