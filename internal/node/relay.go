package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
)

const (
	relayTimeout = 1500 * time.Millisecond // of one call
	relayMax     = 4 << 20                 // bytes of what one scan returns
)

// relay is the database of a server whose copy may be far behind: what the copy cannot
// answer in time, the master is asked for past it, if it is there. What is read and written
// there is what the copy will come up to.
type relay struct {
	*cluster.Node
	s *server
}

// Get implements store.KV.
func (r relay) Get(ctx context.Context, key string) (value []byte, rev int64, err error) {
	err = r.either(ctx, func() error { value, rev, err = r.Node.Get(ctx, key); return err }, func(master mfa.Member) error {
		var out peer.Entries
		if err := r.call(ctx, master, peer.Operation{Get: key}, &out); err != nil {
			return err
		}
		value, rev = nil, 0
		if len(out.Entries) > 0 {
			value, rev = out.Entries[0].Value, out.Entries[0].Revision
		}
		return nil
	})
	return value, rev, err
}

// Scan implements store.KV.
func (r relay) Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) (rev int64, err error) {
	var broke error // after some was told: then nobody can start over
	err = r.either(ctx, func() error {
		told := false
		rev, err = r.Node.Scan(ctx, prefix, func(key string, value []byte, rev int64) bool { told = true; return yield(key, value, rev) })
		if told {
			broke, err = err, nil
		}
		return err
	}, func(master mfa.Member) error {
		var out peer.Entries
		if err := r.call(ctx, master, peer.Operation{Scan: prefix}, &out); err != nil {
			return err
		}
		rev = out.Revision
		for _, e := range out.Entries {
			if !yield(e.Key, e.Value, e.Revision) {
				break
			}
		}
		return nil
	})
	return rev, errors.Join(err, broke)
}

// Commit implements store.KV.
func (r relay) Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (rev int64, ok bool, err error) {
	err = r.either(ctx, func() error { rev, ok, err = r.Node.Commit(ctx, ifRev, puts, deletes); return err }, func(master mfa.Member) error {
		var out peer.Entries
		err := r.call(ctx, master, peer.Operation{Commit: true, If: ifRev, Puts: puts, Deletes: deletes}, &out)
		rev, ok = out.Revision, out.OK
		return err
	})
	return rev, ok, err
}

// either asks the copy, or the master if the copy is behind.
func (r relay) either(ctx context.Context, here func() error, there func(master mfa.Member) error) error {
	err := r.s.joining()
	if err != nil {
		return err
	}
	if r.s.store == nil || !r.s.store.Behind() {
		if err = here(); err == nil || !errors.Is(err, mfa.ErrUnavailable) || ctx.Err() != nil || !r.contact() || !r.s.masterAnswers(ctx) {
			return err
		}
	}
	master, found := r.s.pinged()
	if !found {
		if err == nil {
			err = here()
		}
		return err
	}
	return there(master)
}

// contact reports that nobody has found out yet that the master is gone: who has does not
// ask it again with every sign-in.
func (r relay) contact() bool {
	if r.s.store == nil {
		return false
	}
	_, now := r.s.store.Contact()
	return now
}

// call has the master carry out op.
func (r relay) call(ctx context.Context, master mfa.Member, op peer.Operation, out *peer.Entries) error {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	err := r.s.peers.client.Call(ctx, master.Peer, http.MethodPost, peer.PathDatabase, op, out)
	var dial *net.OpError
	switch {
	case err == nil, errors.Is(err, mfa.ErrUnavailable), errors.Is(err, mfa.ErrUnknownOutcome), errors.Is(err, mfa.ErrReadOnly), errors.Is(err, mfa.ErrInvalid):
		return err
	case errors.Is(err, group.ErrNotMaster), errors.Is(err, group.ErrNotMember), errors.Is(err, group.ErrEpochEnded), errors.As(err, &dial) && dial.Op == "dial", !op.Commit:
		return fmt.Errorf("the master %s at %s: %w (%w)", master.Name, master.Peer, mfa.ErrUnavailable, err) // nothing was written
	}
	return fmt.Errorf("the master %s at %s: %w (%w)", master.Name, master.Peer, mfa.ErrUnknownOutcome, err)
}

// serveDatabase carries out what a server that is behind asks of the master. Who is on the
// peer port may write the database anyway, through etcd.
func (s *server) serveDatabase(ctx context.Context, op peer.Operation) (out peer.Entries, err error) {
	if !s.group.Cluster.Leads() {
		return out, group.ErrNotMaster
	}
	size := 0
	add := func(key string, value []byte, rev int64) bool {
		out.Entries = append(out.Entries, peer.Entry{Key: key, Value: value, Revision: rev})
		size += len(key) + len(value)
		return size <= relayMax
	}
	switch {
	case op.Commit:
		out.Revision, out.OK, err = s.node.Commit(ctx, op.If, op.Puts, op.Deletes)
	case op.Get != "":
		var e peer.Entry
		if e.Value, e.Revision, err = s.node.Get(ctx, op.Get); err == nil && e.Revision > 0 {
			add(op.Get, e.Value, e.Revision)
		}
	case op.Scan != "":
		out.Revision, err = s.node.Scan(ctx, op.Scan, add)
	default:
		err = fmt.Errorf("nothing was asked for: %w", mfa.ErrInvalid)
	}
	if err == nil && size > relayMax {
		err = fmt.Errorf("more than a server that is behind can ask for: %w", mfa.ErrUnavailable)
	}
	return out, err
}
