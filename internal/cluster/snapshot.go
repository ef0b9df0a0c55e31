package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

const (
	snapshotDirName = "snapshots"
	snapshotEvery   = time.Hour
)

// Snapshot writes a copy of the database, as of one revision, to w: etcd's snapshot format,
// the database file followed by its SHA-256. Everything up to the returned revision is in
// it. It needs no master, and reads and writes go on meanwhile.
func (n *Node) Snapshot(ctx context.Context, w io.Writer) (rev int64, err error) {
	if err := n.enter(); err != nil {
		return 0, err
	}
	defer n.ops.Done()
	rev = n.srv.KV().Rev()
	sn := n.srv.Backend().Snapshot() // takes in what is not yet in the file
	defer sn.Close()
	sum := sha256.New()
	out := &liveWriter{n: n, ctx: ctx, w: w}
	if _, err := sn.WriteTo(io.MultiWriter(out, sum)); err != nil {
		return 0, fmt.Errorf("snapshot of the database: %w", cmp.Or(out.err, err))
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return 0, fmt.Errorf("snapshot of the database: %w", err)
	}
	return rev, nil
}

// liveWriter ends a copy when its context or the node does. It keeps the error, which
// bbolt turns into text.
type liveWriter struct {
	n   *Node
	ctx context.Context
	w   io.Writer
	err error
}

func (l *liveWriter) Write(b []byte) (n int, err error) {
	if l.err = l.n.live(l.ctx); l.err != nil {
		return 0, l.err
	}
	n, l.err = l.w.Write(b)
	return n, l.err
}

// SnapshotInfo tells what is in a snapshot file.
type SnapshotInfo struct {
	Revision int64 // of the newest change in it
	Keys     int
	Size     int64 // bytes
}

// VerifySnapshot reads the whole snapshot file at path: its checksum, every page of the
// database and every record. It changes nothing.
func VerifySnapshot(path string) (SnapshotInfo, error) {
	if err := verifySum(path); err != nil {
		return SnapshotInfo{}, fmt.Errorf("snapshot %s: %w", path, err)
	}
	s, err := snapshot.NewV3(zap.NewNop()).Status(path)
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("snapshot %s: %w", path, err)
	}
	return SnapshotInfo{Revision: s.Revision, Keys: s.TotalKey, Size: s.TotalSize}, nil
}

func verifySum(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() <= sha256.Size || st.Size()%512 != sha256.Size {
		return fmt.Errorf("%d bytes: it was cut short or is no snapshot: %w", st.Size(), mfa.ErrInvalid)
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, st.Size()-sha256.Size); err != nil {
		return err
	}
	var want [sha256.Size]byte
	if _, err := io.ReadFull(f, want[:]); err != nil {
		return err
	}
	if [sha256.Size]byte(sum.Sum(nil)) != want {
		return fmt.Errorf("the checksum does not match: %w", mfa.ErrInvalid)
	}
	return nil
}

// keeper makes the local snapshots.
type keeper struct {
	node *Node
	dir  string
	keep int // 0: none are made
	now  func() time.Time
}

// local is one file of the keeper.
type local struct {
	path string
	time time.Time
	rev  int64
}

const localTime = "20060102T150405Z"

var localRE = regexp.MustCompile(`^(\d{8}T\d{6}Z)-([1-9][0-9]{0,18})\.snapshot$`)

// list returns the local snapshots, oldest first, and removes what a crash left half done.
func (k *keeper) list() ([]local, error) {
	entries, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []local
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".tmp" {
			os.Remove(filepath.Join(k.dir, e.Name()))
			continue
		}
		m := localRE.FindStringSubmatch(e.Name())
		if m == nil {
			continue // somebody else's
		}
		t, err := time.Parse(localTime, m[1])
		if err != nil {
			continue
		}
		rev, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			continue
		}
		all = append(all, local{filepath.Join(k.dir, e.Name()), t, rev})
	}
	// By revision first: a clock that jumped back must not make the newest look oldest.
	slices.SortFunc(all, func(a, b local) int {
		return cmp.Or(cmp.Compare(a.rev, b.rev), a.time.Compare(b.time))
	})
	return all, nil
}

// tick makes a snapshot if one is due: the last is an hour old (or from a time to come) and
// something has changed since. It keeps the newest ones.
func (k *keeper) tick(ctx context.Context) error {
	if k.keep == 0 {
		return nil
	}
	all, err := k.list()
	if err != nil {
		return fmt.Errorf("local snapshots: %w", err)
	}
	now := k.now().UTC().Truncate(time.Second)
	if len(all) > 0 {
		last := all[len(all)-1]
		if age := now.Sub(last.time); age >= 0 && age < snapshotEvery || last.rev == k.node.srv.KV().Rev() {
			return nil
		}
	}
	if size := k.node.srv.Backend().Size(); k.node.disk.short(size) {
		return fmt.Errorf("local snapshot: the disk has no room for %s beside its reserve", bytesText(size))
	}
	if err := k.make(ctx, now); err != nil {
		return fmt.Errorf("local snapshot: %w", err)
	}
	for len(all)+1 > k.keep {
		if err := os.Remove(all[0].path); err != nil {
			return fmt.Errorf("local snapshots: %w", err)
		}
		all = all[1:]
	}
	return nil
}

func (k *keeper) make(ctx context.Context, now time.Time) error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(k.dir, "*.tmp")
	if err != nil {
		return err
	}
	rev, err := k.node.Snapshot(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(k.dir, fmt.Sprintf("%s-%d.snapshot", now.Format(localTime), rev)))
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(k.dir)
}

// short reports whether size more bytes would bring the disk below the floor.
func (g *guard) short(size int64) bool {
	free, total, err := g.space(g.dir)
	return err == nil && free-size < g.floor(total)
}
