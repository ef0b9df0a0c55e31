package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// load is people who sign in at the servers of a group, and an administrator who writes.
type load struct {
	t    testing.TB
	all  []*server
	stop chan struct{}
	wg   sync.WaitGroup

	signed, again atomic.Int64 // sign-ins, and packets that had to be sent again
	slowest       []atomic.Int64
	mu            sync.Mutex
	written       []string // users whose creation was acknowledged
	gap           time.Duration
}

// newLoad has so many people sign in at each of the servers, each about once a second, which
// is what a record keeps legs for.
func newLoad(t testing.TB, all []*server, people int) *load {
	t.Helper()
	l := &load{t: t, all: all, stop: make(chan struct{}), slowest: make([]atomic.Int64, len(all))}
	all[0].application("none", atNone, "--first-factor", "none")
	for i, s := range all {
		for n := range people {
			login := fmt.Sprintf("u%d-%d", i, n)
			s.user(login, "")
			k := s.hotp(login)
			at := newNAS(t, atNone, s.radius)
			at.wait = 300 * time.Millisecond
			l.wg.Go(func() { l.person(i, at, login, k) })
		}
	}
	l.wg.Go(l.writer)
	return l
}

// person signs in again and again. A packet without an answer is sent again as a client
// does it: the same packet.
func (l *load) person(server int, at *nas, login string, k *token) {
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(time.Second):
		}
		began, packet := time.Now(), at.request(login, k.press(), nil)
		var r reply
		err := errSilent
		for tries := 0; err != nil && time.Since(began) < 20*time.Second; tries++ {
			if tries > 0 {
				l.again.Add(1)
				time.Sleep(100 * time.Millisecond) // the port may be closed, which is told at once
			}
			r, err = at.exchange(packet)
		}
		if err != nil || r.code != radius.AccessAccept {
			l.t.Errorf("a valid sign-in of %s at server %d: %v %v", login, server, r, err)
		}
		l.signed.Add(1)
		for took := int64(time.Since(began)); ; {
			if old := l.slowest[server].Load(); took <= old || l.slowest[server].CompareAndSwap(old, took) {
				break
			}
		}
	}
}

// writer adds one user after the other at whichever server takes it.
func (l *load) writer() {
	last := time.Now()
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		login := fmt.Sprintf("w%d", n)
		r := l.all[n%len(l.all)].try("", "user", "add", login)
		if r.code == 0 {
			l.mu.Lock()
			l.written = append(l.written, login)
			l.gap = max(l.gap, time.Since(last))
			l.mu.Unlock()
			last = time.Now()
		}
	}
}

func (l *load) count() (signed int64, written int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.signed.Load(), len(l.written)
}

// more waits for so many more sign-ins, and a change.
func (l *load) more(sign int64) {
	l.t.Helper()
	s, w := l.count()
	await(l.t, "sign-ins and changes", func() bool { a, b := l.count(); return a >= s+sign && b > w })
}

// end stops the load and checks that nothing that was acknowledged is lost.
func (l *load) end() {
	l.t.Helper()
	close(l.stop)
	l.wg.Wait()
	for i := range l.slowest {
		l.t.Logf("server %d: the slowest sign-in took %s", i, time.Duration(l.slowest[i].Load()).Round(time.Millisecond))
	}
	l.t.Logf("%d sign-ins, %d packets sent again; %d changes, longest gap between two %s", l.signed.Load(), l.again.Load(), len(l.written), l.gap.Round(time.Millisecond))
	for _, s := range l.all {
		s.merged()
		list := s.cli("user", "list", "--limit", "0")
		for _, login := range l.written {
			if !strings.Contains(list, login+" ") {
				l.t.Errorf("user %s was acknowledged and is lost", login)
			}
		}
		s.verify()
	}
}

// promoted checks what a promotion has answered and left.
func (s *server) promoted(args ...string) mfa.Promotion {
	s.t.Helper()
	var p mfa.Promotion
	s.json(&p, append([]string{"group", "promote", "--yes"}, args...)...)
	if p.WritesAtRisk != 0 || p.UsersAtRisk != 0 || p.Settling || len(p.Steps) == 0 || p.WriteGapMS <= 0 {
		s.t.Errorf("promotion: %+v", p)
	}
	s.t.Logf("promotion: %+v", p)
	return p
}

// follows waits until a server is up and names this one as master.
func (s *server) follows(name string) {
	s.t.Helper()
	await(s.t, "the new master", func() bool {
		var st admin.Status
		r := s.try("", "status", "--json")
		return r.code == 0 && document(r.stdout, &st) == nil && st.Master == name && !st.Degraded
	})
}

