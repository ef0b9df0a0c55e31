package coordinator

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// Where there are several coordinators, a server knows all of them from one signed answer,
// and one that hangs, or does not lead and finds nobody who does, does not keep it from the
// others.
func TestLinkAsksTheNextOne(t *testing.T) {
	r := newRig(t)
	m, _ := r.founded("a")
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	pair, err := r.OwnCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	alone := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		group.WriteAnswer(w, nil, errors.Join(mfa.ErrUnavailable, errors.New("no majority")))
	}))
	alone.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{r.pair(pair)}}
	alone.StartTLS()
	defer alone.Close()
	r.Others = func() []string {
		return []string{hangs.Addr().String(), alone.Listener.Addr().String(), "c4.example.net:443"}
	}
	cert, err := tls.X509KeyPair(m.grant.Certificate, m.private.Expose())
	if err != nil {
		t.Fatal(err)
	}
	l := NewLink("a", []string{"https://" + hangs.Addr().String(), "https://" + alone.Listener.Addr().String(), r.url}, r.CA.Certificate(),
		func() (*tls.Certificate, error) { return &cert, nil })
	defer l.Close()
	l.patience = 200 * time.Millisecond
	if _, _, err := l.Report(t.Context(), beat("n1", "a", 1)); err != nil {
		t.Fatal(err)
	}
	if got := l.order()[0]; got != r.url {
		t.Errorf("asks %s first, not the one that answered", got)
	}
	if got := l.URLs(); !slices.Contains(got, "https://c4.example.net") || len(got) != 4 {
		t.Errorf("learnt %v", got)
	}
	l.Learn([]string{"c5.example.net:8443"}) // c4 is none any more
	if got := l.URLs(); slices.Contains(got, "https://c4.example.net") || !slices.Contains(got, "https://c5.example.net:8443") || len(got) != 4 {
		t.Errorf("learnt %v", got)
	}
	r.http.Close()
	l.Learn(nil)
	if _, _, err := l.Report(t.Context(), beat("n1", "a", 1)); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("nobody answers: %v", err)
	}
}
