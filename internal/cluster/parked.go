package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// ErrDamaged: a parked copy cannot be read.
var ErrDamaged = errors.New("the parked copy is damaged")

// parkedRoom is the free space, beside what the server keeps free for itself, without
// which a parked copy is not opened: etcd writes its log while it starts, and ends the
// process when it cannot.
const parkedRoom = 64 << 20

// ParkedReader is a copy of the group's database that counts no more, because its epoch ended
// while this server was away, opened to be read. Nobody can reach it, and it writes nothing
// of ours. It stays as it is while it is open. Methods may be called from any goroutine
// until Close.
type ParkedReader struct {
	node *Node
	rev  int64
}

// OpenParked opens the copy of that name in the data folder, normally and with no peer
// routes: forced, it would lose the newest of what it acknowledged. A copy whose member was
// the only voter holds everything that it acknowledged. Any other one shows what it knew to
// be acknowledged when it was closed: a voter of several that was killed can lack the last
// moments.
//
// This process must hold the folder, by an open Node. The error wraps ErrDamaged if the
// copy cannot be read, now or ever, and mfa.ErrUnavailable if the disk is too full to try.
// etcd ends the process for some kinds of damage: note before that it is being tried.
func OpenParked(ctx context.Context, o Options, copy string) (*ParkedReader, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if !copyRE.MatchString(copy) {
		return nil, fmt.Errorf("parked copy %q: not the name of a database: %w", copy, mfa.ErrInvalid)
	}
	if err := roomToOpen(o); err != nil {
		return nil, err
	}
	dir := copyDir(o.DataDir, copy)
	id, err := clusterOf(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, dir, err)
	}
	known, err := lastCommit(filepath.Join(dir, "member", "wal"))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, dir, err)
	}
	logged, err := lastLogged(filepath.Join(dir, "member", "wal"))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, dir, err)
	}
	o.Peer, o.PeerTLS, o.parked = "", PeerTLS{}, true // it must find nobody, even if it looks
	o.Tick, o.Election = singleTick, singleElection
	n, err := start(o, epochFile{ClusterID: id, Copy: copy, Group: o.Group}, nil, boot{})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, dir, err)
	}
	n.logged = logged
	p := &ParkedReader{node: n}
	if err := p.settle(ctx, known); err != nil {
		p.Close()
		return nil, fmt.Errorf("open the parked copy %s: %w", dir, err)
	}
	p.rev = n.srv.KV().Rev()
	return p, nil
}

// roomToOpen refuses if the disk is nearly full.
func roomToOpen(o Options) error {
	free, total, err := diskSpace(o.DataDir)
	if err != nil {
		return nil // nothing to go by
	}
	g := guard{size: o.Ballast}
	if need := g.floor(total) + parkedRoom; free < need {
		return fmt.Errorf("the disk of %s has %s free and a parked copy is opened only with %s: make room: %w",
			o.DataDir, bytesText(free), bytesText(need), mfa.ErrUnavailable)
	}
	return nil
}

// lastCommit returns the index of the last entry that the member knew to be acknowledged,
// by its write-ahead log.
func lastCommit(walDir string) (last uint64, err error) {
	names, err := filepath.Glob(filepath.Join(walDir, "*.wal"))
	if err != nil {
		return 0, err
	}
	slices.Sort(names)
	for i, name := range names {
		err := eachRecord(name, func(rec *walpb.Record) (bool, error) {
			if rec.GetType() != wal.StateType {
				return true, nil
			}
			var h raftpb.HardState
			err := proto.Unmarshal(rec.Data, &h)
			last = max(last, h.GetCommit())
			return true, err
		})
		if err != nil && !(errors.Is(err, io.ErrUnexpectedEOF) && i == len(names)-1) {
			return 0, err
		}
	}
	return last, nil
}

// settle waits until the copy shows everything that it can know.
func (p *ParkedReader) settle(ctx context.Context, known uint64) error {
	n := p.node
	if n.alone() {
		if err := n.Recall(ctx); err != nil || n.alone() {
			return err
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n.srv.AppliedIndex() < known {
		select {
		case <-tick.C:
		case <-n.srv.StoppingNotify():
			return errStopped
		case <-ctx.Done():
			return fmt.Errorf("its log is read up to entry %d of %d: %w (%w)", n.srv.AppliedIndex(), known, mfa.ErrUnavailable, context.Cause(ctx))
		}
	}
	return nil
}

// Revision is the last revision of the copy.
func (p *ParkedReader) Revision() int64 { return p.rev }

// ClusterID names the epoch that the copy is of.
func (p *ParkedReader) ClusterID() string { return p.node.ClusterID() }

// Scan calls yield for each key under prefix, in order, with the revision that put it, until
// it returns false.
func (p *ParkedReader) Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) error {
	if err := p.node.enter(); err != nil {
		return err
	}
	defer p.node.ops.Done()
	_, err := p.node.walk(ctx, prefix, p.rev, yield)
	return err
}

// At returns what key held at a revision, and the revision that put it; 0: it was absent.
// known is false if the history does not reach back so far.
func (p *ParkedReader) At(ctx context.Context, key string, at int64) (value []byte, rev int64, known bool, err error) {
	if err := p.node.enter(); err != nil {
		return nil, 0, false, err
	}
	defer p.node.ops.Done()
	if at <= 0 {
		return nil, 0, false, nil
	}
	kvs, _, err := p.node.page(ctx, []byte(key), nil, min(at, p.rev))
	switch {
	case errors.Is(err, mvcc.ErrCompacted):
		return nil, 0, false, nil
	case err != nil:
		return nil, 0, false, fmt.Errorf("read %s of the parked copy at revision %d: %w", key, at, err)
	case len(kvs) == 0:
		return nil, 0, true, nil
	}
	return kvs[0].Value, kvs[0].ModRevision, true, nil
}

// Created returns the revision at which key, as it is now, came to be; 0: it is absent.
func (p *ParkedReader) Created(ctx context.Context, key string) (rev int64, err error) {
	if err := p.node.enter(); err != nil {
		return 0, err
	}
	defer p.node.ops.Done()
	kvs, _, err := p.node.page(ctx, []byte(key), nil, p.rev)
	if err != nil || len(kvs) == 0 {
		return 0, err
	}
	return kvs[0].CreateRevision, nil
}

// Close closes the copy. It stays where it is.
func (p *ParkedReader) Close() { p.node.shut() }
