package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
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
