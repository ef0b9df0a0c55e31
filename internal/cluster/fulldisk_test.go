//go:build linux

package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
)

// smallDisk mounts a file system of the given size for the test.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	mfatest.Need(t, "mount", "umount")
	if os.Geteuid() != 0 {
		mfatest.Missing(t, "root, to mount a small disk")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		mfatest.Missing(t, "leave to mount a small disk: "+string(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %s", dir, out)
		}
	})
	return dir
}

// fillTo writes a file until at most about free bytes of the disk are left.
func fillTo(t *testing.T, path string, free int64) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for block := int64(1 << 20); block >= 4096; block /= 16 {
		for {
			now, _, err := diskSpace(filepath.Dir(path))
			must(t, err)
			if now-block < free {
				break
			}
			if _, err := f.Write(make([]byte, block)); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFullDisk fills the disk under a node that is being written to: writes are refused,
// the process lives, and after space is freed writes go on by themselves and nothing that
// was acknowledged is missing.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, "128m")
	log := messages{slog.DiscardHandler, make(chan string, 1<<20)}
	o := testOptions(filepath.Join(disk, "data"))
	o.Ballast = 8 << 20 // so writes are refused below 16 MiB
	o.Log = slog.New(log)
	n, err := Found(t.Context(), o)
	must(t, err)
	t.Cleanup(n.Close)
	ballast := filepath.Join(o.DataDir, ballastName)
	_, err = os.Stat(ballast)
	must(t, err)
	go n.Run(t.Context())

	var mu sync.Mutex
	acked := map[string]bool{}
	// write has 8 callers write until one is refused or more keys are acknowledged than
	// limit. It calls midway once, after 200.
	write := func(round string, limit int, midway func()) (refused error) {
		var wg sync.WaitGroup
		done := 0
		for w := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					key := fmt.Sprintf("k/%s/%d/%d", round, w, i)
					_, ok, err := n.Commit(t.Context(), nil, map[string][]byte{key: make([]byte, 200)}, nil)
					mu.Lock()
					if err != nil {
						refused = err
					}
					if ok {
						acked[key] = true
						if done++; done == 200 {
							midway()
						}
					}
					stop := refused != nil || done >= limit
					mu.Unlock()
					if stop {
						return
					}
				}
			})
		}
		wg.Wait()
		return refused
	}
	filler := filepath.Join(disk, "filler")
	err = write("1", 1_000_000, func() { fillTo(t, filler, 12<<20) })
	if !errors.Is(err, mfa.ErrReadOnly) || !strings.Contains(err.Error(), o.DataDir) {
		t.Fatalf("on a disk that is nearly full: %v, want ErrReadOnly", err)
	}
	log.await(t, "ballast file is given up")
	if _, err := os.Stat(ballast); err == nil {
		t.Error("the ballast is still there")
	}
	n.srv.Backend().ForceCommit() // what etcd had begun finds room
	fillTo(t, filepath.Join(disk, "filler2"), 0)
	if _, _, err := n.Commit(t.Context(), nil, map[string][]byte{"a": []byte("1")}, nil); !errors.Is(err, mfa.ErrReadOnly) {
		t.Errorf("on a full disk: %v, want ErrReadOnly", err)
	}
	for key := range acked {
		if _, rev := get(t, n, key); rev == 0 {
			t.Fatalf("%s was acknowledged and cannot be read on the full disk", key)
		}
	}
	must(t, os.Remove(filler))
	must(t, os.Remove(filler+"2"))
	log.await(t, "changes are allowed")
	if _, err := os.Stat(ballast); err != nil {
		t.Errorf("no new ballast: %v", err)
	}
	must(t, write("2", 400, func() {}))

	n = reopen(t, n)
	for key := range acked {
		if _, rev := get(t, n, key); rev == 0 {
			t.Errorf("%s was acknowledged and is gone", key)
		}
	}
	t.Logf("%d acknowledged commits", len(acked))
}

// TestDiskThatFillsAtOnce fills the disk faster than the guard can see. etcd ends the
// process; the fatal hook has run before, and nothing that was acknowledged is missing
// after the next start with room.
func TestDiskThatFillsAtOnce(t *testing.T) {
	disk := smallDisk(t, "96m")
	o := testOptions(filepath.Join(disk, "data"))
	n, err := Found(t.Context(), o)
	must(t, err)
	n.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CLUSTER_TEST_CHILD=full", "CLUSTER_TEST_DIR="+o.DataDir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	filler := filepath.Join(disk, "filler")
	acked := 0
	steps := make([]int, childWriters)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var w, s int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &s); err != nil {
			t.Fatalf("child says %q", lines.Text())
		}
		steps[w] = max(steps[w], s)
		if acked++; acked == 300 {
			fillTo(t, filler, 0)
		}
	}
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), fatalHookRan) {
		t.Errorf("the child ended with %v and said %q, want exit status 1 after the hook", err, stderr.String())
	}
	must(t, os.Remove(filler))
	n, err = Open(t.Context(), o)
	must(t, err)
	defer n.Close()
	_, err = n.Barrier(t.Context())
	must(t, err)
	for w, last := range steps {
		for s := 1; s <= last; s++ {
			if _, rev := get(t, n, fmt.Sprintf("step/%d/%d", w, s)); rev == 0 {
				t.Errorf("step %d of writer %d was acknowledged and is gone", s, w)
			}
		}
	}
	t.Logf("%d acknowledged commits; the child said %q", acked, stderr.String())
}
