package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// Watch implements store.KV. Every revision of the database brings its ("", nil, rev), also
// one that changed nothing under prefix, so that a caller can wait for any revision that
// Commit returned. Values are shared with other watchers: read them only. A deletion is
// told by a nil value; Commit refuses empty ones. Watch returns nil when yield returned
// false, the cause of ctx when that ended, and mfa.ErrUnavailable when the node closed.
func (n *Node) Watch(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) error {
	if err := n.enter(); err != nil {
		return err
	}
	defer n.ops.Done()
	for {
		again, err := n.watchOnce(ctx, prefix, yield)
		if err != nil || !again {
			return err
		}
		n.log.Info("the history that a reader needed was compacted; it starts over from the local copy")
	}
}

// watchOnce tells the local copy and what follows. It reports true if history was missed
// and the reader must start over.
func (n *Node) watchOnce(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) (again bool, err error) {
	if !yield("", nil, 0) {
		return false, nil
	}
	rev := n.srv.KV().Rev()
	more, err := n.walk(ctx, prefix, rev, yield)
	if errors.Is(err, mvcc.ErrCompacted) {
		return true, nil
	}
	if err != nil || !more {
		return false, err
	}
	if !yield("", nil, rev) {
		return false, nil
	}
	stream := n.srv.Watchable().NewWatchStream()
	defer stream.Close()
	all, end := prefixRange("")
	if _, err := stream.Watch(ctx, 0, all, end, rev+1); err != nil {
		return false, fmt.Errorf("watch the database: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-n.ctx.Done():
			return false, errClosed
		case r := <-stream.Chan():
			if r.CompactRevision != 0 {
				return true, nil
			}
			if !tell(r.Events, prefix, yield) {
				return false, nil
			}
		}
	}
}

// tell yields events, which are in order and end with a whole revision.
func tell(events []*mvccpb.Event, prefix string, yield func(key string, value []byte, rev int64) bool) bool {
	for i, e := range events {
		rev := e.Kv.ModRevision
		if key := string(e.Kv.Key); strings.HasPrefix(key, prefix) {
			value := e.Kv.Value
			switch {
			case e.Type == mvccpb.Event_DELETE:
				value = nil
			case value == nil:
				value = []byte{}
			}
			if !yield(key, value, rev) {
				return false
			}
		}
		if i+1 == len(events) || events[i+1].Kv.ModRevision != rev {
			if !yield("", nil, rev) {
				return false
			}
		}
	}
	return true
}
