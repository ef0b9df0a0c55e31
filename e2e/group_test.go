package e2e_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/radius"
)

// newMember writes the node file of a server with a peer port and a coordinator's.
func newMember(t testing.TB, name string) *server {
	t.Helper()
	return newMemberIn(t, name, "")
}

// newMemberIn does so in a folder ("": one of its own).
func newMemberIn(t testing.TB, name, dir string) *server {
	t.Helper()
	s := prepare(t, dir)
	b, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "name: n1", "name: "+name, 1)
	s.write(s.config, text+fmt.Sprintf("  peer: %s\n  coordinator: %s\n", freeAddress(t), freeAddress(t)))
	return s
}

// newGroup founds a group and has as many servers join it.
func newGroup(t testing.TB, n int) []*server {
	t.Helper()
	return groupOf(t, newMember(t, "n1"), n)
}

// groupOf does so with this server as the first.
func groupOf(t testing.TB, first *server, n int) []*server {
	t.Helper()
	all := []*server{first}
	all[0].found()
	all[0].start()
	for len(all) < n {
		s := newMember(t, fmt.Sprintf("n%d", len(all)+1))
		s.activate(all[len(all)-1].code())
		s.start()
		all = append(all, s)
	}
	all[0].settled(n)
	return all
}

// code makes an activation code, at once or as soon as the server's own record is there.
func (s *server) code(flags ...string) string {
	s.t.Helper()
	var doc struct{ Code string }
	await(s.t, "activation code", func() bool {
		r := s.try("", append([]string{"group", "activation", "create", "--json"}, flags...)...)
		return r.code == 0 && document(r.stdout, &doc) == nil
	})
	return doc.Code
}

// activate admits a machine that has no server yet.
func (s *server) activate(code string) {
	s.t.Helper()
	var r result
	within(s.t, s.ns, func() { r = countersign(s.t, nil, code, "activate", "-", "--yes", "--config", s.config) })
	if r.code != 0 {
		s.t.Fatalf("activate: exit %d\n%s", r.code, r.stderr)
	}
}

func (s *server) members() []admin.Member {
	s.t.Helper()
	var doc admin.MemberList
	s.answer(&doc, "group", "members")
	return doc.Members
}

// answer is json for a question to a server that may be joining its group again at this
// moment, or following it into a later epoch: it is asked until it answers.
func (s *server) answer(v any, args ...string) {
	s.t.Helper()
	var last result
	defer func() {
		if s.t.Failed() {
			s.t.Logf("countersign %q: exit %d\n%s", args, last.code, last.stderr)
		}
	}()
	await(s.t, "an answer", func() bool {
		last = s.try("", append(args, "--json")...)
		return last.code == 0 && document(last.stdout, v) == nil
	})
}

// settled waits until a server sees n servers, all reachable, with the votes that such a
// group has and one master.
func (s *server) settled(n int) {
	s.t.Helper()
	want := map[int]int{1: 1, 2: 1, 3: 3, 4: 3, 5: 5}[n]
	var last []admin.Member
	defer func() {
		if s.t.Failed() {
			s.t.Logf("members: %+v", last)
		}
	}()
	await(s.t, "members", func() bool {
		var doc admin.MemberList
		if r := s.try("", "group", "members", "--json"); r.code != 0 || document(r.stdout, &doc) != nil {
			return false // it may be joining its group again
		}
		last = doc.Members
		voters, reachable, masters := 0, 0, 0
		for _, m := range last {
			if m.Voter {
				voters++
			}
			if m.Reachable && m.Role != "joining" {
				reachable++
			}
			if m.Role == "master" {
				masters++
			}
		}
		return len(last) == n && voters == want && reachable == n && masters == 1
	})
}

// master returns the server that is the master, once there is one, and the others.
func master(t testing.TB, all []*server) (m *server, others []*server) {
	t.Helper()
	await(t, "one master", func() bool {
		m, others = nil, nil
		for _, s := range all {
			var st admin.Status
			if s.answer(&st, "status"); st.Role == "master" && m == nil {
				m = s
			} else {
				others = append(others, s)
			}
		}
		return m != nil
	})
	return m, others
}

