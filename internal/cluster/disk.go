package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"countersign/internal/mfa"
)

const ballastName = "ballast"

// guard keeps etcd from meeting a full disk, which would end the process: it refuses
// writes below a floor of free space, and holds a reserve that it gives up at that moment,
// so that what is on its way and etcd's own housekeeping still find room. check must not
// run twice at a time.
type guard struct {
	dir   string
	size  int64 // of the ballast; 0: none
	log   *slog.Logger
	space func(path string) (free, total int64, err error)

	low    atomic.Pointer[shortage]
	failed bool // the last check could not ask
}

// shortage is why writes are refused.
type shortage struct{ free, needed int64 }

// floor is the free space below which writes are refused: 5 % of the disk, but at least
// twice the ballast.
func (g *guard) floor(total int64) int64 { return max(total/20, 2*g.size) }

// check looks at the disk, gives the ballast up or makes it again, and sets whether writes
// are refused. They are allowed again once there is room for a new ballast above the floor.
func (g *guard) check() {
	free, total, err := g.space(g.dir)
	if err != nil {
		if !g.failed {
			g.log.Warn("the free disk space is not known", "path", g.dir, "error", err)
		}
		g.failed = true
		return
	}
	g.failed = false
	path := filepath.Join(g.dir, ballastName)
	floor := g.floor(total)
	_, err = os.Lstat(path)
	have := err == nil
	was := g.low.Load()
	switch {
	case free < floor:
		g.low.Store(&shortage{free: free, needed: floor + g.size})
		if was == nil {
			g.log.Error("the disk is nearly full: changes are refused", "path", g.dir, "free", bytesText(free), "needed", bytesText(floor+g.size))
		}
		if have {
			g.log.Warn("the ballast file is given up", "path", path, "error", os.Remove(path))
		}
		return
	case g.size > 0 && !have && free >= floor+g.size:
		if err := makeBallast(path, g.size); err != nil {
			g.log.Warn("no ballast file could be made", "path", path, "error", err)
			return
		}
	case g.size > 0 && !have && was != nil:
		g.low.Store(&shortage{free: free, needed: floor + g.size})
		return
	case g.size == 0 && have:
		os.Remove(path)
	}
	if was != nil {
		g.low.Store(nil)
		g.log.Info("the disk has room again: changes are allowed", "path", g.dir, "free", bytesText(free))
	}
}

// refusal returns the error for a write, nil if there is room.
func (g *guard) refusal() error {
	low := g.low.Load()
	if low == nil {
		return nil
	}
	return fmt.Errorf("%w: the disk of %s has %s free and %s are needed: free space or enlarge the disk; changes are allowed again by themselves",
		mfa.ErrReadOnly, g.dir, bytesText(low.free), bytesText(low.needed))
}

// short reports whether size more bytes would bring the disk below the floor.
func (g *guard) short(size int64) bool {
	free, total, err := g.space(g.dir)
	return err == nil && free-size < g.floor(total)
}

// makeBallast makes a file of size bytes that really takes them.
func makeBallast(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = allocate(f, size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

// fill writes zeros, for file systems that cannot set space aside otherwise.
func fill(f *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for size > 0 {
		n := min(size, int64(len(block)))
		if _, err := f.Write(block[:n]); err != nil {
			return err
		}
		size -= n
	}
	return f.Sync()
}

// bytesText returns n for people: "256 MiB".
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}
