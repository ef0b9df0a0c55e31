package directory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Step is one thing that Test tried.
type Step struct {
	Name     string        // "name lookup", "connection", "TLS", "service bind", ...
	Layer    string        // "settings", "name", "tcp", "tls", "ldap"
	Target   string        // address, URL or DN
	OK       bool          //
	Detail   string        // what was found; never a secret
	NextStep string        // the one thing to do, if not OK
	Duration time.Duration //
}

// Test tries d with connections of its own, layer by layer: every server up to the
// service bind, then, on the first that got so far, the search for login and, if a
// password is given, the bind as that user (which may count as a failed logon of theirs)
// and the groups. login and password may be empty. After a step that fails, those that
// need it are left out.
func Test(ctx context.Context, d mfa.Directory, login string, password secret.Text) []Step {
	s, err := compile(d)
	if err != nil {
		return []Step{{Name: "settings", Layer: "settings", Target: d.Name, Detail: err.Error(), NextStep: "correct the setting named"}}
	}
	t := &test{pool: newPool(s, time.Now, nil)}
	var ready *conn
	var on *server
	for _, server := range t.pool.servers {
		c := t.reach(ctx, server)
		switch {
		case c == nil:
		case ready == nil:
			ready, on = c, server
			defer c.close()
		default:
			c.close()
		}
	}
	if ready != nil && login != "" {
		t.signIn(ctx, on, ready, login, password)
	}
	return t.steps
}

// test collects steps.
type test struct {
	*pool
	steps []Step
}

// step runs one step. f returns what it found and, with an error, what to do.
func (t *test) step(ctx context.Context, name, layer, target string, f func(context.Context) (detail, next string, err error)) bool {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	start := time.Now()
	detail, next, err := f(ctx)
	s := Step{Name: name, Layer: layer, Target: target, OK: err == nil, Detail: detail, Duration: time.Since(start)}
	if err != nil {
		s.Detail, s.NextStep = err.Error(), next
	}
	t.steps = append(t.steps, s)
	return err == nil
}

// reach goes from the name to a connection that is bound as the service account.
func (t *test) reach(ctx context.Context, s *server) *conn {
	if _, err := netip.ParseAddr(s.host); err != nil {
		ok := t.step(ctx, "name lookup", "name", s.host, func(ctx context.Context) (string, string, error) {
			ips, err := net.DefaultResolver.LookupHost(ctx, s.host)
			return strings.Join(ips, " "), "correct the name in urls, or this machine's name servers", err
		})
		if !ok {
			return nil
		}
	}
	var w *wire
	ok := t.step(ctx, "connection", "tcp", s.hostPort(), func(ctx context.Context) (detail, next string, err error) {
		if w, err = dialTCP(ctx, s.hostPort()); err != nil {
			return "", "see whether the directory server runs and a firewall lets this server reach that port", timedOut(err, t.timeout)
		}
		return "connected to " + w.RemoteAddr().String(), "", nil
	})
	if !ok {
		return nil
	}
	c := t.secure(ctx, s, w)
	if c == nil || t.BindDN == "" {
		return c
	}
	ok = t.step(ctx, "service bind", "ldap", t.BindDN, func(ctx context.Context) (string, string, error) {
		err := t.serviceBind(ctx, s, c)
		return "bound to " + s.url, serviceBindAdvice(err), err
	})
	if !ok {
		c.close()
		return nil
	}
	return c
}

// secure starts TLS where the URL asks for it.
func (t *test) secure(ctx context.Context, s *server, w *wire) *conn {
	if s.up {
		ok := t.step(ctx, "StartTLS", "ldap", s.url, func(ctx context.Context) (string, string, error) {
			return "the server is ready for TLS", "give the directory server a certificate, or use ldaps:// in urls", timedOut(requestStartTLS(ctx, w), t.timeout)
		})
		if !ok {
			_ = w.Close()
			return nil
		}
	}
	if !s.tls && !s.up {
		return newConn(w, w, false)
	}
	var tc *tls.Conn
	ok := t.step(ctx, "TLS", "tls", s.hostPort(), func(ctx context.Context) (_, _ string, err error) {
		if tc, err = handshake(ctx, w, t.settings, s.host); err != nil {
			return "", tlsAdvice(err), timedOut(err, t.timeout)
		}
		return describeTLS(tc.ConnectionState()), "", nil
	})
	if !ok {
		_ = w.Close()
		return nil
	}
	return newConn(tc, w, true)
}

