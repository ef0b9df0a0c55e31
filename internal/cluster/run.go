package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	probeEvery    = time.Second
	probeTimeout  = 800 * time.Millisecond // two misses in a row take less than 3 s
	snapshotCheck = time.Minute
)

// Run watches over the node until ctx ends: each second it asks whether there is a master
// and looks at the disk, each hour it makes a local snapshot. It returns an error if the
// database stops by itself, as a member does that was removed from the group.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var warned string
	wg.Go(func() { every(ctx, probeEvery, n.checkDisk) })
	wg.Go(func() { every(ctx, probeEvery, func() { n.probe(ctx) }) })
	wg.Go(func() { every(ctx, addressCheck, func() { n.keepAddress(ctx, &warned) }) })
	wg.Go(func() { every(ctx, snapshotCheck, func() { n.snapshotTick(ctx) }) })
	defer wg.Wait()
	defer cancel()
	select {
	case <-ctx.Done():
		return nil
	case <-n.ctx.Done():
		return nil
	case <-n.srv.StopNotify():
		if n.ctx.Err() != nil || ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("the database of epoch %d stopped by itself: this server was removed from the group, or its log says why", n.file.Epoch)
	}
}

// every calls f now and then once each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (n *Node) checkDisk() {
	if n.enter() == nil {
		n.disk.check()
		n.ops.Done()
	}
}

// probe asks for a linearizable read: only that proves a master (a learner goes on naming
// a dead one).
func (n *Node) probe(ctx context.Context) {
	if n.enter() != nil {
		return
	}
	defer n.ops.Done()
	pctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := n.linearUntil(pctx)
	switch {
	case err == nil:
	case ctx.Err() != nil || errors.Is(err, errClosed):
	default:
		if n.misses.Add(1) == lostAfter {
			n.log.Error("no master answers: changes are refused", "error", err)
		}
	}
}

func (n *Node) snapshotTick(ctx context.Context) {
	if n.enter() != nil {
		return
	}
	defer n.ops.Done()
	if err := n.snaps.tick(ctx); err != nil && ctx.Err() == nil && n.ctx.Err() == nil {
		n.log.Warn("no local snapshot was made; the next try is in a minute", "error", err)
	}
}
