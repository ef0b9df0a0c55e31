//go:build unix

package cluster

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"countersign/internal/mfa"
)

// allocatedBytes returns what a file takes on the disk.
func allocatedBytes(st fs.FileInfo) int64 { return st.Sys().(*syscall.Stat_t).Blocks * 512 }

func TestGuard(t *testing.T) {
	const mib = 1 << 20
	dir := t.TempDir()
	path := filepath.Join(dir, ballastName)
	var free, total int64
	var spaceErr error
	g := &guard{dir: dir, size: 4 * mib, log: slog.New(slog.DiscardHandler),
		space: func(string) (int64, int64, error) { return free, total, spaceErr }}
	// The floor is 5 % of 400 MiB: 20 MiB.
	for _, s := range []struct {
		name    string
		free    int64
		err     error
		refused bool
		ballast bool
	}{
		{"no room for ballast, but above the floor", 22 * mib, nil, false, false},
		{"room: it is made", 24 * mib, nil, false, true},
		{"above the floor: it stays", 20 * mib, nil, false, true},
		{"below: refused, given up", 20*mib - 1, nil, true, false},
		{"the space given up is not room", 23 * mib, nil, true, false},
		{"unknown: as before", 100 * mib, errors.New("gone"), true, false},
		{"room for the floor and the ballast", 24 * mib, nil, false, true},
		{"unknown: as before", 0, errors.New("gone"), false, true},
	} {
		free, total, spaceErr = s.free, 400*mib, s.err
		g.check()
		err := g.refusal()
		if (err != nil) != s.refused {
			t.Errorf("%s: %v, want refused %v", s.name, err, s.refused)
		}
		st, statErr := os.Stat(path)
		if (statErr == nil) != s.ballast {
			t.Errorf("%s: ballast %v, want %v", s.name, statErr == nil, s.ballast)
		}
		if statErr == nil && st.Size() != g.size {
			t.Errorf("%s: ballast of %d bytes", s.name, st.Size())
		}
	}
	free, spaceErr = 0, nil
	g.check()
	err := g.refusal()
	for _, want := range []string{dir, "0 B free", "24.0 MiB are needed", "free space"} {
		if !errors.Is(err, mfa.ErrReadOnly) || !strings.Contains(err.Error(), want) {
			t.Errorf("refusal %q does not say %q", err, want)
		}
	}
	if !g.short(1) {
		t.Error("a full disk has room for a snapshot")
	}
}

func TestGuardFloor(t *testing.T) {
	g := &guard{size: 256 << 20}
	for total, want := range map[int64]int64{1 << 30: 512 << 20, 100 << 30: 5 << 30} {
		if got := g.floor(total); got != want {
			t.Errorf("disk of %s: floor %s, want %s", bytesText(total), bytesText(got), bytesText(want))
		}
	}
}

func TestBallastTakesItsSpace(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Ballast = 8 << 20 })
	path := filepath.Join(n.o.DataDir, ballastName)
	st, err := os.Stat(path)
	must(t, err)
	if got := allocatedBytes(st); st.Size() != 8<<20 || got < 8<<20 {
		t.Errorf("ballast of %d bytes takes %d, want 8 MiB", st.Size(), got)
	}
	n.o.Ballast = -1
	reopen(t, n)
	if _, err := os.Stat(path); err == nil {
		t.Error("the ballast is still there though it is switched off")
	}
}

func TestFill(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	must(t, err)
	defer f.Close()
	const size = 3<<20 + 5
	must(t, fill(f, size))
	st, err := f.Stat()
	must(t, err)
	if got := allocatedBytes(st); st.Size() != size || got < size {
		t.Errorf("%d bytes take %d, want %d", st.Size(), got, size)
	}
}

func TestQuotaRefusesPutsOnly(t *testing.T) {
	n := newNode(t)
	put(t, n, "a", "1")
	n.quota = n.srv.Backend().Size() // as if it were reached
	_, _, err := n.Commit(t.Context(), nil, map[string][]byte{"b": []byte("1")}, nil)
	if !errors.Is(err, mfa.ErrReadOnly) || !strings.Contains(err.Error(), n.o.DataDir) {
		t.Errorf("put: %v", err)
	}
	if _, ok, err := n.Commit(t.Context(), nil, nil, []string{"a"}); !ok || err != nil {
		t.Errorf("delete: %v, %v", ok, err)
	}
	if s, err := n.Status(); err != nil || !errors.Is(s.ReadOnly, mfa.ErrReadOnly) {
		t.Errorf("status: %+v, %v", s, err)
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 256 << 20: "256.0 MiB", 8 << 30: "8.0 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
