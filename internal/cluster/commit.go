package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/raft/v3"
)

// Commit implements store.KV. With ok false the returned revision is one at which the
// condition did not hold: a reader that has come up to it sees why. Commits that wait at
// the same time share one write to disk; each has its own outcome.
//
// Errors: mfa.ErrInvalid for what cannot be written (an empty key or value, one key put
// and deleted, more than 512 conditions and changes or 1 MiB) and mfa.ErrReadOnly (disk or
// quota) or mfa.ErrUnavailable (no master, after Options.Timeout at the latest): nothing was
// written. mfa.ErrUnknownOutcome: it was handed to the database and no answer came within
// Options.Timeout, or before ctx ended; read back what became of it.
func (n *Node) Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (rev int64, ok bool, err error) {
	p := n.queue.proposal()
	if err := p.fill(ifRev, puts, deletes); err != nil {
		return 0, false, fmt.Errorf("write: %w", err)
	}
	if err := n.enter(); err != nil {
		return 0, false, fmt.Errorf("write: %w", err)
	}
	defer n.ops.Done()
	if err := n.writable(len(puts) > 0); err != nil {
		return 0, false, err
	}
	if err := n.lost(); err != nil {
		return 0, false, fmt.Errorf("write: %w", err)
	}
	if err := n.reach(ctx); err != nil {
		return 0, false, fmt.Errorf("write: %w", err)
	}
	o := n.queue.do(ctx, p)
	if !o.flies {
		n.queue.keep(p)
	}
	if o.err != nil {
		return 0, false, fmt.Errorf("write: %w", o.err)
	}
	if why := n.fence.Load(); why != nil { // a new epoch may begin from a copy without it
		return 0, false, fmt.Errorf("write: %w (%w)", mfa.ErrUnknownOutcome, *why)
	}
	n.heard()
	return o.rev, o.ok, nil
}

// send hands a transaction to etcd. Once another member leads, what was on its way to the
// one before gets an answer soon (the new master has decided it with its first entry) or
// never: then it is given up, so that a dead master does not hold up what comes after.
func (n *Node) send(ctx context.Context, req *pb.TxnRequest) (*pb.TxnResponse, error) {
	if !n.o.peered() {
		return n.srv.Txn(ctx, req)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := n.srv.LeaderChangedNotify()
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		t := time.NewTimer(n.o.Election / 2)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
			cancel()
		}
	}()
	return n.srv.Txn(ctx, req)
}

// ourQuota leaves a part of the quota alone, so that etcd never reaches it: etcd's own
// alarm refuses a write after having applied it.
const ourQuota = quotaBytes - quotaBytes/20

// writable refuses writes for which there is no room. Deletions make room in the database,
// but none on the disk.
func (n *Node) writable(puts bool) error {
	if err := n.disk.refusal(); err != nil {
		return err
	}
	if size := n.srv.Backend().Size(); puts && size >= n.quota {
		return fmt.Errorf("%w: the database in %s has %s of at most %s: remove what is not needed, then restart the server, which gives the freed space back",
			mfa.ErrReadOnly, n.o.DataDir, bytesText(size), bytesText(n.quota))
	}
	return nil
}

// proposal is one commit on its way. Its keys are those of req. It is used again once its
// batch has ended; all that etcd keeps of a request is its encoding.
type proposal struct {
	req    pb.TxnRequest
	nested pb.RequestOp // req in a batch
	reads  []string     // keys that it compares
	writes []string     // keys that it changes
	size   int          // bytes, about
	done   chan outcome
	late   *time.Timer

	// Room for a settlement: one condition on a key and one put of it.
	compare  pb.Compare
	revision pb.Compare_ModRevision
	change   pb.RequestOp
	put      pb.RequestOp_RequestPut
	key      []byte
}

type outcome struct {
	rev   int64
	ok    bool
	err   error
	flies bool // the batch has not ended: what etcd does with it is not known
}

func newProposal() *proposal {
	p := &proposal{done: make(chan outcome, 1)}
	p.nested.Request = &pb.RequestOp_RequestTxn{RequestTxn: &p.req}
	p.compare.Result, p.compare.Target, p.compare.TargetUnion = pb.Compare_EQUAL, pb.Compare_MOD, &p.revision
	p.put.RequestPut = new(pb.PutRequest)
	p.change.Request = &p.put
	return p
}

// fill makes p the commit of these. The values are shared, the rest is copied.
func (p *proposal) fill(ifRev map[string]int64, puts map[string][]byte, deletes []string) error {
	ops := len(ifRev) + len(puts) + len(deletes)
	if ops > maxTxnOps {
		return fmt.Errorf("%d conditions and changes in one commit, at most %d: %w", ops, maxTxnOps, mfa.ErrInvalid)
	}
	p.reads, p.writes, p.size = p.reads[:0], p.writes[:0], 0
	p.req.Compare, p.req.Success = p.req.Compare[:0], p.req.Success[:0]
	for key, rev := range ifRev {
		if key == "" || rev < 0 {
			return fmt.Errorf("condition on key %q, revision %d: %w", key, rev, mfa.ErrInvalid)
		}
		p.reads = append(p.reads, key)
		p.size += len(key) + 16
		c := &p.compare
		if len(ifRev) == 1 {
			p.key = append(p.key[:0], key...)
			c.Key, p.revision.ModRevision = p.key, rev
		} else {
			c = &pb.Compare{Result: pb.Compare_EQUAL, Target: pb.Compare_MOD, Key: []byte(key),
				TargetUnion: &pb.Compare_ModRevision{ModRevision: rev}}
		}
		p.req.Compare = append(p.req.Compare, c)
	}
	for key := range puts {
		p.writes = append(p.writes, key)
	}
	slices.Sort(p.writes) // one order on every run, for whoever reads events
	for _, key := range p.writes {
		value := puts[key]
		if key == "" || len(value) == 0 {
			return fmt.Errorf("put of key %q with %d bytes: want both not empty: %w", key, len(value), mfa.ErrInvalid)
		}
		p.size += len(key) + len(value) + 16
		op := &p.change
		if len(puts) == 1 && len(p.reads) == 1 && p.reads[0] == key {
			p.put.RequestPut.Key, p.put.RequestPut.Value = p.key, value
		} else {
			op = &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: value}}}
		}
		p.req.Success = append(p.req.Success, op)
	}
	for _, key := range deletes {
		if _, put := puts[key]; put || key == "" {
			return fmt.Errorf("delete of key %q, which is empty or also put: %w", key, mfa.ErrInvalid)
		}
		p.writes = append(p.writes, key)
		p.size += len(key) + 16
		p.req.Success = append(p.req.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}})
	}
	if p.size > maxTxnBytes {
		return fmt.Errorf("a commit of %d bytes, at most %d: %w", p.size, maxTxnBytes, mfa.ErrInvalid)
	}
	return nil
}

// fate says what an error of etcd's Txn means for the write: nothing was written only if
// etcd refused it before it reached the log.
func fate(err error) error {
	switch {
	case errors.Is(err, etcderrors.ErrTooManyRequests), errors.Is(err, raft.ErrProposalDropped):
		return fmt.Errorf("%w (%w)", mfa.ErrUnavailable, err)
	case errors.Is(err, etcderrors.ErrRequestTooLarge):
		return fmt.Errorf("%w (%w)", mfa.ErrInvalid, err)
	case errors.Is(err, etcderrors.ErrCorrupt):
		return fmt.Errorf("%w: the copies of the group differ (%w); the log names the members", mfa.ErrReadOnly, err)
	}
	return fmt.Errorf("%w (%w)", mfa.ErrUnknownOutcome, err)
}
