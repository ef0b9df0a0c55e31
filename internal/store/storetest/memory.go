// Package storetest holds a KV in memory, with faults on demand, and the tests that every
// KV must pass, for itself and with package store on it.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"countersign/internal/mfa"
)

// Memory is a store.KV in memory: linearizable, with revisions and history. The zero
// Memory is empty and ready.
type Memory struct {
	// Fault, if set, is asked before each Commit what goes wrong with it. It may call
	// the Memory, to come in between. Set it before use.
	Fault func(puts map[string][]byte, deletes []string) Fault

	mu        sync.Mutex
	keys      map[string]item
	rev       int64
	made      map[string]int64 // revision at which each key came to be
	history   []event          // ordered
	compacted int64            // history up to here is gone
	changed   chan struct{}
	offline   bool
	held      bool // watchers are told nothing
}

type item struct {
	value []byte
	rev   int64
}

type event struct {
	key   string
	value []byte // nil: deleted
	rev   int64
}

// Fault is what goes wrong with one commit.
type Fault int

// The faults. The caller of a commit cannot tell LostBefore from LostAfter.
const (
	None       Fault = iota
	LostBefore       // the answer is lost, and so is the commit
	LostAfter        // the answer is lost, the commit is done
	Refused          // nothing is done, and the caller is told: mfa.ErrUnavailable
)

// init must be called with m.mu held.
func (m *Memory) init() {
	if m.keys == nil {
		m.keys, m.changed, m.rev = map[string]item{}, make(chan struct{}), 1 // revision 0 means absent
		m.made = map[string]int64{}
	}
}

// wake tells the watchers that something is different; with m.mu held.
func (m *Memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

var errOffline = fmt.Errorf("memory: told to be offline: %w", mfa.ErrUnavailable)

// Get implements store.KV.
func (m *Memory) Get(ctx context.Context, key string) ([]byte, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	if err := context.Cause(ctx); err != nil {
		return nil, 0, fmt.Errorf("%w (%w)", mfa.ErrUnavailable, err)
	}
	if m.offline {
		return nil, 0, errOffline
	}
	it := m.keys[key]
	return bytes.Clone(it.value), it.rev, nil
}

// Scan implements store.KV. yield may call the Memory.
func (m *Memory) Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) (int64, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, fmt.Errorf("%w (%w)", mfa.ErrUnavailable, err)
	}
	events, rev, offline := m.copyOf(prefix)
	if offline {
		return 0, errOffline
	}
	for _, e := range events {
		if !yield(e.key, e.value, e.rev) {
			break
		}
	}
	return rev, nil
}

// copyOf returns the keys under prefix in order.
func (m *Memory) copyOf(prefix string) (events []event, rev int64, offline bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	for key, it := range m.keys {
		if strings.HasPrefix(key, prefix) {
			events = append(events, event{key, bytes.Clone(it.value), it.rev})
		}
	}
	slices.SortFunc(events, func(a, b event) int { return strings.Compare(a.key, b.key) })
	return events, m.rev, m.offline
}

