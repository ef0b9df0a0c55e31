package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/cluster"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

// onSocket asks the admin API of a data folder.
func onSocket(t *testing.T, dataDir, method, path, body string, out any) int {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", SocketPath(dataDir))
	}}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://coordinator/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if out != nil {
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			t.Fatalf("%s %s: %s: %v", method, path, resp.Status, err)
		}
	}
	return resp.StatusCode
}

// shows returns the certificate's name that a caller with these protocols is shown.
func shows(t *testing.T, address string, protocols ...string) string {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}) //nolint:gosec // the name is what is looked at
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// put writes a certificate for name and its key, as an operator does.
func put(t *testing.T, ca *mfatest.CA, dir, name string, life time.Duration) {
	t.Helper()
	cert, key := ca.Server(t, time.Now().Add(life), name, "127.0.0.1")
	for file, text := range map[string]string{"cert.pem": cert, "key.pem": key} {
		if err := writeSynced(filepath.Join(dir, file), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

// What the owner of a coordinator has: a certificate of the own PKI for people, that of the
// coordinator's CA for servers; doctor, verbosity, the trail of acts, health and metrics.
func TestCoordinatorsOwner(t *testing.T) {
	o := options(folder(t))
	ca, dir := mfatest.NewCA(t), t.TempDir()
	put(t, ca, dir, "people.example.net", 30*24*time.Hour)
	o.Config.Listen.HTTPS, o.Config.Listen.RADIUS, o.Config.Listen.Accounting = "", nil, nil
	o.Config.Listen.Coordinator = free(t)
	o.Config.TLS.CertFile, o.Config.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := InitCoordinator(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r := start(t, o, RunCoordinator)
	defer r.end()
	if got := shows(t, r.at.Coordinator, "h2", "http/1.1"); got != "people.example.net" {
		t.Errorf("people are shown the certificate of %q", got)
	}
	if got := shows(t, r.at.Coordinator, coordinator.Protocol, "http/1.1"); got != "coordinator nyc1" {
		t.Errorf("servers are shown the certificate of %q", got)
	}

	var code admin.ActivationCode
	if s := onSocket(t, o.Config.DataDir, "POST", "/coordinator/activations", `{"group":"corp"}`, &code); s != 200 || code.Role != group.RoleFounder {
		t.Errorf("founding code: status %d", s)
	}
	for _, body := range []string{`{}`, `{"group":"corp","coordinator":true}`, `{"coordinator":true}`} {
		if s := onSocket(t, o.Config.DataDir, "POST", "/coordinator/activations", body, nil); s != 422 {
			t.Errorf("a code for %s: status %d", body, s)
		}
	}
	if s := onSocket(t, o.Config.DataDir, "POST", "/log-level", `{"component":"coordinator","level":"debug"}`, nil); s != 200 {
		t.Errorf("log level: status %d", s)
	}
	var acts admin.ActList
	onSocket(t, o.Config.DataDir, "GET", "/audit/acts", "", &acts)
	var verbs []string
	for _, a := range acts.Acts {
		if a.Verb != "console link" { // for the first administrator, at the start
			verbs = append(verbs, a.Verb)
		}
	}
	if want := []string{"log level", "activation create", "coordinator init"}; !slices.Equal(verbs, want) {
		t.Errorf("acts %v, want %v", verbs, want)
	}
	var whole admin.AuditVerification
	if onSocket(t, o.Config.DataDir, "POST", "/audit/verify", "", &whole); !whole.OK {
		t.Errorf("the trail: %+v", whole)
	}
	var st admin.Status
	if s := onSocket(t, o.Config.DataDir, "GET", "/status", "", &st); s != 200 || st.Role != mfa.RoleCoordinator || st.Name != "nyc1" || st.Master != "nyc1" || st.Degraded || len(st.Members) != 1 {
		t.Errorf("status %d: %+v", s, st)
	}
	var none struct{ Detail string }
	if s := onSocket(t, o.Config.DataDir, "GET", "/audit/attempts", "", &none); s != 404 || !strings.Contains(none.Detail, "audit list --acts") {
		t.Errorf("sign-ins of a coordinator: %d %s", s, none.Detail)
	}
	checked := func() map[string]admin.Check {
		t.Helper()
		var doc admin.CheckList
		onSocket(t, o.Config.DataDir, "POST", "/doctor", "", &doc)
		all := map[string]admin.Check{}
		for _, c := range doc.Checks {
			all[c.Name] = c
		}
		return all
	}
	all := checked()
	for _, name := range []string{"coordinators", "database", "writes", "keys", "trail", "coordinator's port", "tls.cert_file"} {
		if c := all[name]; !c.OK {
			t.Errorf("doctor says of %s: %+v", name, c)
		}
	}
	var h health
	get(t, "http://"+r.at.Metrics+"/health/ready", http.StatusOK, &h)
	if !h.Ready {
		t.Errorf("health %+v", h)
	}
	body := get(t, "http://"+r.at.Metrics+"/metrics", http.StatusOK, nil)
	for _, want := range []string{"countersign_coordinator_leads 1", "countersign_coordinator_majority 1", "countersign_coordinators_silent 0", "countersign_certificate_expiry_seconds"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q among the metrics", want)
		}
	}
	if strings.Contains(body, "countersign_radius") {
		t.Error("metrics of what a coordinator does not have")
	}
}

// A certificate that is about to expire, or is for another name, is found by doctor.
func TestCoordinatorsGivenCertificate(t *testing.T) {
	ca, dir := mfatest.NewCA(t), t.TempDir()
	o := options(folder(t))
	o.Config.Listen.HTTPS, o.Config.Listen.RADIUS, o.Config.Listen.Accounting, o.Config.Listen.Metrics = "", nil, nil, ""
	o.Config.Listen.Coordinator = free(t)
	o.Config.TLS.CertFile, o.Config.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := InitCoordinator(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := RunCoordinator(t.Context(), o); err == nil || !strings.Contains(err.Error(), "tls.cert_file") {
		t.Errorf("a certificate that is not there: %v", err)
	}
	put(t, ca, dir, "people.example.net", time.Hour)
	r := start(t, o, RunCoordinator)
	defer r.end()
	var doc admin.CheckList
	onSocket(t, o.Config.DataDir, "POST", "/doctor", "", &doc)
	i := slices.IndexFunc(doc.Checks, func(c admin.Check) bool { return c.Name == "tls.cert_file" })
	if i < 0 || doc.Checks[i].OK || !strings.Contains(doc.Checks[i].Detail, "it expires at") {
		t.Errorf("doctor: %+v", doc.Checks)
	}
}

// A coordinator's backup is not restored beside it while it lives, but at the operator's
// word, or when nobody answers any more; then it is alone, whoever was beside it before.
func TestRestoreBesideALivingCoordinator(t *testing.T) {
	o := options(folder(t))
	o.Config.Listen.HTTPS, o.Config.Listen.RADIUS, o.Config.Listen.Accounting, o.Config.Listen.Metrics = "", nil, nil, ""
	o.Config.Listen.Coordinator, o.Config.Listen.Peer = free(t), free(t)
	if err := InitCoordinator(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r := start(t, o, RunCoordinator)
	await(t, "its own record", func() bool {
		var seen group.Overview
		onSocket(t, o.Config.DataDir, "GET", "/coordinator/status", "", &seen)
		return len(seen.Coordinators) == 1 && seen.Coordinators[0].Leads && onSocket(t, o.Config.DataDir, "POST", "/coordinator/activations", `{"coordinator":true}`, nil) == 200
	})
	r.end()
	backup := backupOf(t, o, "a long recovery passphrase")
	r = start(t, o, RunCoordinator)
	defer r.end()

	other := o
	other.Config.DataDir = folder(t)
	other.Config.Listen.Coordinator, other.Config.Listen.Peer = free(t), free(t)
	var said buffer
	other.Stdout = &said
	pass := secret.FromString("a long recovery passphrase")
	restore := func(confirm string) error {
		return RestoreBackup(t.Context(), other, bytes.NewReader(backup), pass, confirm)
	}
	if err := restore(""); err == nil || !strings.Contains(err.Error(), "the coordinators live: "+o.Config.Listen.Coordinator+" answers") || !strings.Contains(err.Error(), "--confirm countersign-coordinator/1") {
		t.Fatalf("beside a living one: %v", err)
	}
	if err := restore("countersign-coordinator/7"); err == nil || !strings.Contains(err.Error(), "what ends with this restore is countersign-coordinator/1") {
		t.Errorf("another epoch was confirmed: %v", err)
	}
	if err := restore("countersign-coordinator/1"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "Asked coordinator nyc1 at "+o.Config.Listen.Coordinator+": it lives.") {
		t.Errorf("told: %s", said.String())
	}
	again := start(t, other, RunCoordinator)
	defer again.end()
	var seen group.Overview
	await(t, "it leads", func() bool {
		onSocket(t, other.Config.DataDir, "GET", "/coordinator/status", "", &seen)
		return len(seen.Coordinators) == 1 && seen.Coordinators[0].Leads
	})
	if got := seen.Coordinators[0].Peer; got != other.Config.Listen.Peer {
		t.Errorf("the restored one is known at %s, want %s", got, other.Config.Listen.Peer)
	}
}

// await waits until ok holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) { // between two looks
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// backupOf writes the backup of a coordinator that does not run, with a passphrase that
// takes no time to try.
func backupOf(t *testing.T, o Options, passphrase string) []byte {
	t.Helper()
	c := &independent{server: &server{Options: o, work: 10}}
	if err := c.openLog(); err != nil {
		t.Fatal(err)
	}
	defer c.log.Close()
	var err error
	if c.id, err = loadIdentity(o.Config.DataDir); err != nil {
		t.Fatal(err)
	}
	if c.node, err = cluster.Open(t.Context(), c.clusterOptions()); err != nil {
		t.Fatal(err)
	}
	defer c.node.Close()
	data := newStage(t.Context(), func(err error) { t.Error(err) })
	defer func() {
		if err := data.stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := c.open(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Backup(t.Context(), "root", secret.FromString(passphrase), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
