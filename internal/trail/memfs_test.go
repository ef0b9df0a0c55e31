package trail

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

var (
	errPower = errors.New("power is off")
	errDisk  = errors.New("input/output error")
)

// memFS is a disk in memory that loses what was not synced. Every operation is counted;
// from operation off on, all fail: the power is off. Operation bad alone fails with an
// I/O error; if it is a sync, the system forgets that the pages were dirty, as Linux does.
type memFS struct {
	mu      sync.Mutex
	files   map[string]*inode
	durable map[string]*inode
	journal []map[string]*inode // states of files after each operation on a folder that is not synced
	ops     int
	off     int // 0: never
	bad     int // 0: never
	kinds   []string
}

type inode struct {
	view  []byte       // what a reader sees
	disk  []byte       // what survives
	dirty map[int]bool // sectors of view that disk has not
}

func newMemFS() *memFS {
	return &memFS{files: map[string]*inode{}, durable: map[string]*inode{}}
}

// op counts an operation and says whether it fails.
func (m *memFS) op(kind string) error {
	m.ops++
	m.kinds = append(m.kinds, kind)
	if m.off > 0 && m.ops >= m.off {
		return errPower
	}
	if m.ops == m.bad {
		return errDisk
	}
	return nil
}

func (m *memFS) MkdirAll(string) error { return nil }

func (m *memFS) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.files {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *memFS) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.op("create"); err != nil {
		return nil, err
	}
	if m.files[name] != nil {
		return nil, fs.ErrExist
	}
	n := &inode{dirty: map[int]bool{}}
	m.files[name] = n
	m.journal = append(m.journal, maps.Clone(m.files))
	return &memFile{m, n}, nil
}

func (m *memFS) Open(name string, _ bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.files[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return &memFile{m, n}, nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.op("rename"); err != nil {
		return err
	}
	m.files[to] = m.files[from]
	delete(m.files, from)
	m.journal = append(m.journal, maps.Clone(m.files))
	return nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return fs.ErrNotExist
	}
	if err := m.op("remove"); err != nil {
		return err
	}
	delete(m.files, name)
	m.journal = append(m.journal, maps.Clone(m.files))
	return nil
}

func (m *memFS) SyncDir(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.op("syncdir"); err != nil {
		return err
	}
	m.durable, m.journal = maps.Clone(m.files), nil
	return nil
}

type memFile struct {
	m *memFS
	n *inode
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if off >= int64(len(f.n.view)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.view[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.m.op("write")
	if errors.Is(err, errDisk) {
		b = b[:len(b)/2] // a part of it got through
	}
	end := int(off) + len(b)
	if end > len(f.n.view) {
		f.n.view = append(f.n.view, make([]byte, end-len(f.n.view))...)
	}
	copy(f.n.view[off:], b)
	for s := int(off) / sector; s*sector < end; s++ {
		f.n.dirty[s] = true
	}
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.view)), nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.op("truncate"); err != nil {
		return err
	}
	f.n.view = slices.Clone(f.n.view[:size])
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.op("sync"); err != nil {
		if errors.Is(err, errDisk) {
			f.n.dirty = map[int]bool{} // the next sync would say that all is well
		}
		return err
	}
	f.n.disk = f.n.survivor(func(int) bool { return true }, true)
	f.n.dirty = map[int]bool{}
	return nil
}

func (f *memFile) Close() error { return nil }

// survivor returns what is on the disk if the sectors that keep says made it there, and
// the size too if resized is set. What lies in the file and was never written is zero.
func (n *inode) survivor(keep func(s int) bool, resized bool) []byte {
	size := len(n.disk)
	if resized {
		size = len(n.view)
	}
	out := make([]byte, size)
	copy(out, n.disk)
	for s := range n.dirty {
		if from := s * sector; from < min(size, len(n.view)) && keep(s) {
			copy(out[from:min(from+sector, size)], n.view[from:])
		}
	}
	return out
}

// How much of what was not synced survives a cut.
const (
	cutNothing = iota
	cutEverything
	cutSome // each sector or not, each size or not, a part of the journal
	cutModes
)

// cut returns the disk as it is found after the power is back.
func (m *memFS) cut(mode int, rng *rand.Rand) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	chance := func() bool {
		switch mode {
		case cutNothing:
			return false
		case cutEverything:
			return true
		}
		return rng.IntN(2) == 0
	}
	files := m.durable
	for _, state := range m.journal {
		if !chance() {
			break
		}
		files = state
	}
	after := newMemFS()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		n := files[name]
		sectors := slices.Sorted(maps.Keys(n.dirty))
		kept := map[int]bool{}
		for _, s := range sectors {
			kept[s] = chance()
		}
		b := n.survivor(func(s int) bool { return kept[s] }, chance())
		after.files[name] = &inode{view: b, disk: slices.Clone(b), dirty: map[int]bool{}}
	}
	after.durable = maps.Clone(after.files)
	return after
}

// TestMemFSLosesWhatIsNotSynced: a fake that forgets nothing would prove nothing.
func TestMemFSLosesWhatIsNotSynced(t *testing.T) {
	m := newMemFS()
	f, err := m.Create("/d/a")
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string, at int64) {
		if _, err := f.WriteAt([]byte(s), at); err != nil {
			t.Fatal(err)
		}
	}
	write("one", 0)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := len(m.cut(cutNothing, nil).files); got != 0 {
		t.Errorf("the folder was not synced: got %d files, want 0", got)
	}
	if err := m.SyncDir("/d"); err != nil {
		t.Fatal(err)
	}
	write("two", 0)
	if got := string(m.cut(cutNothing, nil).files["/d/a"].view); got != "one" {
		t.Errorf("nothing survives: got %q, want one", got)
	}
	if got := string(m.cut(cutEverything, nil).files["/d/a"].view); got != "two" {
		t.Errorf("everything survives: got %q, want two", got)
	}
	m.bad = m.ops + 1
	if err := f.Sync(); !errors.Is(err, errDisk) {
		t.Errorf("failing sync: got %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := string(m.cut(cutNothing, nil).files["/d/a"].view); got != "one" {
		t.Errorf("a sync after a failed one writes nothing: got %q, want one", got)
	}
}
