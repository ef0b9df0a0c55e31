package storetest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"

	"countersign/internal/store"
)

// bump separates the revisions of an epoch from those of the one that it was made from.
const bump = 1_000_000_000

// Fork returns a Memory that begins with what m holds, as an epoch that is made from a
// snapshot does: keys keep their values and revisions, there is no history, and new
// revisions begin far above. at is the last revision that both have.
func (m *Memory) Fork() (next *Memory, at int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	next = &Memory{}
	next.init()
	next.keys, next.rev, next.compacted = maps.Clone(m.keys), m.rev+bump, m.rev+bump
	return next, m.rev
}

// Parked returns m as a copy that counts no more. m must not be changed any more.
func (m *Memory) Parked(cluster string) store.OldCopy { return parked{m, cluster} }

type parked struct {
	m       *Memory
	cluster string
}

func (p parked) ClusterID() string { return p.cluster }
func (p parked) Revision() int64   { return p.m.rev }

func (p parked) Scan(_ context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) error {
	for _, key := range slices.Sorted(maps.Keys(p.m.keys)) {
		if it := p.m.keys[key]; strings.HasPrefix(key, prefix) && !yield(key, it.value, it.rev) {
			break
		}
	}
	return nil
}

func (p parked) At(_ context.Context, key string, at int64) (value []byte, rev int64, known bool, err error) {
	if at >= p.m.rev {
		it := p.m.keys[key]
		return bytes.Clone(it.value), it.rev, true, nil
	}
	if at <= 0 || p.m.compacted > 0 {
		return nil, 0, false, nil
	}
	for _, e := range p.m.history {
		if e.key == key && e.rev <= at {
			value, rev = e.value, e.rev
			if value == nil {
				rev = 0
			}
		}
	}
	return value, rev, true, nil
}

func (p parked) Created(_ context.Context, key string) (int64, error) { return p.m.made[key], nil }