func describeTLS(st tls.ConnectionState) string {
	leaf := st.PeerCertificates[0]
	root := st.VerifiedChains[0][len(st.VerifiedChains[0])-1]
	return fmt.Sprintf("%s, certificate of %s, issued under %s, valid until %s", tls.VersionName(st.Version),
		printable(leaf.Subject.String(), 200), printable(root.Subject.String(), 200), leaf.NotAfter.UTC().Format(time.RFC3339))
}

// tlsAdvice tells what to do about a handshake that failed.
func tlsAdvice(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "put the PEM certificate of the authority that issued the server's certificate into ca_pem"
	case errors.As(err, &name):
		return "use a name in urls that the server's certificate holds, or have one issued with this name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the directory server's certificate, and compare the clocks"
	case errors.As(err, &record):
		return "this port does not speak TLS: use ldap:// with start_tls, or port 636 for ldaps://"
	case strings.Contains(err.Error(), "serial number"):
		return "replace the directory server's self-made certificate: its serial number is not valid (RFC 5280 section 4.1.2.2)"
	}
	return "see the directory server's TLS settings and log; it must offer TLS 1.2 or newer"
}

// signIn does what a check of login and password would.
func (t *test) signIn(ctx context.Context, s *server, c *conn, typed string, password secret.Text) {
	who, err := identify(typed)
	if err != nil {
		t.step(ctx, "login", "settings", typed, func(context.Context) (string, string, error) {
			return "", "give a login without spaces or control characters", err
		})
		return
	}
	if t.direct() {
		name := t.bindName(who)
		if password.Empty() || !t.userBind(ctx, s, c, name, password) || t.GroupAttr == "" {
			return
		}
	}
	var e *ldap.Entry
	found := t.step(ctx, "search", "ldap", t.filter.fill(who.login, who.user), func(ctx context.Context) (_, _ string, err error) {
		if e, err = t.find(ctx, s, c, who, t.attributes()); err != nil {
			return explain(err, searchAdvice(err), "check the login, user_filter and base_dn")
		}
		return "one entry: " + printable(e.DN, 400), "", nil
	})
	if !found {
		return
	}
	if !t.direct() && !password.Empty() && !t.userBind(ctx, s, c, e.DN, password) {
		return
	}
	if t.GroupAttr != "" {
		t.step(ctx, "groups", "ldap", t.GroupAttr, func(context.Context) (string, string, error) {
			g, err := t.groups(e)
			return groupList(g), "name another group_attribute", err
		})
	}
}

func (t *test) userBind(ctx context.Context, s *server, c *conn, name string, password secret.Text) bool {
	return t.step(ctx, "user bind", "ldap", printable(name, 400), func(ctx context.Context) (string, string, error) {
		err := sendable(password)
		if err == nil {
			err = t.bind(ctx, s, c, name, password)
		}
		if err != nil {
			return explain(err, bindAdvice(err), "try again with the user's password; if it is right, look at the account in the directory")
		}
		return "the password is right", "", nil
	})
}

// explain puts a Reason into words, and chooses the advice for it or for a fault.
func explain(err error, fault, reason string) (detail, next string, _ error) {
	var r mfa.Reason
	if !errors.As(err, &r) {
		return "", fault, err
	}
	switch r {
	case mfa.WrongPassword:
		err = fmt.Errorf("%w: the password is wrong (Active Directory says the same of a user that it does not know)", r)
	case mfa.NotInDirectory:
		err = fmt.Errorf("%w: no entry matches", r)
	case mfa.AmbiguousInDirectory:
		err = fmt.Errorf("%w: more than one entry matches", r)
	}
	return "", reason, err
}

func groupList(groups []string) string {
	const most = 20
	if len(groups) == 0 {
		return "none"
	}
	shown := groups[:min(len(groups), most)]
	return fmt.Sprintf("%d names: %s", len(groups), printable(strings.Join(shown, "; "), 2000))
}