// Commit implements store.KV.
func (m *Memory) Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (int64, bool, error) {
	fault := None
	if m.Fault != nil {
		fault = m.Fault(puts, deletes)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	if err := context.Cause(ctx); err != nil {
		return 0, false, fmt.Errorf("%w (%w)", mfa.ErrUnavailable, err)
	}
	if len(ifRev)+len(puts)+len(deletes) > 512 {
		return 0, false, fmt.Errorf("memory: %d operations: %w", len(ifRev)+len(puts)+len(deletes), mfa.ErrInvalid)
	}
	for key, value := range puts {
		if key == "" || len(value) == 0 || slices.Contains(deletes, key) {
			return 0, false, fmt.Errorf("memory: key %q put with %d bytes: %w", key, len(value), mfa.ErrInvalid)
		}
	}
	switch {
	case m.offline, fault == Refused:
		return 0, false, errOffline
	case fault == LostBefore:
		return 0, false, fmt.Errorf("memory: told to lose the commit: %w", mfa.ErrUnknownOutcome)
	}
	rev, ok := m.apply(ifRev, puts, deletes)
	if fault == LostAfter {
		return 0, false, fmt.Errorf("memory: told to lose the answer: %w", mfa.ErrUnknownOutcome)
	}
	return rev, ok, nil
}

func (m *Memory) apply(ifRev map[string]int64, puts map[string][]byte, deletes []string) (int64, bool) {
	for key, rev := range ifRev {
		if m.keys[key].rev != rev {
			return m.rev, false
		}
	}
	m.rev++
	for _, key := range slices.Sorted(maps.Keys(puts)) {
		value := bytes.Clone(puts[key])
		if _, there := m.keys[key]; !there {
			m.made[key] = m.rev
		}
		m.keys[key] = item{value, m.rev}
		m.history = append(m.history, event{key, value, m.rev})
	}
	for _, key := range deletes {
		if _, ok := m.keys[key]; ok {
			delete(m.keys, key)
			delete(m.made, key)
			m.history = append(m.history, event{key, nil, m.rev})
		}
	}
	m.wake()
	return m.rev, true
}

// Watch implements store.KV.
func (m *Memory) Watch(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) error {
	for {
		copied, at, _ := m.copyOf(prefix)
		if !yield("", nil, 0) {
			return nil
		}
		for _, e := range copied {
			if !yield(e.key, e.value, e.rev) {
				return nil
			}
		}
		if !yield("", nil, at) {
			return nil
		}
		again, err := m.tell(ctx, prefix, at, yield)
		if !again {
			return err
		}
	}
}

// tell yields the history after rev. It reports true if part of that was compacted.
func (m *Memory) tell(ctx context.Context, prefix string, rev int64, yield func(key string, value []byte, rev int64) bool) (again bool, err error) {
	for {
		m.mu.Lock()
		changed := m.changed
		var news []event
		if !m.held {
			if rev < m.compacted {
				m.mu.Unlock()
				return true, nil
			}
			from, _ := slices.BinarySearchFunc(m.history, rev+1, func(e event, rev int64) int { return int(e.rev - rev) })
			news = slices.Clone(m.history[from:])
		}
		upTo := m.rev
		if m.held {
			upTo = rev
		}
		m.mu.Unlock()
		for i, e := range news {
			if strings.HasPrefix(e.key, prefix) && !yield(e.key, e.value, e.rev) {
				return false, nil
			}
			if (i+1 == len(news) || news[i+1].rev != e.rev) && !yield("", nil, e.rev) {
				return false, nil
			}
		}
		if upTo > rev {
			if (len(news) == 0 || news[len(news)-1].rev != upTo) && !yield("", nil, upTo) {
				return false, nil
			}
			rev = upTo
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// Compact forgets the history: a watcher that was not told all of it starts over.
func (m *Memory) Compact() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	m.history, m.compacted = nil, m.rev
	m.wake()
}

// Hold stops telling watchers anything, as a lagging replica would; Release goes on.
func (m *Memory) Hold() { m.set(func() { m.held = true }) }

// Release ends Hold.
func (m *Memory) Release() { m.set(func() { m.held = false }) }

// Offline makes everything that needs a master fail with mfa.ErrUnavailable, or work
// again.
func (m *Memory) Offline(yes bool) { m.set(func() { m.offline = yes }) }

func (m *Memory) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	f()
	m.wake()
}

// Bytes returns all that a thief of the database would see: keys and values, present and
// past.
func (m *Memory) Bytes() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b bytes.Buffer
	for key, it := range m.keys {
		b.WriteString(key)
		b.WriteByte('\n')
		b.Write(it.value)
		b.WriteByte('\n')
	}
	for _, e := range m.history {
		b.WriteString(e.key)
		b.WriteByte('\n')
		b.Write(e.value)
		b.WriteByte('\n')
	}
	return b.Bytes()
}
