package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
)

// Options says what a Store is part of. Epoch, Now and Log must be set; Server and
// Identity on a server that holds the group's keyset, so that it follows a rotation.
type Options struct {
	Epoch    uint64           // generation of the database
	Server   string           // name of this server
	Identity keyring.Identity // what the keyset is wrapped to
	// Group, on a server that may have others beside it, reports whether it has now. Without
	// a master it then settles alone, and merges that later; Keep makes a record durable in
	// the trail, and BothSides is told of a code that was used here and elsewhere. nil: this
	// server is alone for ever. Ping asks the master, past the database, whether it is there;
	// nil: nobody can be asked.
	Group     func() bool
	Ping      func(ctx context.Context) bool
	Keep      func(ctx context.Context, r mfa.Record) error
	BothSides func(s mfa.Settled, detail string)
	// Frozen returns why nobody may change what administrators manage; settlements go on, and
	// so does what only restricts: a block, a credential disabled, a token revoked. nil, or
	// returning nil: they may.
	Frozen func() error

	// Delivery is told of each message that a server has told the group of, this one too. It
	// does not block. nil: nobody asks.
	Delivery func(d mfa.Delivery)

	// Witness, on a server without the group's keyset: the view holds what servers know of
	// each other, and nothing that is sealed can be read or written.
	Witness bool

	Now    func() time.Time
	Random io.Reader // of ids; nil: crypto/rand
	Log    *slog.Logger
}

// Store keeps the group's records in a KV. Reads come from a view in memory and need no
// master; writes are conditional on what they were made from. Every method is safe for
// concurrent use. Methods that write return mfa.ErrConflict if others kept changing the
// same records, mfa.ErrUnavailable or mfa.ErrReadOnly if nothing was written, and
// mfa.ErrUnknownOutcome if the database did not answer and what became of the write
// cannot be told. What a method returns belongs to the caller, but slices of applications,
// directories, tokens and settings are shared: they must not be changed.
type Store struct {
	quotas quotas
	waits  waiting
	kv     KV
	ring   *keyring.Ring
	o      Options
	view   *view

	overlay *overlay
	contact contact
	find    finder
	census  census

	settling sync.Pool // of *settling
}

// Open returns a store on kv that seals with ring. Run must be called for it to become
// ready; until then reads return mfa.ErrUnavailable.
func Open(_ context.Context, kv KV, ring *keyring.Ring, o Options) (*Store, error) {
	if o.Now == nil || o.Log == nil {
		return nil, fmt.Errorf("store: Now and Log must be set: %w", mfa.ErrInvalid)
	}
	if ring.Keyset().Empty() != o.Witness {
		return nil, fmt.Errorf("store: a server has a keyset, a witness none: %w", mfa.ErrInvalid)
	}
	s := &Store{kv: kv, ring: ring, o: o, view: newView(), overlay: newOverlay()}
	s.find.wanted = make(chan struct{}, 1)
	s.view.decode = s.decodeSmall
	s.view.keyset = s.follow
	s.view.woken = s.woken
	s.view.delivery = s.delivered
	s.view.ksKey = prefixKeyset + o.Server
	if o.Witness {
		s.view.only = ofServers
	}
	return s, nil
}

// Run feeds the view until ctx is done. It starts over if the database's watch fails. In a
// group it also keeps an eye on the master, and merges what was settled without one.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.keepFindable(ctx) })
	wg.Go(func() { s.keepCounted(ctx) })
	if s.o.Group != nil {
		wg.Go(func() { s.keepInTouch(ctx) })
	}
	return s.feed(ctx)
}

func (s *Store) feed(ctx context.Context) error {
	const slowest = 5 * time.Second
	wait := 50 * time.Millisecond
	for {
		began := s.o.Now()
		err := s.kv.Watch(ctx, "", s.view.follow())
		if ctx.Err() != nil {
			return nil
		}
		if s.o.Now().Sub(began) > slowest {
			wait = 50 * time.Millisecond
		}
		s.o.Log.Warn("the local view lost touch with the database and starts over", "error", err, "after", wait)
		if !pause(ctx, wait) {
			return nil
		}
		wait = min(2*wait, slowest)
	}
}

// Ready waits until the view holds every change up to revision rev; 0 waits until it has
// been loaded.
func (s *Store) Ready(ctx context.Context, rev int64) error { return s.view.wait(ctx, rev) }

// Sync reads the database's revision through at the master and waits until the view has
// come up to it. A sole voter must do this once before it checks any code: until then its
// copy can be behind what it acknowledged.
func (s *Store) Sync(ctx context.Context) error {
	rev, err := s.kv.Scan(ctx, keySettings, func(string, []byte, int64) bool { return false })
	if err != nil {
		return err
	}
	return s.view.wait(ctx, rev)
}

// Epoch is the generation of the database.
func (s *Store) Epoch() uint64 { return s.o.Epoch }

// now is the time as records keep it.
func (s *Store) now() time.Time { return s.o.Now().UTC() }

// pause waits, and reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