// merged waits until a server is in contact and has nothing left to merge.
func (s *server) merged() {
	s.t.Helper()
	await(s.t, "contact", func() bool {
		var st admin.Status
		r := s.try("", "status", "--json")
		return r.code == 0 && document(r.stdout, &st) == nil && !st.Degraded && st.Unmerged == 0
	})
}

// refusesChanges checks that a change is refused in time, with what to do.
func (s *server) refusesChanges() {
	s.t.Helper()
	began := time.Now()
	r := s.try("", "user", "add", fmt.Sprintf("nobody%d", began.UnixNano()))
	if took := time.Since(began); r.code != 1 || took > 4*time.Second || !strings.Contains(r.stderr, "no master") {
		s.t.Errorf("a change without a master: exit %d after %s: %s", r.code, took, r.stderr)
	}
}

// Three servers: the master is killed under load, then all but one are gone, that one is
// restarted, and the others come back.
func TestGroupOfThree(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 3)
	const people = 24
	all[1].application("none", atNone, "--first-factor", "none")
	tokens := make([]*token, people)
	for i := range tokens {
		login := fmt.Sprintf("u%d", i)
		all[i%3].user(login, "")
		tokens[i] = all[2].hotp(login)
	}
	all[0].user("tess", "")
	tess := all[0].totp("tess")
	m, survivors := master(t, all)

	// The load: each user signs in at one survivor after the other; a writer adds users.
	var stop atomic.Bool
	var wg sync.WaitGroup
	var signed, refused atomic.Int64
	var slowest atomic.Int64
	for i, k := range tokens {
		clients := []*nas{newNAS(t, atNone, survivors[0].radius), newNAS(t, atNone, survivors[1].radius)}
		at := clients[i%2]
		wg.Go(func() {
			for !stop.Load() {
				began := time.Now()
				r, err := at.exchange(at.request(fmt.Sprintf("u%d", i), k.press(), nil))
				if err != nil || r.code != radius.AccessAccept {
					refused.Add(1)
					t.Errorf("a valid sign-in at a survivor: %v %v", r, err)
				}
				signed.Add(1)
				if took := int64(time.Since(began)); took > slowest.Load() {
					slowest.Store(took)
				}
				time.Sleep(300 * time.Millisecond) // people are slower still; a record keeps so many legs a minute
			}
		})
	}
	var written []string
	var killed, wrote atomic.Int64
	var resumed atomic.Bool
	var before, after time.Time // the last write before the kill, the first after it
	wg.Go(func() {
		for n := 0; !stop.Load(); n++ {
			login := fmt.Sprintf("w%d", n)
			began := time.Now()
			if r := survivors[0].try("", "user", "add", login); r.code == 0 {
				written = append(written, login)
				wrote.Add(1)
				switch at := killed.Load(); {
				case at == 0:
					before = time.Now()
				case after.IsZero() && began.UnixNano() >= at || after.IsZero() && time.Now().UnixNano() > at+int64(200*time.Millisecond):
					after = time.Now()
					resumed.Store(true)
				}
			}
		}
	})
	await(t, "sign-ins and changes with a master", func() bool { return signed.Load() >= 4*people && wrote.Load() >= 3 })
	killed.Store(time.Now().UnixNano())
	m.kill9()
	enough := signed.Load() + 12*people // over the election and well beyond it
	await(t, "sign-ins and changes without it", func() bool { return signed.Load() >= enough && resumed.Load() })
	stop.Store(true)
	wg.Wait()
	t.Logf("master killed under load: %d sign-ins at the survivors, %d refused, the slowest took %s; writes: gap %s", signed.Load(), refused.Load(),
		time.Duration(slowest.Load()).Round(time.Millisecond), after.Sub(before).Round(time.Millisecond))
	if after.IsZero() {
		t.Error("no change was made after the master was killed")
	}
	for _, s := range survivors {
		s.merged()
		if t.Failed() {
			t.Logf("reasons at a survivor: %v", s.reasons())
		}
		list := s.cli("user", "list", "--limit", "0")
		for _, login := range written {
			if !strings.Contains(list, login+" ") {
				t.Errorf("user %s was acknowledged and is lost", login)
			}
		}
	}

	// One left: it signs in, refuses changes, takes a block.
	gone, last := survivors[0], survivors[1]
	gone.kill9()
	n := newNAS(t, atNone, last.radius)
	if r := n.ask("u0", tokens[0].press(), nil); r.code != radius.AccessAccept {
		t.Errorf("sign-in at the last server: %v", r)
	}
	last.refusesChanges()
	last.cli("user", "block", "u1")
	if r := n.ask("u1", tokens[1].press(), nil); r.code != radius.AccessReject {
		t.Errorf("a user blocked without a master: %v", r)
	}

	// Restarted alone, with nobody to ask: what it may have missed is refused, the rest is not.
	last.kill9()
	last.start()
	started := tess.step()
	n = newNAS(t, atNone, last.radius)
	if r := n.ask("u0", tokens[0].press(), nil); r.code != radius.AccessReject {
		t.Errorf("a counter-based code after a restart alone: %v", r)
	}
	if r := n.ask("u1", tokens[1].press(), nil); r.code != radius.AccessReject {
		t.Errorf("a user blocked without a master, after a restart: %v", r)
	}
	await(t, "a step that began after the start", func() bool { return tess.step() > started })
	used := tess.soon()
	if r := n.ask("tess", used, nil); r.code != radius.AccessAccept {
		t.Errorf("sign-in at the last server after its restart: %v", r)
	}

	// All come back: what was settled alone is known to all.
	m.start()
	gone.start()
	for _, s := range all {
		s.settled(3)
		s.merged()
	}
	if r := newNAS(t, atNone, m.radius).ask("tess", used, nil); r.code != radius.AccessReject {
		t.Errorf("a code that was used on the isolated server, elsewhere: %v", r)
	}
	var u struct{ Blocked bool }
	m.json(&u, "user", "show", "u1")
	if !u.Blocked {
		t.Error("the block made without a master is lost")
	}
	m.cli("user", "add", "again")
	for _, s := range all {
		s.verify()
	}
}