// Two servers change places under load, back and forth.
func TestPromotePair(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	l := newLoad(t, all, 16)
	l.more(16)
	p := all[1].promoted() // asked at the replica
	if p.OldMaster != "n1" || p.NewMaster != "n2" || !p.Swap {
		t.Errorf("promotion: %+v", p)
	}
	for _, s := range all {
		s.follows("n2")
	}
	all[1].settled(2)
	l.more(32)
	if p = all[1].promoted("--to", "n1"); p.NewMaster != "n1" { // asked at the master, which has to go
		t.Errorf("promotion back: %+v", p)
	}
	for _, s := range all {
		s.follows("n1")
	}
	all[0].settled(2)
	l.more(32)
	l.end()
	// Who signed in where a server had no database was answered, by the other server.
	relayed := 0
	for i, s := range all {
		var doc struct{ Attempts []struct{ Login string } }
		s.json(&doc, "audit", "list", "--here", "--limit", "0")
		for _, a := range doc.Attempts {
			if strings.HasPrefix(a.Login, "u") && !strings.HasPrefix(a.Login, fmt.Sprintf("u%d-", i)) {
				relayed++
			}
		}
	}
	if t.Logf("%d sign-ins relayed", relayed); relayed == 0 {
		t.Error("no sign-in was relayed")
	}
}

// Three servers: the master moves under load, nobody is refused anywhere.
func TestPromoteThree(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 3)
	l := newLoad(t, all, 6)
	m, others := master(t, all)
	l.more(18)
	p := others[0].promoted()
	if p.Swap || p.NewMaster == p.OldMaster {
		t.Errorf("promotion: %+v", p)
	}
	for _, s := range all {
		s.follows(p.NewMaster)
	}
	l.more(36)
	if p = m.promoted("--to", p.OldMaster); p.Swap {
		t.Errorf("promotion back: %+v", p)
	}
	for _, s := range all {
		s.follows(p.NewMaster)
		s.settled(3)
	}
	l.more(36)
	if r := m.try("", "group", "promote", "--to", "n9"); r.code != 1 || !strings.Contains(r.oneLine(t), "its servers are n1, n2, n3") {
		t.Errorf("an unknown server: %s", r.stderr)
	}
	if r := m.try("", "group", "promote", "--to", p.NewMaster); r.code != 0 || !strings.Contains(r.stderr, "the master already") {
		t.Errorf("the master itself: %s", r.stderr)
	}
	l.end()
}

// The old master of a pair is killed after the other leads and before it has given its vote
// back. The other signs people in alone meanwhile, and once both are there the rest is done.
func TestPromotePairKilled(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	n1, n2 := all[0], all[1]
	n2.application("none", atNone, "--first-factor", "none")
	n2.user("alice", "")
	k := n1.hotp("alice")
	n1.cli("user", "add", "early")
	asked := make(chan result, 1)
	go func() { asked <- n2.try("", "group", "promote", "--yes", "--json") }()
	await(t, "the moment between two steps", func() bool {
		voters, leads := 0, false
		for _, m := range n2.members() {
			if m.Voter {
				voters++
			}
			leads = leads || m.Name == "n2" && m.Role == "master"
		}
		if leads && voters < 2 {
			t.Fatal("the moment was missed")
		}
		return leads
	})
	n1.kill9()
	if r := newNAS(t, atNone, n2.radius).ask("alice", k.press(), nil); r.code != radius.AccessAccept {
		t.Errorf("sign-in at the new master alone: %v", r)
	}
	n2.refusesChanges()
	n1.start()
	r := <-asked
	var p mfa.Promotion
	if err := document(r.stdout, &p); r.code != 0 || err != nil || p.NewMaster != "n2" || p.Settling {
		t.Errorf("the promotion, which outlasted it: exit %d %s\n%s", r.code, r.stderr, r.stdout)
	}
	for _, s := range all {
		s.follows("n2")
		s.settled(2)
		s.merged()
		if r := newNAS(t, atNone, s.radius).ask("alice", k.press(), nil); r.code != radius.AccessAccept {
			t.Errorf("sign-in afterwards: %v", r)
		}
		if !strings.Contains(s.cli("user", "list"), "early ") {
			t.Error("a user that was acknowledged is lost")
		}
		s.verify()
	}
	if acts := n1.cli("audit", "list", "--acts"); !strings.Contains(acts, "group promote") {
		t.Errorf("the trail of the server that was the master has no act: %s", acts)
	}
}

// A master whose disk is nearly full takes no changes, and hands over to one that does.
func TestPromoteFullDisk(t *testing.T) {
	dir := smallDisk(t, "900")
	all := groupOf(t, newMemberIn(t, "n1", dir), 3)
	n1 := all[0]
	if m, _ := master(t, all); m != n1 {
		n1.promoted("--to", "n1")
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-20<<20); err != nil {
		t.Fatal(err)
	}
	await(t, "changes are refused", func() bool {
		r := n1.try("", "user", "add", fmt.Sprintf("u%d", time.Now().UnixNano()))
		return r.code == 1 && strings.Contains(r.stderr, "free space")
	})
	var p mfa.Promotion // by itself or by this: whichever came first
	if n1.json(&p, "group", "promote", "--yes"); p.Swap {
		t.Errorf("promotion: %+v", p)
	}
	await(t, "a refusal to go back to the full disk", func() bool { // what n1 says of itself is a second old
		r := all[1].try("", "group", "promote", "--to", "n1")
		if r.code == 0 { // so it was asked too soon
			n1.try("", "group", "promote", "--yes", "--to", "n2")
		}
		return r.code == 1 && strings.Contains(r.oneLine(t), "it could take no changes") && strings.Contains(r.stderr, "free space")
	})
	all[1].cli("user", "add", "alice")
}
