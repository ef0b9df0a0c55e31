package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// pageSize is how many keys one step of a scan reads.
const pageSize = 5000

// lostAfter is how many probes in a row may fail before calls no longer wait for a master.
const lostAfter = 2

// Get implements store.KV. The value belongs to the caller. Without a master it fails with
// mfa.ErrUnavailable, at the latest after Options.Timeout.
func (n *Node) Get(ctx context.Context, key string) (value []byte, rev int64, err error) {
	if err := n.enter(); err != nil {
		return nil, 0, err
	}
	defer n.ops.Done()
	if err := n.linear(ctx); err != nil {
		return nil, 0, fmt.Errorf("read: %w", err) // whatever the key: it waits for the master
	}
	kvs, _, err := n.page(ctx, []byte(key), nil, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", key, err)
	}
	if len(kvs) == 0 {
		return nil, 0, nil
	}
	return kvs[0].Value, kvs[0].ModRevision, nil
}

// Scan implements store.KV. It sees everything that was acknowledged before it began.
func (n *Node) Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) (rev int64, err error) {
	if err := n.enter(); err != nil {
		return 0, err
	}
	defer n.ops.Done()
	if err := n.linear(ctx); err != nil {
		return 0, fmt.Errorf("scan %s: %w", prefix, err)
	}
	rev = n.srv.KV().Rev()
	if _, err := n.walk(ctx, prefix, rev, yield); err != nil {
		if errors.Is(err, mvcc.ErrCompacted) {
			err = fmt.Errorf("the history was compacted meanwhile, try again: %w", mfa.ErrUnavailable)
		}
		return 0, fmt.Errorf("scan %s: %w", prefix, err)
	}
	return rev, nil
}

// Barrier waits until the local copy holds every write that was acknowledged before the
// call, and returns its revision. A sole voter that has been restarted is behind what it
// acknowledged until this has succeeded once. It gives up when ctx ends.
func (n *Node) Barrier(ctx context.Context) (rev int64, err error) {
	if err := n.enter(); err != nil {
		return 0, err
	}
	defer n.ops.Done()
	if err := n.linearUntil(ctx); err != nil {
		return 0, fmt.Errorf("wait for the database: %w", err)
	}
	return n.srv.KV().Rev(), nil
}

// linear waits, at most Options.Timeout, until the local copy has caught up.
func (n *Node) linear(ctx context.Context) error {
	if err := n.lost(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, n.o.Timeout)
	defer cancel()
	return n.linearUntil(ctx)
}

func (n *Node) linearUntil(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx, func() { cancel(errClosed) })()
	first := uint64(0) // term in which a read has succeeded
	for {
		err := n.srv.LinearizableReadNotify(ctx)
		switch term := n.srv.Term(); {
		case err == nil && n.reads.Load() != term && first != term:
			// The leader of a group of one answers before it has counted what is in its log
			// from before the term: whatever it acknowledged last. A read that begins after
			// that answer sees it.
			first = term
			continue
		case err == nil:
			n.reads.Store(term)
			n.heard()
			return n.recommitted(ctx)
		case n.ctx.Err() != nil:
			return errClosed
		case ctx.Err() != nil:
			return fmt.Errorf("no master answers: %w (%w)", mfa.ErrUnavailable, context.Cause(ctx))
		case errors.Is(err, etcderrors.ErrStopped):
			return errClosed
		}
		// The leader changed or did not answer: ask again. One of these waits, so that
		// the loop does not spin while there is none.
		if err := n.awaitLeader(ctx); err != nil {
			return err
		}
	}
}

// recommitted waits, on a sole voter, until its copy holds what its log held when it was
// opened. A read alone does not: a leader without other voters answers it before it has committed the
// first entry of its own term, and with that the newest of those that it acknowledged before.
func (n *Node) recommitted(ctx context.Context) error {
	for n.srv.AppliedIndex() < n.logged && n.alone() {
		t := time.NewTimer(time.Millisecond)
		select {
		case <-t.C:
		case <-n.ctx.Done():
			t.Stop()
			return errClosed
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("the log is read back up to entry %d of %d: %w (%w)", n.srv.AppliedIndex(), n.logged, mfa.ErrUnavailable, context.Cause(ctx))
		}
	}
	return nil
}

// Recall waits until a sole voter that has been restarted shows what it acknowledged before: until
// then its copy is behind. A voter among others needs no master to start and does not wait, neither
// if it knew of them when it was opened nor if it finds in its log that it had made another one a voter just
// before it was killed: with that one away there may be no master for long. It gives up when ctx ends.
func (n *Node) Recall(ctx context.Context) error {
	if !n.alone() {
		return nil
	}
	reading, found := context.WithCancelCause(ctx)
	defer found(nil)
	go n.awaitOthers(reading, func() { found(errOthers) })
	_, err := n.Barrier(reading)
	if err != nil && errors.Is(context.Cause(reading), errOthers) {
		return nil
	}
	return err
}

