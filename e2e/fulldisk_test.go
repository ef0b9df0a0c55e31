package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfatest"
	"countersign/internal/radius"
)

// smallDisk mounts a file system of so many MiB until the test ends.
func smallDisk(t testing.TB, mib string) string {
	t.Helper()
	if os.Getuid() != 0 {
		mfatest.Missing(t, "a small file system needs root")
	}
	dir, err := os.MkdirTemp("", "cs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+mib+"m"); err != nil {
		mfatest.Missing(t, "a small file system cannot be mounted here: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the space that a disk has, again and again until it stays full.
func fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	var names []string
	for i := range 200 {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		if room := int64(st.Bavail) * st.Bsize; room > 0 {
			name := filepath.Join(dir, "filler"+string(rune('a'+i%26))+string(rune('a'+i/26)))
			f, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
			err = syscall.Fallocate(int(f.Fd()), 0, 0, room)
			_ = f.Close()
			if err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
		} else if i > 150 {
			break
		}
		time.Sleep(20 * time.Millisecond) // what gives space up meanwhile loses it, too
	}
	return func() {
		for _, n := range names {
			if err := os.Remove(n); err != nil {
				t.Error(err)
			}
		}
	}
}

// A disk that fills up under load: nobody gets in without a record, nobody is told what is
// not true, the server lives and says what is wrong, and goes on when there is room again.
func TestFullDisk(t *testing.T) {
	s := prepare(t, smallDisk(t, "900"))
	s.found()
	s.start()
	s.application("none", "127.0.0.1", "--first-factor", "none")
	const users = 4
	tokens := make([]*token, users)
	logins := []string{"ann", "bob", "cid", "dot"}
	for i, login := range logins {
		s.user(login, "")
		tokens[i] = s.hotp(login)
	}
	s.cli("policy", "set", "hotp_window=100")

	var stop atomic.Bool
	var wg sync.WaitGroup
	accepted := make([]int, users)
	for i, login := range logins {
		n := newNAS(t, "127.0.0.1", s.radius)
		n.wait = 200 * time.Millisecond
		wg.Go(func() {
			for !stop.Load() && accepted[i] < 30 { // a record has room for some 45 in half a minute, those whose answer came late too
				r, err := n.exchange(n.request(login, tokens[i].press(), nil))
				switch {
				case err == nil && r.code == radius.AccessAccept:
					accepted[i]++
				case err == nil:
					t.Errorf("%s: the right code gets %v", login, r)
				case !errors.Is(err, errSilent):
					t.Error(err)
				}
				time.Sleep(40 * time.Millisecond) // a pace at which they last until the disk is full
			}
		})
	}
	free := fill(t, s.dir)
	stop.Store(true)
	wg.Wait()
	if t.Failed() {
		t.Logf("the trail says: %v", s.reasons())
	}
	if !s.proc.alive() {
		t.Fatal("the server ended")
	}

	// Full: refused, and said so, wherever somebody looks.
	n := newNAS(t, "127.0.0.1", s.radius)
	n.wait = 3 * time.Second
	late := tokens[0].press()
	if r, err := n.exchange(n.request("ann", late, nil)); !errors.Is(err, errSilent) {
		t.Errorf("a sign-in on a full disk: %v, %v", r, err)
	}
	if code, text := s.get("/health/ready"); code != http.StatusServiceUnavailable || !strings.Contains(text, "free space or enlarge the disk") {
		t.Errorf("/health/ready: %d %s", code, text)
	}
	if code, _ := s.get("/health/live"); code != http.StatusOK {
		t.Errorf("/health/live: %d", code)
	}
	if r := s.try("", "user", "add", "eve"); r.code != 1 || !strings.Contains(r.oneLine(t), "free space or enlarge the disk") {
		t.Errorf("user add: exit %d, %q", r.code, r.stderr)
	}
	var status admin.Status
	s.answer(&status, "status")
	if !strings.Contains(strings.Join(status.Warnings, "\n"), "free space") {
		t.Errorf("status warns of %q", status.Warnings)
	}
	if r := s.try("", "doctor"); r.code != 1 || !strings.Contains(r.stdout, "free space") {
		t.Errorf("doctor: exit %d\n%s", r.code, r.stdout)
	}
	if !strings.Contains(s.log.String(), "nearly full") {
		t.Error("the log does not say that the disk is nearly full")
	}

	// Room again.
	free()
	await(t, "ready", func() bool { code, _ := s.get("/health/ready"); return code == http.StatusOK })
	if r := n.send(n.request("ann", late, nil)); r.code != radius.AccessAccept {
		t.Errorf("with room again: %v", r)
	}
	accepted[0]++
	s.verify()
	for i, login := range logins {
		if ok := s.reasons("--user", login)["ok"]; ok < accepted[i] {
			t.Errorf("%s was accepted %d times, the trail has %d", login, accepted[i], ok)
		}
	}
	s.kill9()
	s.start()
	if r := newNAS(t, "127.0.0.1", s.radius).ask("ann", late, nil); r.code != radius.AccessReject {
		t.Errorf("a used code after all of that: %v", r)
	}
	s.verify()
}

// The master of a pair has no room. The other server refuses changes and says whose disk it
// is; what takes something away and sign-ins go on there.
func TestFullDiskOfTheMaster(t *testing.T) {
	all := groupOf(t, newMemberIn(t, "n1", smallDisk(t, "900")), 2)
	m, rep := all[0], all[1]
	rep.application("none", atNone, "--first-factor", "none")
	rep.user("hank", "")
	hank := rep.hotp("hank")
	free := fill(t, m.dir)
	const says = "the master n1 takes no changes: the disk of"
	await(t, "the replica hears of it", func() bool { return strings.Contains(strings.Join(rep.status().Warnings, " "), says) })
	if r := rep.try("", "user", "add", "eve"); r.code != 1 || !strings.Contains(r.oneLine(t), says) || !strings.Contains(r.stderr, "free space") {
		t.Errorf("user add at the replica: exit %d, %q", r.code, r.stderr)
	}
	if r := rep.try("", "doctor"); !strings.Contains(r.stdout, says) {
		t.Errorf("doctor at the replica: exit %d\n%s", r.code, r.stdout)
	}
	if r := newNAS(t, atNone, rep.radius).ask("hank", hank.press(), nil); r.code != radius.AccessAccept {
		t.Errorf("a sign-in at the replica: %v (%s)", r, rep.reason("hank"))
	}
	rep.cli("user", "block", "hank")
	free()
	await(t, "changes", func() bool { return rep.try("", "user", "add", "eve").code == 0 })
}
