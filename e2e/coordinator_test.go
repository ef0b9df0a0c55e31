package e2e_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/cluster"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/pki"
	"countersign/internal/radius"
	"countersign/internal/secret"
	"countersign/internal/store"
)

// newCoordinator founds and starts an independent coordinator.
func newCoordinator(t testing.TB) *server {
	t.Helper()
	s := prepare(t, "")
	s.write(s.config, fmt.Sprintf("name: c1\ndata_dir: %s\nlisten: {coordinator: %s}\n", s.data, freeAddress(t)))
	s.initCoordinator()
	return s
}

// initCoordinator founds an independent coordinator on a prepared machine and starts it.
func (s *server) initCoordinator() {
	s.t.Helper()
	t := s.t
	if r := countersign(t, nil, "", "coordinator", "init", "--config", s.config); r.code != 0 {
		t.Fatalf("coordinator init: exit %d\n%s", r.code, r.stderr)
	}
	s.coordinate()
}

// coordinate starts an independent coordinator and waits until it answers.
func (s *server) coordinate() {
	s.t.Helper()
	s.proc = launch(s.t, s.log, "coordinator", "--config", s.config)
	await(s.t, "coordinator", func() bool {
		if !s.proc.alive() {
			s.t.Fatal("the coordinator ended at its start")
		}
		return s.try("", "coordinator", "status").code == 0
	})
}

// foundAt founds a group of n servers that uses coordinator c.
func foundAt(t testing.TB, c *server, name string, n int) []*server {
	t.Helper()
	var doc struct{ Code, Group, Role string }
	c.json(&doc, "coordinator", "activation", "create", "--group", name)
	if doc.Group != name || doc.Role != "founder" {
		t.Errorf("founding code: group %q, role %q", doc.Group, doc.Role)
	}
	var all []*server
	for i := range n {
		s := newMember(t, fmt.Sprintf("n%d", i+1))
		if i == 0 {
			s.activate(doc.Code)
		} else {
			s.activate(all[i-1].code())
		}
		if !strings.Contains(readText(t, s.config), "coordinator: {urls: [\"https://127.0.0.1:") {
			t.Errorf("the node file of %s names no coordinator:\n%s", s.config, readText(t, s.config))
		}
		s.start()
		all = append(all, s)
	}
	all[0].settled(n)
	return all
}

// sees waits until a coordinator sees n servers of a group alive, and that master ("": none).
func (s *server) sees(name string, n int, master string) {
	s.t.Helper()
	var last group.Overview
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the coordinator sees %+v", last)
		}
	}()
	await(s.t, "what the coordinator sees", func() bool {
		last = s.overview()
		for _, g := range last.Groups {
			if g.Name == name {
				return g.Alive == n && g.Master == master
			}
		}
		return false
	})
}

