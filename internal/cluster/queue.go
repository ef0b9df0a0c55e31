package cluster

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/mfa"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	batchLimit = 64         // commits in one batch
	batchBytes = 512 * 1024 // about; a larger commit goes alone
	apartAfter = 16         // batches without trying them together, after one that failed: where there is one conflict there are more
)

// queue gathers commits that wait at the same time into one transaction of etcd. If that
// fails, each is a nested transaction in a second one, so that it succeeds or fails by itself. While fewer than lanes
// batches are in flight a commit leaves at once: waiting for company costs nobody time.
//
// etcd evaluates all conditions of a transaction before its first change. So a commit must
// not share a batch with one before it that changes a key which it reads or writes; it
// waits for the next batch.
type queue struct {
	send    func(context.Context, *pb.TxnRequest) (*pb.TxnResponse, error)
	base    context.Context // of the batches; ends with the node
	timeout time.Duration   // of one batch, and of a commit from when it is handed in
	lanes   int             // batches in flight
	limit   int             // commits in a batch
	free    sync.Pool       // of *proposal
	apart   atomic.Int64    // so many batches yet are nested at once

	mu      sync.Mutex
	waiting []*proposal
	flying  int
	idle    chan struct{} // closed when nothing waits or flies; nil unless drain asks
	wg      sync.WaitGroup
}

// proposal returns one to fill in.
func (q *queue) proposal() *proposal {
	if p, ok := q.free.Get().(*proposal); ok {
		return p
	}
	return newProposal()
}

// keep takes a proposal back that nobody else has. A large one is not worth the memory.
func (q *queue) keep(p *proposal) {
	if len(p.reads)+len(p.writes) <= 2 {
		p.put.RequestPut.Value = nil
		q.free.Put(p)
	}
}

// do hands p in and waits for its outcome, at most timeout, or for ctx.
func (q *queue) do(ctx context.Context, p *proposal) outcome {
	q.mu.Lock()
	q.waiting = append(q.waiting, p)
	if q.flying < q.lanes {
		q.flying++
		q.wg.Go(q.lane)
	}
	q.mu.Unlock()
	if p.late == nil {
		p.late = time.NewTimer(q.timeout)
	} else {
		p.late.Reset(q.timeout)
	}
	defer p.late.Stop()
	why := context.DeadlineExceeded
	select {
	case o := <-p.done:
		return o
	case <-p.late.C:
	case <-ctx.Done():
		why = context.Cause(ctx)
	}
	if q.withdraw(p) {
		return outcome{err: fmt.Errorf("%w: not sent in time (%w)", mfa.ErrUnavailable, why)}
	}
	select {
	case o := <-p.done:
		return o
	default:
		return outcome{err: fmt.Errorf("%w: no answer in time (%w)", mfa.ErrUnknownOutcome, why), flies: true}
	}
}

// withdraw takes p out again unless it has been sent.
func (q *queue) withdraw(p *proposal) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, p)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// lane sends batches until nothing waits.
func (q *queue) lane() {
	for {
		q.gather()
		batch := q.take()
		if len(batch) == 0 {
			return
		}
		q.run(batch)
	}
}

// gather lets those who can run do so first, as long as that brings further commits: one batch
// then serves more of them. With nobody about it takes no time.
func (q *queue) gather() {
	for before := -1; ; {
		q.mu.Lock()
		n := len(q.waiting)
		q.mu.Unlock()
		if n <= before || n >= q.limit {
			return
		}
		before = n
		runtime.Gosched()
	}
}

// take removes the next batch from the queue, the longest waiting first.
func (q *queue) take() []*proposal {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.flying--
		if q.flying == 0 && q.idle != nil {
			close(q.idle)
			q.idle = nil
		}
		return nil
	}
	batch := []*proposal{q.waiting[0]}
	rest := q.waiting[:0]
	later := q.waiting[1:]
	if q.limit > 1 && len(later) > 0 {
		size := batch[0].size
		changed := map[string]bool{}
		add(changed, batch[0].writes)
		for _, p := range later {
			if len(batch) < q.limit && size+p.size <= batchBytes && !touches(changed, p) {
				batch = append(batch, p)
				size += p.size
				add(changed, p.writes)
			} else {
				rest = append(rest, p)
			}
		}
	} else {
		rest = append(rest, later...)
	}
	clear(q.waiting[len(rest):])
	q.waiting = rest
	return batch
}

func add(set map[string]bool, keys []string) {
	for _, k := range keys {
		set[k] = true
	}
}

func touches(changed map[string]bool, p *proposal) bool {
	in := func(key string) bool { return changed[key] }
	return slices.ContainsFunc(p.reads, in) || slices.ContainsFunc(p.writes, in)
}

// run sends batch and tells each its outcome.
func (q *queue) run(batch []*proposal) {
	ctx, cancel := context.WithTimeout(q.base, q.timeout)
	defer cancel()
	if len(batch) > 1 && q.apart.Add(-1) < 0 && q.together(ctx, batch) {
		return
	}
	req := &batch[0].req
	if len(batch) > 1 {
		req = &pb.TxnRequest{Success: make([]*pb.RequestOp, len(batch))}
		for i, p := range batch {
			req.Success[i] = &p.nested
		}
	}
	resp, err := q.send(ctx, req)
	for i, p := range batch {
		switch {
		case err != nil:
			p.done <- outcome{err: fate(err)}
		case len(batch) == 1:
			p.done <- outcome{rev: resp.Header.Revision, ok: resp.Succeeded}
		default:
			p.done <- outcome{rev: resp.Header.Revision, ok: resp.Responses[i].GetResponseTxn().Succeeded}
		}
	}
}

// together sends batch as one transaction under the conditions of all and reports whether
// its commits have got their outcome. They have not if a condition did not hold, which is
// rare: then nothing was written, and nested transactions have to tell which one it was.
// Etcd reads and answers a plain transaction with less work.
func (q *queue) together(ctx context.Context, batch []*proposal) bool {
	req := &pb.TxnRequest{Compare: make([]*pb.Compare, 0, len(batch)), Success: make([]*pb.RequestOp, 0, len(batch))}
	for _, p := range batch {
		req.Compare = append(req.Compare, p.req.Compare...)
		req.Success = append(req.Success, p.req.Success...)
	}
	resp, err := q.send(ctx, req)
	if err == nil && !resp.Succeeded {
		q.apart.Store(apartAfter)
		return false
	}
	for _, p := range batch {
		if err != nil {
			p.done <- outcome{err: fate(err)}
		} else {
			p.done <- outcome{rev: resp.Header.Revision, ok: true}
		}
	}
	return true
}

// drain waits until nothing is on its way, at most grace. New commits must have been
// stopped before.
func (q *queue) drain(grace time.Duration) {
	q.mu.Lock()
	if q.flying == 0 {
		q.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	q.idle = idle
	q.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(grace):
	}
}
