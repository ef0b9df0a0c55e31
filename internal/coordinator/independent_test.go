package coordinator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/pki"
	"countersign/internal/secret"
	"countersign/internal/store/storetest"
)

type trail struct{}

func (trail) Append(context.Context, ...mfa.Record) error { return nil }

// rig is an independent coordinator that serves on the loopback.
type rig struct {
	*registry.Service
	t    *testing.T
	http *httptest.Server
	url  string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	kv := &storetest.Memory{}
	keys, err := keyring.New(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ring := keyring.NewRing(keys)
	ca, err := registry.EnsureCA(t.Context(), kv, ring, "coordinator c1", time.Now().AddDate(0, 0, -100))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, Service: &registry.Service{Name: "c1", KV: kv, Ring: ring, CA: ca, Trail: trail{}, Limits: group.DefaultLimits,
		Now: time.Now, Log: slog.New(slog.DiscardHandler)}}
	r.http = httptest.NewUnstartedServer(Independent(r.Service, nil, nil))
	r.Addresses = []string{r.http.Listener.Addr().String()}
	pair, err := r.OwnCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	shown := r.pair(pair)
	r.http.TLS = ServerTLS(ca.Certificate(), func() *tls.Certificate { return &shown })
	r.http.TLS.Certificates = []tls.Certificate{shown} // or httptest has one of its own
	r.Begin()
	r.http.StartTLS()
	t.Cleanup(r.http.Close)
	r.url = "https://" + r.Addresses[0]
	return r
}

// pair is a certificate with the CA's behind it.
func (r *rig) pair(p pki.Pair) tls.Certificate {
	r.t.Helper()
	cert, err := p.TLS()
	if err != nil {
		r.t.Fatal(err)
	}
	cert.Certificate = append(cert.Certificate, r.CA.Certificate().Raw)
	return cert
}

// machine is one that is activated: its key, and what it has been given.
type machine struct {
	private secret.Text
	request group.Request
	code    group.Activation
	grant   group.Grant
}

func (r *rig) machine(code, name string) *machine {
	r.t.Helper()
	m := &machine{}
	var err error
	if m.code, err = group.ParseActivation(code); err != nil {
		r.t.Fatal(err)
	}
	var spki []byte
	if m.private, spki, err = pki.NewKey(); err != nil {
		r.t.Fatal(err)
	}
	m.request = group.Request{Code: m.code.ID, Name: name, Role: m.code.Role, Peer: "127.0.0.1:1", PublicKey: spki, Sign: make([]byte, 32), Wrap: "age1x", Version: "1"}
	m.request.Prove(m.code.Secret)
	return m
}

// link is the machine's, with the certificate that it was given.
func (r *rig) link(m *machine, groupName string) *Link {
	r.t.Helper()
	cert, err := tls.X509KeyPair(m.grant.Certificate, m.private.Expose())
	if err != nil {
		r.t.Fatal(err)
	}
	l := NewLink(groupName, []string{"https://127.0.0.1:1", r.url}, r.CA.Certificate(), func() (*tls.Certificate, error) { return &cert, nil })
	r.t.Cleanup(l.Close)
	return l
}

// founded is the first server of a group.
func (r *rig) founded(name string) (*machine, *Link) {
	r.t.Helper()
	code, _, err := r.CreateFoundingCode(r.t.Context(), "root", name, time.Minute)
	if err != nil {
		r.t.Fatal(err)
	}
	m := r.machine(code, "n1")
	c := NewClient(m.code)
	if p, err := c.Preview(r.t.Context(), m.request); err != nil || p.Group != name || p.Role != group.RoleFounder {
		r.t.Fatalf("preview %+v, %v", p, err)
	}
	if m.grant, err = c.Activate(r.t.Context(), m.request); err != nil {
		r.t.Fatal(err)
	}
	return m, r.link(m, name)
}

func beat(name, groupName string, epoch uint64) registry.Heartbeat {
	return registry.Heartbeat{Report: group.Report{Name: name, Group: groupName, Role: "master", Quorum: true, Epoch: epoch, Time: time.Now()}}
}