// An independent coordinator founds a group, admits its servers, is told of them; and while
// it is away nothing stops but admission.
func TestCoordinator(t *testing.T) {
	t.Parallel()
	c := newCoordinator(t)
	all := foundAt(t, c, "corp", 3)
	m, others := master(t, all)
	all[1].application("none", atNone, "--first-factor", "none")
	all[0].user("alice", "")
	k := all[2].hotp("alice")
	c.sees("corp", 3, serverName(t, m))
	if o := c.overview(); len(o.Violations) > 0 {
		t.Errorf("violations in a sound group: %+v", o.Violations)
	}
	if r := c.try("", "coordinator", "activation", "create", "--group", "corp"); r.code != 1 || !strings.Contains(r.stderr, "exists already") {
		t.Errorf("a founding code for a group that lives: exit %d %s", r.code, r.stderr)
	}
	if r := countersign(t, nil, "", "server", "--data", c.data, "--config", others[0].config); r.code != 1 {
		t.Errorf("a server on a coordinator's folder: exit %d %s", r.code, r.stderr)
	}

	// Away: sign-ins, changes, failover, and a planned promotion, as ever.
	c.stop()
	signIn := func(s *server) {
		t.Helper()
		if r := newNAS(t, atNone, s.radius).ask("alice", k.press(), nil); r.code != radius.AccessAccept {
			t.Errorf("sign-in without the coordinator: %v", r)
		}
	}
	signIn(m)
	m.cli("user", "add", "bob")
	m.kill9()
	await(t, "a change at the new master", func() bool { return others[0].try("", "user", "add", "carol").code == 0 })
	signIn(others[0])
	signIn(others[1])
	if check := others[0].coordinatorCheck(); check.OK || check.Layer != "tcp" || check.NextStep == "" {
		t.Errorf("doctor says of the coordinator, which is away: %+v", check)
	}
	if r := others[0].try("", "group", "activation", "create"); r.code != 1 || !strings.Contains(r.stderr, "coordinator") {
		t.Errorf("a joining code without the coordinator: exit %d %s", r.code, r.stderr)
	}
	m.start() // without it too
	signIn(m)
	now, _ := master(t, all)
	now.settled(3)
	if p := m.promoted("--to", serverName(t, m)); p.NewMaster != serverName(t, m) {
		t.Errorf("a planned promotion without the coordinator: %+v", p)
	}
	others[0].settled(3)
	signIn(others[0])
	others[1].cli("user", "add", "dave")
	m2, _ := master(t, all)

	// Back: it knows the new master within moments, and admits again.
	c.coordinate()
	c.sees("corp", 3, serverName(t, m2))
	if check := others[0].coordinatorCheck(); !check.OK || !strings.Contains(check.Detail, serverName(t, m2)) {
		t.Errorf("doctor says of the coordinator: %+v", check)
	}
	fourth := newMember(t, "n4")
	fourth.activate(others[0].code())
	fourth.start()
	c.sees("corp", 4, serverName(t, m2))
	signIn(fourth)
	stolen(t, c, fourth, m2)
}

// coordinatorCheck is what doctor says of the coordinator.
func (s *server) coordinatorCheck() admin.Check {
	s.t.Helper()
	return s.doctorCheck("coordinator")
}

// doctorCheck is one of doctor's checks, by name.
func (s *server) doctorCheck(name string) admin.Check {
	s.t.Helper()
	var doc admin.CheckList
	r := s.try("", "doctor", "--json")
	if err := document(r.stdout, &doc); err != nil {
		s.t.Fatalf("doctor: %v %s", err, r.stderr)
	}
	for _, c := range doc.Checks {
		if c.Name == name {
			return c
		}
	}
	s.t.Errorf("doctor has no check of %s: %+v", name, doc)
	return admin.Check{}
}

// serverName reads a server's name from its node file.
func serverName(t testing.TB, s *server) string {
	t.Helper()
	_, rest, _ := strings.Cut(readText(t, s.config), "name: ")
	name, _, _ := strings.Cut(rest, "\n")
	return name
}

// stolen takes what lies on the coordinator's disk and checks that it opens nothing of the
// group: a certificate by its CA, with the name of a server, is refused on the peer port.
func stolen(t *testing.T, c *server, victims ...*server) {
	t.Helper()
	c.stop()
	ca := thief(t, c.data)
	for _, v := range victims {
		pair, err := ca.Issue(group.Subject(serverName(t, v), "127.0.0.1:1"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		cert, err := pair.TLS()
		if err != nil {
			t.Fatal(err)
		}
		peerPort := nodeSetting(t, v, "peer")
		client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ca.Pool(), Certificates: []tls.Certificate{cert}}}}
		for _, path := range []string{"/raft", "/members", "/peer/v1/report", "/peer/v1/join", "/version"} {
			r, err := client.Get("https://" + peerPort + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			if r.StatusCode != http.StatusForbidden {
				t.Errorf("%s with a certificate made by a thief of the CA: %s", path, r.Status)
			}
		}
	}
}

