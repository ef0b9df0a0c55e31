package node

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/config"
	"countersign/internal/pki"
)

// Each set of pages is where the node file puts it, and not on another's address; with it comes
// the certificate that the node file names.
func TestSites(t *testing.T) {
	const here, away = http.StatusOK, http.StatusNotFound
	for name, c := range map[string]struct {
		change func(l *config.Listen)
		want   map[string][3]int // at each address: the console's sign-in, the portal's, the API
	}{
		"all together":    {func(*config.Listen) {}, map[string][3]int{"https": {here, here, http.StatusUnauthorized}}},
		"portal apart":    {func(l *config.Listen) { l.Portal = "127.0.0.1:0" }, map[string][3]int{"https": {here, away, http.StatusUnauthorized}, "portal": {away, here, away}}},
		"console apart":   {func(l *config.Listen) { l.Console = "127.0.0.1:0" }, map[string][3]int{"https": {away, here, http.StatusUnauthorized}, "console": {here, away, http.StatusUnauthorized}}},
		"only the portal": {func(l *config.Listen) { l.HTTPS, l.Portal = "", "127.0.0.1:0" }, map[string][3]int{"portal": {away, here, away}}},
		"each apart": {func(l *config.Listen) { l.Console, l.Portal = "127.0.0.1:0", "127.0.0.1:0" },
			map[string][3]int{"https": {away, away, http.StatusUnauthorized}, "console": {here, away, http.StatusUnauthorized}, "portal": {away, here, away}}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(folder(t))
			c.change(&o.Config.Listen)
			if o.Config.Listen.Portal != "" {
				o.Config.TLS.Portal = ownPair(t, "my.example.net")
			}
			if err := Init(t.Context(), o, "corp"); err != nil {
				t.Fatal(err)
			}
			r := start(t, o, Run)
			defer r.end()
			at := map[string]string{"https": r.at.HTTPS, "console": r.at.Console, "portal": r.at.Portal}
			for site, address := range at {
				want, open := c.want[site]
				if open != (address != "") {
					t.Fatalf("%s listens at %q", site, address)
				}
				if !open {
					continue
				}
				got := [3]int{status(t, address, "/sign-in"), status(t, address, "/portal/sign-in"), status(t, address, "/api/v1/status")}
				if got != want {
					t.Errorf("%s: console, portal and API say %v, want %v", site, got, want)
				}
				if subject := shown(t, address); (subject == "my.example.net") != (site == "portal") {
					t.Errorf("%s shows the certificate of %s", site, subject)
				}
			}
			if at["portal"] != "" {
				if code := status(t, at["portal"], "/"); code != http.StatusSeeOther {
					t.Errorf("the portal's own start: %d", code)
				}
			}
		})
	}
}

// Whatever answers over https, a page, the API, the mux before them or the coordinator, says to
// browsers that the host is reached by https alone.
func TestHeadersOverTLS(t *testing.T) {
	o := options(folder(t))
	o.Config.Listen.Peer, o.Config.Listen.Coordinator = free(t), free(t)
	if err := Init(t.Context(), o, "corp"); err != nil {
		t.Fatal(err)
	}
	r := start(t, o, Run)
	defer r.end()
	for _, one := range []struct {
		address, path string
		code          int
	}{
		{r.at.HTTPS, "/sign-in", http.StatusOK},
		{r.at.HTTPS, "/portal/sign-in", http.StatusOK},
		{r.at.HTTPS, "/api/v1/status", http.StatusUnauthorized},
		{r.at.HTTPS, "/api/v1/nothing", http.StatusUnauthorized},
		{r.at.HTTPS, "/api/", http.StatusOK},
		{r.at.HTTPS, "//api/v1/status", http.StatusTemporaryRedirect},
		{r.at.Coordinator, "/", http.StatusSeeOther},
		{r.at.Coordinator, "/nothing", http.StatusNotFound},
	} {
		res := reached(t, one.address, one.path)
		if res.StatusCode != one.code || res.Header.Get("Strict-Transport-Security") == "" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s (want %d) %v", one.path, res.Status, one.code, res.Header)
		}
	}
}

// ownPair is a certificate as an operator brings it.
func ownPair(t *testing.T, name string) config.Pair {
	t.Helper()
	ca, err := pki.NewCA("somebody else", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Subject{Name: name, DNS: []string{name}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := config.Pair{CertFile: filepath.Join(t.TempDir(), "c.pem"), KeyFile: filepath.Join(t.TempDir(), "k.pem")}
	if err := os.WriteFile(p.CertFile, pair.CertPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.KeyFile, pair.KeyPEM.Expose(), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// status is the answer to a request.
func status(t *testing.T, address, path string) int {
	t.Helper()
	return reached(t, address, path).StatusCode
}

// reached is the answer to a request, without its body.
func reached(t *testing.T, address, path string) *http.Response {
	t.Helper()
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 20 * time.Second}
	res, err := c.Get("https://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res
}

// shown is whose certificate an address shows.
func shown(t *testing.T, address string) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// Links lead to where the pages are, by the name that people know.
func TestSiteURL(t *testing.T) {
	s := &server{Options: Options{Config: config.Config{Listen: config.Listen{HTTPS: ":1"}, Advertise: config.Advertise{HTTPS: "mfa.example.net:8443"}}}}
	s.bound.HTTPS = "127.0.0.1:1"
	if s.webURL() != "https://mfa.example.net:8443" || s.portalURL() != "https://mfa.example.net:8443/portal" {
		t.Errorf("%s, %s", s.webURL(), s.portalURL())
	}
	if all := s.listeners(); all[0].URL != "https://mfa.example.net:8443" {
		t.Errorf("others lead people to %+v", all)
	}
	s.Config.Listen.Console, s.Config.Advertise.Portal, s.bound.Console = "127.0.0.1:2", "my.example.net", "127.0.0.1:2"
	if s.webURL() != "https://127.0.0.1:2" || s.portalURL() != "https://my.example.net/portal" {
		t.Errorf("the portal has a name, but no listener of its own: %s, %s", s.webURL(), s.portalURL())
	}
	s.Config.Listen.Portal = ":3"
	s.bound.Console, s.bound.Portal = "127.0.0.1:2", "[::]:3"
	if s.webURL() != "https://127.0.0.1:2" || s.portalURL() != "https://my.example.net/portal" {
		t.Errorf("%s, %s", s.webURL(), s.portalURL())
	}
	if all := s.listeners(); all[1].Kind != "console" || all[1].URL != "" || all[0].URL != "" {
		t.Errorf("a console apart has no name of its own: %+v", all)
	}
	var kinds []string
	for _, l := range s.listeners() {
		kinds = append(kinds, l.Kind)
	}
	if !slices.Equal(kinds, strings.Fields("https console portal")) {
		t.Errorf("front-ends %v", kinds)
	}
}