func TestIndependent(t *testing.T) {
	r := newRig(t)
	_, a := r.founded("a")
	m, b := r.founded("b")
	st, signed, err := a.Report(t.Context(), beat("n1", "a", 1))
	if err != nil || st.Name != "n1" || st.Epoch != 1 || st.Group != "a" {
		t.Fatalf("standing %+v, %v", st, err)
	}
	if again, _, err := b.Master(t.Context()); err != nil || again.Name != "" || again.Group != "b" {
		t.Errorf("the other group: %+v, %v", again, err)
	}
	other, err := pki.NewCA("x", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed.OpenBy(other.Certificate()); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a standing by another CA: %v", err)
	}
	signed.Standing = []byte(strings.Replace(string(signed.Standing), `"epoch":1`, `"epoch":2`, 1))
	if _, err := signed.OpenBy(r.CA.Certificate()); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a changed standing: %v", err)
	}
	if _, _, err := a.Grant(t.Context(), registry.GrantRequest{From: 1, Nonce: "0123456789abcdef"}); !errors.Is(err, mfa.ErrConflict) {
		t.Errorf("an epoch while the coordinator has just begun to listen: %v", err)
	}
	if _, _, err := r.link(m, "a").Report(t.Context(), beat("n1", "a", 1)); !errors.Is(err, group.ErrNotMember) {
		t.Errorf("a server of group b in the name of one of a: %v", err)
	}
	stranger := NewLink("a", []string{r.url}, r.CA.Certificate(), func() (*tls.Certificate, error) { return &tls.Certificate{}, nil })
	if _, _, err := stranger.Report(t.Context(), beat("n1", "a", 1)); !errors.Is(err, group.ErrNotMember) {
		t.Errorf("without a certificate: %v", err)
	}
	if _, err := stranger.Issue(t.Context(), registry.IssueRequest{}); !errors.Is(err, group.ErrNotMember) {
		t.Errorf("a certificate for a stranger: %v", err)
	}
	for path, want := range map[string]int{PathMaster + "?group=a": 200, PathMaster: 404, PathMaster + "?group=nobody": 404, "/": 404, "/peer/v1/report": 404, Prefix: 404} {
		resp, err := r.http.Client().Get(r.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, resp.Status, want)
		}
	}
}

// A server that has taken over the coordinator's address is not taken for it.
func TestLinkBelievesCoordinatorsOnly(t *testing.T) {
	r := newRig(t)
	m, _ := r.founded("a")
	cert, err := tls.X509KeyPair(m.grant.Certificate, m.private.Expose())
	if err != nil {
		t.Fatal(err)
	}
	impostor := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	impostor.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	impostor.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	impostor.StartTLS()
	defer impostor.Close()
	l := NewLink("a", []string{"https://" + impostor.Listener.Addr().String()}, r.CA.Certificate(), func() (*tls.Certificate, error) { return &cert, nil })
	if _, _, err := l.Master(t.Context()); !errors.Is(err, mfa.ErrUnavailable) || !strings.Contains(err.Error(), "not a coordinator's") {
		t.Errorf("got %v", err)
	}
	if registry.IsCoordinator(&x509.Certificate{}) {
		t.Error("a certificate without a name is a coordinator's")
	}
}

// A new server's request goes through the coordinator to the master and back; what the
// coordinator would make up or change is not believed.
func TestJoiningThroughTheCoordinator(t *testing.T) {
	r := newRig(t)
	_, master := r.founded("a")
	code, err := group.NewActivation()
	if err != nil {
		t.Fatal(err)
	}
	joining := r.machine(func() string {
		m, _ := r.founded("b") // any code's text, to have one with this CA
		code.CA, code.Group, code.Role, code.Coordinators = m.code.CA, "a", mfa.RoleServer, r.Addresses
		return code.String()
	}(), "n2")
	client := NewClient(joining.code)
	if _, err := client.Preview(t.Context(), joining.request); err == nil || !strings.Contains(err.Error(), "not known here") {
		t.Errorf("a code that was not announced: %v", err)
	}
	if err := master.Announce(t.Context(), code.ID, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		secret secret.Text
		want   error
	}{"by the master": {code.Secret, nil}, "by a coordinator that does not know the code": {secret.FromString("another, guessed"), group.ErrUnproven}} {
		ended := make(chan error, 1)
		go func() {
			letters, err := master.Letters(t.Context())
			if err == nil {
				var reply registry.Reply
				h := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					var in group.Request
					err := group.ReadBody(q, &in)
					p, proveErr := group.Prove(c.secret, &in, group.KindPreview, group.Preview{Group: "a", Users: 7})
					group.WriteAnswer(w, p, errors.Join(err, proveErr))
				})
				if reply, err = ServeLetter(t.Context(), h, letters[0]); err == nil {
					err = master.Reply(t.Context(), reply)
				}
			}
			ended <- err
		}()
		p, err := client.Preview(t.Context(), joining.request)
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || p.Users != 7) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if _, err := ServeLetter(t.Context(), http.NotFoundHandler(), registry.Letter{Path: PathMaster}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a letter for another path: %v", err)
	}
}
