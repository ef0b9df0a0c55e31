package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"countersign/internal/mfatest"
)

// ext4's ioctl that ends a file system as a power cut does: nothing that is not on the disk
// gets there any more, the journal of the file system neither.
const (
	ext4Shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN
	ext4NoLogFlush = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
)

// disk is a file system of its own whose power can be cut.
type disk struct {
	t          testing.TB
	image, dir string
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	mkfs := mfatest.Need(t, "mkfs.ext4")[0]
	if os.Getuid() != 0 {
		mfatest.Missing(t, "a file system of its own needs root")
	}
	d := &disk{t: t, image: filepath.Join(t.TempDir(), "disk"), dir: t.TempDir()}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 900<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), mkfs, "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs: %v\n%s", err, out)
	}
	if out, err := d.mount(); err != nil {
		mfatest.Missing(t, "a file system in a file cannot be mounted here: "+string(out))
	}
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	return d
}

func (d *disk) mount() ([]byte, error) {
	return exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput()
}

// sync brings everything to the disk.
func (d *disk) sync() { d.do(func(fd int) error { return unix.Syncfs(fd) }) }

// cut ends the file system without a word.
func (d *disk) cut() {
	d.do(func(fd int) error { return unix.IoctlSetPointerInt(fd, ext4Shutdown, ext4NoLogFlush) })
}

func (d *disk) do(what func(fd int) error) {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err == nil {
		err = what(int(f.Fd()))
		_ = f.Close()
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// restore mounts what is left, which nobody may be using.
func (d *disk) restore() {
	d.t.Helper()
	if err := unix.Unmount(d.dir, 0); err != nil {
		d.t.Fatal(err)
	}
	// Until the kernel has let go of it, mounting would give the dead file system again.
	await(d.t, "the end of the file system", func() bool {
		held, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
		return !slices.ContainsFunc(held, func(name string) bool {
			b, _ := os.ReadFile(name)
			return strings.TrimSpace(string(b)) == d.image
		})
	})
	if out, err := d.mount(); err != nil {
		d.t.Fatalf("mount: %v\n%s", err, out)
	}
}

// TestPowerCut cuts the power at random moments under load: what was not synced is gone.
// The same holds as after a kill.
func TestPowerCut(t *testing.T) {
	d := newDisk(t)
	s := prepare(t, d.dir)
	d.sync() // the node file; the rest is the server's own affair
	s.found()
	s.start()
	s.applications()
	chaos(t, s, setting(t, "POWER_CUTS", 3), func() {
		d.cut()
		s.kill9()
		d.restore()
	})
}
