package node

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/trail"
)

// lastAttempt is the newest verdict in a copy of a trail; nil: there is none.
func lastAttempt(t *testing.T, o Options) (last *mfa.Attempt) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), trailDir)
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join(o.Config.DataDir, trailDir))))
	tr, err := trail.Open(trail.Options{Dir: dir, Server: o.Config.Name, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	must(t, err)
	must(t, tr.Replay(trail.Position{}, func(_ trail.Position, r mfa.Record) error {
		if r.Attempt != nil {
			last = r.Attempt
		}
		return nil
	}))
	return last
}

// An operator gave the password and no code, and the coordinator was restarted: the trail says in
// the end that nobody answered. Behind a proxy the record names the operator's own address.
func TestCoordinatorsOpenChallenge(t *testing.T) {
	o := options(folder(t))
	o.Config.Listen.HTTPS, o.Config.Listen.RADIUS, o.Config.Listen.Accounting = "", nil, nil
	o.Config.Listen.Coordinator = free(t)
	o.Config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	must(t, InitCoordinator(t.Context(), o))
	r := start(t, o, RunCoordinator)
	if s := onSocket(t, o.Config.DataDir, "POST", "/users", `{"login":"olga","password":"correct horse battery"}`, nil); s != http.StatusOK {
		t.Fatalf("user: %d", s)
	}
	if s := onSocket(t, o.Config.DataDir, "POST", "/users/olga/credentials", `{"method":"totp"}`, nil); s != http.StatusOK {
		t.Fatalf("token: %d", s)
	}
	form := url.Values{"login": {"olga"}, "password": {"correct horse battery"}}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+r.at.Coordinator+"/sign-in", strings.NewReader(form.Encode()))
	must(t, err)
	for name, value := range map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin", "X-Forwarded-For": "203.0.113.7"} {
		q.Header.Set(name, value)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // who answers is not what is tested
	resp, err := c.Do(q)
	must(t, err)
	page, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "authenticator") {
		t.Fatalf("%s %s", resp.Status, page)
	}
	r.end()
	if a := lastAttempt(t, o); a != nil {
		t.Fatalf("the trail has a verdict already: %+v", a)
	}
	o.Now = func() time.Time { return time.Now().Add(5 * time.Minute) }
	r = start(t, o, RunCoordinator)
	defer r.end()
	await(t, "verdict", func() bool { return lastAttempt(t, o) != nil })
	if a := lastAttempt(t, o); a.Reason != mfa.ChallengeUnanswered || a.Source != "203.0.113.7" && !strings.HasPrefix(a.Peer, "203.0.113.7") {
		t.Errorf("the record says %+v", a)
	}
}