// nodeSetting reads a setting of listen from a node file.
func nodeSetting(t testing.TB, s *server, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(readText(t, s.config), "\n  "+name+": ")
	if !ok {
		t.Fatalf("no %s in the node file", name)
	}
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// thief opens a coordinator's data folder and returns the key of its CA.
func thief(t testing.TB, data string) pki.CA {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(data, "keys", "wrap.key"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := keyring.ParseIdentity(secret.New(b))
	if err != nil {
		t.Fatal(err)
	}
	n, err := cluster.Open(t.Context(), cluster.Options{DataDir: data, Name: "c1", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Verify: func(_, _ []byte) error { return nil }, Sign: func([]byte) ([]byte, error) { return nil, errors.New("a thief signs nothing") }})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := store.LoadKeyset(t.Context(), n, "c1", id)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := registry.EnsureCA(t.Context(), n, keyring.NewRing(keys), "x", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// A coordinator is lost and restored from its backup: the group's servers are known to it,
// and get their certificates from it. What was the group's goes on meanwhile.
func TestCoordinatorRestored(t *testing.T) {
	t.Parallel()
	c := newCoordinator(t)
	first := foundAt(t, c, "corp", 1)[0]
	c.sees("corp", 1, "n1")
	file := filepath.Join(c.dir, "backup")
	pass := filepath.Join(c.dir, "pass")
	c.write(pass, "a long recovery passphrase\n")
	if r := c.try("", "backup", "create", file, "--passphrase-file", pass); r.code != 0 || r.stderr != "" {
		t.Fatalf("backup create: exit %d, %s", r.code, r.stderr)
	}
	if out := c.cli("backup", "verify", file, "--passphrase-file", pass); !strings.Contains(out, "countersign-coordinator") {
		t.Errorf("backup verify says %s", out)
	}
	c.kill9()
	if err := os.RemoveAll(c.data); err != nil {
		t.Fatal(err)
	}
	if r := c.try("", "backup", "restore", file, "--passphrase-file", pass, "--config", first.config, "--data", filepath.Join(c.dir, "x")); r.code != 1 || !strings.Contains(r.stderr, "independent coordinator") {
		t.Errorf("a coordinator's backup restored with a server's node file: exit %d %s", r.code, r.stderr)
	}
	if r := countersign(t, nil, "", "backup", "restore", file, "--passphrase-file", pass, "--config", c.config); r.code != 0 || !strings.Contains(r.stdout, "1 groups") {
		t.Fatalf("restore: exit %d %s %s", r.code, r.stdout, r.stderr)
	}
	c.coordinate()
	c.sees("corp", 1, "n1")

	// A server that is called under another address has its certificate renewed from there.
	_, port, err := net.SplitHostPort(first.https)
	if err != nil {
		t.Fatal(err)
	}
	first.stop()
	first.rewrite("https", "127.0.0.2:"+port)
	first.start()
	await(t, "a certificate for the new address", func() bool {
		conn, err := tls.Dial("tcp", "127.0.0.2:"+port, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the name is looked at below
		if err != nil {
			return false
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].VerifyHostname("127.0.0.2") == nil
	})
	first.cli("user", "add", "bob")

	// Retired: it is not known any more, and the group goes on.
	if r := c.try("", "coordinator", "retire", "corp", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "still reports") {
		t.Errorf("a group that lives was retired: exit %d %s", r.code, r.stderr)
	}
	first.stop()
	c.stop()
	c.coordinate() // has heard nobody yet
	c.cli("coordinator", "retire", "corp", "--yes")
	first.start()
	await(t, "the refusal of a server that is not known", func() bool { return strings.Contains(first.log.String(), "knows no server n1") })
	first.cli("user", "add", "carol")
}

// The master of a pair is gone: the coordinator grants the new epoch, once it has heard
// nobody who hears the old master for long enough; nothing is begun without it.
func TestCoordinatorGrants(t *testing.T) {
	t.Parallel()
	c := newCoordinator(t)
	all := foundAt(t, c, "corp", 2)
	m, rep := all[0], all[1]
	rep.cli("user", "add", "alice")
	c.sees("corp", 2, "n1")
	m.kill9()
	c.stop()
	promote := func() result { return rep.try("", "group", "promote", "--disaster", "--confirm", "corp/1", "--json") }
	refusals := func(why string) {
		t.Helper()
		last := ""
		defer func() {
			if t.Failed() {
				t.Logf("last refusal: %s", last)
			}
		}()
		await(t, "the refusal: "+why, func() bool {
			r := promote()
			if last = r.stderr; r.code == 0 {
				t.Fatalf("promoted: %s", r.stdout)
			}
			return strings.Contains(last, why)
		})
	}
	refusals("no coordinator could be asked") // after those of the pair itself
	c.coordinate()
	refusals("cannot tell yet whether the old master lives")
	if r := rep.try("", "group", "promote", "--disaster", "--force", "--confirm", "corp/1"); r.code != 1 || !strings.Contains(r.stderr, "the coordinator refuses: no new epoch is granted") {
		t.Errorf("forced against the coordinator's refusal: exit %d %s", r.code, r.stderr)
	}
	var done mfa.DisasterPromotion
	await(t, "the grant", func() bool {
		r := promote()
		return r.code == 0 && document(r.stdout, &done) == nil
	})
	if done.Unconfirmed || done.NewEpoch != 2 || done.NewMaster != "n2" {
		t.Errorf("promoted: %+v", done)
	}
	c.sees("corp", 1, "n2")
	rep.cli("user", "add", "bob")
	var e struct {
		Standing coordinator.Standing `json:"standing"`
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // what it answers counts
	_, rest, _ := strings.Cut(readText(t, c.config), "coordinator: ")
	resp, err := client.Get("https://" + strings.TrimRight(rest, "}\n") + coordinator.PathMaster + "?group=corp")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Standing.Epoch != 2 || e.Standing.Name != "n2" || !strings.Contains(e.Standing.DecidedBy, "granted by coordinator c1 to n2") {
		t.Errorf("who is master: %+v, %v", e.Standing, err)
	}

	// The old master comes back and reaches nobody but the coordinator: it decides nothing.
	rep.kill9()
	m.launch()
	await(t, "the old master standing by", func() bool { return strings.Contains(m.log.String(), "this server decides nothing") })
	if r := m.try("", "user", "add", "carol"); r.code != 1 {
		t.Errorf("a change at the old master, which knows that there is a later epoch: exit %d %s", r.code, r.stderr)
	}
	rep.start()
	c.sees("corp", 2, "n2")
}

// A new epoch was begun by force while the coordinator could not be asked. The old master,
// which runs and has not heard of it, learns of it there, and decides nothing from then on.
func TestCoordinatorFences(t *testing.T) {
	t.Parallel()
	c := newCoordinator(t)
	all := foundAt(t, c, "corp", 2)
	m, rep := all[0], all[1]
	c.sees("corp", 2, "n1")
	c.stop()
	if err := syscall.Kill(-m.proc.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	awake := func() { _ = syscall.Kill(-m.proc.cmd.Process.Pid, syscall.SIGCONT) }
	defer awake()
	var done mfa.DisasterPromotion
	await(t, "a promotion by force", func() bool {
		r := rep.try("", "group", "promote", "--disaster", "--force", "--confirm", "corp/1", "--json")
		return r.code == 0 && document(r.stdout, &done) == nil
	})
	if !done.Unconfirmed || done.NewEpoch != 2 {
		t.Errorf("promoted: %+v", done)
	}
	c.coordinate()
	await(t, "the new epoch at the coordinator", func() bool {
		o := c.overview()
		return len(o.Groups) == 1 && o.Groups[0].Epoch == 2 && o.Groups[0].Master == "n2"
	})
	rep.kill9() // so that nobody else can tell it
	awake()
	await(t, "the old master standing aside", func() bool {
		out := m.log.String()
		return strings.Contains(out, "says the coordinator") && strings.Contains(out, "this server decides nothing")
	})
	if r := m.try("", "user", "add", "carol"); r.code != 1 {
		t.Errorf("a change at the old master: exit %d %s", r.code, r.stderr)
	}
	rep.start()
	c.sees("corp", 2, "n2")
}

// A witness joins through the coordinator and reports to it like the others.
func TestCoordinatorWitness(t *testing.T) {
	t.Parallel()
	c := newCoordinator(t)
	all := foundAt(t, c, "corp", 2)
	w := newWitness(t, "w1")
	w.activate(all[1].code("--role", "witness"))
	w.start()
	all[0].settled(3)
	c.sees("corp", 3, "n1")
	for _, one := range c.overview().Servers {
		if one.Name == "w1" && (!one.Alive || one.Expires.IsZero()) {
			t.Errorf("the witness: %+v", one)
		}
	}
	all[0].kill9()
	await(t, "a change after failover", func() bool { return all[1].try("", "user", "add", "alice").code == 0 })
	c.sees("corp", 2, "n2")
}