// Two servers: the master gone, the replica signs in; and the way back.
func TestGroupOfTwo(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	m, rep := all[0], all[1]
	rep.application("none", atNone, "--first-factor", "none")
	rep.user("alice", "")
	k := m.hotp("alice")
	at := func(s *server) *nas { return newNAS(t, atNone, s.radius) }
	for _, s := range all {
		if r := at(s).ask("alice", k.press(), nil); r.code != radius.AccessAccept {
			t.Errorf("sign-in: %v", r)
		}
	}
	rep.strangers(m)
	m.kill9()
	began := time.Now()
	code := k.press()
	if r := at(rep).ask("alice", code, nil); r.code != radius.AccessAccept {
		t.Errorf("sign-in at the replica without its master: %v", r)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	rep.refusesChanges()
	if r := at(rep).ask("alice", code, nil); r.code != radius.AccessReject {
		t.Errorf("the same code again: %v", r)
	}
	m.start()
	rep.merged()
	if r := at(m).ask("alice", code, nil); r.code != radius.AccessReject {
		t.Errorf("a code used without the master, at the master: %v", r)
	}
	if r := at(m).ask("alice", k.press(), nil); r.code != radius.AccessAccept {
		t.Errorf("the next code: %v", r)
	}

	// Leaving and joining again: the trail of before stays on the machine.
	rep.cli("group", "leave", "--yes")
	await(t, "the end of the server that left", func() bool { return !rep.proc.alive() })
	if r := countersign(t, nil, "", "server", "--config", rep.config); r.code != 1 || !strings.Contains(r.oneLine(t), "has left its group") {
		t.Errorf("a server that left, started again: %s", r.stderr)
	}
	m.settled(1)
	rep.activate(m.code())
	rep.start()
	m.settled(2)
	if kept, _ := filepath.Glob(filepath.Join(rep.data, "left", "*", "trail", "*")); len(kept) == 0 {
		t.Error("the trail of before is gone")
	}
	if r := at(rep).ask("alice", k.press(), nil); r.code != radius.AccessAccept {
		t.Errorf("sign-in at the server that came back: %v", r)
	}
	// The master leaves, and the other takes over.
	m.cli("group", "leave", "--yes")
	rep.settled(1)
	rep.cli("user", "add", "bob")
}

// A server that was forgotten while it was down decides nothing when it comes back.
func TestGroupForget(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 3)
	m, others := master(t, all)
	out, stays := others[0], others[1]
	out.kill9()
	name := ""
	for _, s := range m.members() {
		if s.Peer != "" && strings.Contains(readText(t, out.config), "peer: "+s.Peer+"\n") {
			name = s.Name
		}
	}
	stays.cli("group", "forget", name, "--yes")
	m.settled(2)
	if r := countersign(t, nil, "", "server", "--config", out.config); r.code != 1 || !strings.Contains(r.stderr, "has left its group") {
		t.Errorf("a server that was forgotten, started again: exit %d %s", r.code, r.stderr)
	}
}