var errOthers = errors.New("there are other voters")

// awaitOthers calls found once this member is not the only voter, unless ctx ends before.
func (n *Node) awaitOthers(ctx context.Context, found func()) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n.alone() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	found()
}

// alone reports whether this member is the only voter.
func (n *Node) alone() bool {
	for _, m := range n.srv.Cluster().Members() {
		if !m.IsLearner && m.ID != n.srv.MemberID() || m.IsLearner && m.ID == n.srv.MemberID() {
			return false
		}
	}
	return true
}

// awaitLeader returns once raft knows a leader.
func (n *Node) awaitLeader(ctx context.Context) error {
	if n.srv.Leader() != 0 {
		return nil
	}
	for {
		changed := n.srv.LeaderChangedNotify()
		if n.srv.Leader() != 0 {
			return nil
		}
		select {
		case <-changed:
		case <-n.ctx.Done():
			return errClosed
		case <-ctx.Done():
			return fmt.Errorf("no master is elected: %w (%w)", mfa.ErrUnavailable, context.Cause(ctx))
		}
	}
}

// heard notes that the master has answered.
func (n *Node) heard() {
	now := n.o.Now()
	n.contact.Store(&now)
	if n.misses.Swap(0) >= lostAfter {
		n.log.Info("the master answers again")
	}
}

const (
	fresh       = 100 * time.Millisecond
	learnerWait = time.Second
)

// reach returns once there is a master that can take a write. A replica asks it unless it
// has answered just now: what etcd knows of the leader does not tell (a learner names a
// dead one for ever), and a write that is sent to nobody has an unknown outcome, while
// after this refusal nothing was written. Voters wait for an election; a learner has no
// part in any.
func (n *Node) reach(ctx context.Context) error {
	if n.srv.Leader() == n.srv.MemberID() {
		return nil
	}
	if last := n.contact.Load(); last != nil && n.srv.Leader() != 0 {
		if age := n.o.Now().Sub(*last); age >= 0 && age < fresh {
			return nil
		}
	}
	wait := n.o.Timeout
	if _, voter := n.standing(); !voter {
		wait = min(wait, learnerWait)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := n.awaitLeader(ctx); err != nil {
		return err
	}
	return n.linearUntil(ctx)
}

// lost reports that the probe has given the master up: then nobody waits for it. Behind a
// fence there is none.
func (n *Node) lost() error {
	if why := n.fence.Load(); why != nil {
		return fmt.Errorf("%w (%w)", mfa.ErrUnavailable, *why)
	}
	if n.misses.Load() >= lostAfter {
		return fmt.Errorf("the master has not answered for %d probes: %w", n.misses.Load(), mfa.ErrUnavailable)
	}
	return nil
}

// walk yields the keys under prefix at revision rev from the local copy. It reports false
// if yield did.
func (n *Node) walk(ctx context.Context, prefix string, rev int64, yield func(key string, value []byte, rev int64) bool) (bool, error) {
	from, end := prefixRange(prefix)
	for {
		if err := n.live(ctx); err != nil {
			return false, err
		}
		kvs, _, err := n.page(ctx, from, end, rev)
		if err != nil {
			return false, err
		}
		for _, kv := range kvs {
			if !yield(string(kv.Key), kv.Value, kv.ModRevision) {
				return false, nil
			}
		}
		if len(kvs) < pageSize {
			return true, nil
		}
		from = append(kvs[len(kvs)-1].Key, 0)
	}
}

// live reports why a long call should end.
func (n *Node) live(ctx context.Context) error {
	if n.ctx.Err() != nil {
		return errClosed
	}
	select {
	case <-n.srv.StoppingNotify():
		return errStopped
	default:
	}
	return context.Cause(ctx)
}

// page reads up to pageSize keys from the local copy, at revision rev or, if 0, the newest.
// A nil end means the one key from, an empty one all keys after it.
func (n *Node) page(ctx context.Context, from, end []byte, rev int64) ([]*mvccpb.KeyValue, int64, error) {
	tx := n.srv.KV().Read(mvcc.ConcurrentReadTxMode, traceutil.TODO())
	defer tx.End()
	r, err := tx.Range(ctx, from, end, mvcc.RangeOptions{Limit: pageSize, Rev: rev})
	if err != nil {
		return nil, 0, err
	}
	return r.KVs, r.Rev, nil
}

// prefixRange returns the half-open range of the keys under prefix in etcd's terms.
func prefixRange(prefix string) (from, end []byte) {
	if prefix == "" {
		return []byte{0}, []byte{}
	}
	end = []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return []byte(prefix), end[:i+1]
		}
	}
	return []byte(prefix), []byte{}
}