// strangers checks that the coordinator's port passes on to the master what is the
// coordinator's, and nothing of what servers say to each other.
func (s *server) strangers(m *server) {
	s.t.Helper()
	ports := regexp.MustCompile(`coordinator: (\S+)`).FindStringSubmatch(readText(s.t, s.config))
	c := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // what it answers counts
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, want := range map[string]int{
		"/coordinator/v1/master": 200, "/peer/v1/report": 404, "/peer/v1/forget": 404, "/members": 404, "/raft": 404, "/version": 404,
		"/coordinator/v1/../../peer/v1/report": 404, "/coordinator/v1/%2e%2e/%2e%2e/members": 404, "//members": 404,
	} {
		r, err := c.Get("https://" + ports[1] + path)
		if err != nil {
			s.t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if r.StatusCode != want {
			s.t.Errorf("%s at the coordinator's port of a replica: %d %s", path, r.StatusCode, body)
		}
		if want == http.StatusOK && !regexp.MustCompile(`"master":"n1".*"by":"n1".*"since":"20.*"decided_by":"..*"signature":"..`).Match(body) {
			s.t.Errorf("who is master: %s", body)
		}
	}
	if len(m.members()) != 2 {
		s.t.Errorf("members: %+v", m.members())
	}
}

func readText(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What activate refuses, and that it leaves the folder as it was.
func TestActivateRefusals(t *testing.T) {
	t.Parallel()
	first := newMember(t, "n1")
	first.found()
	first.start()
	good := first.code()
	short := first.code("--ttl", "1s")
	time.Sleep(1100 * time.Millisecond) // it expires by the clock of the program, which tells nobody
	plain := prepare(t, "")
	same := newMember(t, "n1")
	other := newMember(t, "n2")
	b := []byte(good)
	b[9]++
	if b[9] > 'Z' {
		b[9] = 'A'
	}
	for _, c := range []struct {
		name string
		s    *server
		code string
		want string
	}{
		{"nonsense", other, "hello", "not an activation code"},
		{"one letter changed", other, string(b), "not an activation code"},
		{"cut off", other, good[:len(good)/2], "not an activation code"},
		{"expired", other, short, "activation code"},
		{"no peer port", plain, good, "listen.peer is not set"},
		{"name taken", same, good, "in the group already"},
	} {
		r := countersign(t, nil, c.code, "activate", "-", "--yes", "--config", c.s.config)
		if r.code != 1 || !strings.Contains(r.oneLine(t), c.want) {
			t.Errorf("%s: exit %d: %s", c.name, r.code, r.stderr)
		}
		if left, _ := os.ReadDir(c.s.data); len(left) > 1 {
			t.Errorf("%s: left %v in the data folder", c.name, left)
		}
	}
	if r := countersign(t, nil, good, "activate", "-", "--config", other.config); r.code == 0 {
		t.Error("joined without being asked")
	}
	other.activate(good)
	third := newMember(t, "n3")
	if r := countersign(t, nil, good, "activate", "-", "--yes", "--config", third.config); r.code != 1 || !strings.Contains(r.oneLine(t), "it was used") {
		t.Errorf("a code used twice: exit %d: %s", r.code, r.stderr)
	}
	if r := plainServer(t).try("", "group", "activation", "create"); r.code != 1 || !strings.Contains(r.stderr, "listen.peer") {
		t.Errorf("a code from a server without peer port: %s", r.stderr)
	}
}

func plainServer(t testing.TB) *server {
	t.Helper()
	return newServer(t)
}
