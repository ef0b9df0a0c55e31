package node

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
	"countersign/internal/store"
)

// parkedRig is the data folder of a server that comes back: its own database of epoch 1 went on
// after epoch 2 was made from it elsewhere.
type parkedRig struct {
	t     *testing.T
	o     cluster.Options
	id    keyring.Identity
	key   ed25519.PrivateKey
	trail *memTrail
	now   time.Time
	mark  mark
	fork  int64
	was   string // cluster id of epoch 1

	node   *cluster.Node
	store  *store.Store
	copies *parkedCopies
	stop   func()
}

func newParkedRig(t *testing.T, before, after func(r *parkedRig)) *parkedRig {
	t.Helper()
	r := &parkedRig{t: t, trail: &memTrail{}, now: time.Now()}
	_, r.key, _ = ed25519.GenerateKey(nil)
	var err error
	r.id, err = keyring.NewIdentity()
	must(t, err)
	r.o = cluster.Options{DataDir: filepath.Join(t.TempDir(), "data"), Name: "nyc1", Group: "main", Now: time.Now, Log: slog.New(slog.DiscardHandler), Ballast: 1 << 20,
		Sign: func(m []byte) ([]byte, error) { return ed25519.Sign(r.key, m), nil },
		Verify: func(m, sig []byte) error {
			if !ed25519.Verify(r.key.Public().(ed25519.PublicKey), m, sig) {
				return errors.New("wrong signature")
			}
			return nil
		}}
	r.node, err = cluster.Found(t.Context(), r.o)
	must(t, err)
	r.was = r.node.ClusterID()
	keys, err := keyring.New(nil, time.Now())
	must(t, err)
	must(t, store.PutKeyset(t.Context(), r.node, "nyc1", r.id.Recipient(), keys))
	r.up()
	before(r)
	path := filepath.Join(t.TempDir(), "snapshot")
	f, err := os.Create(path)
	must(t, err)
	r.fork, err = r.node.Snapshot(t.Context(), f)
	must(t, err)
	must(t, f.Close())
	after(r)
	r.stop()

	must(t, cluster.RestoreInto(t.Context(), r.o, cluster.Restore{Snapshot: path, Epoch: 2, DecidedBy: "an operator"}))
	b, err := json.Marshal(cluster.Parked{V: 1, Copy: "epoch-1.1", Group: "main", Epoch: 1, ClusterID: r.was, Next: 2, Time: r.now})
	must(t, err)
	must(t, os.WriteFile(r.path()+".parked", b, 0o600))
	r.open()
	must(t, r.store.UpdateEpochRecord(t.Context(), func(e *store.EpochRecord) error {
		*e = store.EpochRecord{Epoch: 2, ClusterID: r.node.ClusterID(), Previous: store.PreviousEpoch{Epoch: 1, ClusterID: r.was, ForkRevision: r.fork},
			OldMaster: "nyc1", Since: r.now, DecidedBy: "operator", Hold: &store.EpochHold{Awaits: []string{"nyc1"}}}
		return nil
	}))
	must(t, r.store.Sync(t.Context()))
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *parkedRig) path() string { return filepath.Join(r.o.DataDir, "db", "epoch-1.1") }

// open opens the database that counts.
func (r *parkedRig) open() {
	r.t.Helper()
	var err error
	r.node, err = cluster.Open(r.t.Context(), r.o)
	must(r.t, err)
	r.up()
}

// up opens records, ledger and parked copies as a start does.
func (r *parkedRig) up() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := r.node.Barrier(ctx)
	must(r.t, err)
	k, err := store.LoadKeyset(ctx, r.node, "nyc1", r.id)
	must(r.t, err)
	log := slog.New(slog.DiscardHandler)
	now := func() time.Time { return r.now }
	r.store, err = store.Open(ctx, r.node, keyring.NewRing(k), store.Options{Epoch: r.node.Epoch(), Server: "nyc1", Identity: r.id, Now: now, Log: log})
	must(r.t, err)
	done := make(chan struct{})
	go func() { defer close(done); _ = r.store.Run(ctx) }()
	node := r.node
	r.stop = func() { cancel(); <-done; node.Close() }
	must(r.t, r.store.Sync(ctx))
	l := &ledger{server: "nyc1", trail: r.trail, store: r.store, settings: r.store.Settings, now: now, log: log,
		load:  func(context.Context) (mark, error) { return r.mark, nil },
		save:  func(_ context.Context, m mark) error { r.mark = m; return nil },
		check: func(context.Context) error { return nil }}
	r.copies = &parkedCopies{server: "nyc1", dataDir: r.o.DataDir, counts: r.node.Folder().Copy, store: r.store, ledger: l, now: now, log: log,
		open: func(ctx context.Context, copy string) (*cluster.ParkedReader, error) {
			return cluster.OpenParked(ctx, r.o, copy)
		}}
	l.lineage = r.copies.lineage
	must(r.t, r.copies.found(r.mark.Position))
	_, err = l.recover(ctx)
	must(r.t, err)
}

func (r *parkedRig) user(login string) mfa.User {
	r.t.Helper()
	u, err := r.store.CreateUser(r.t.Context(), mfa.User{Login: login, State: mfa.StateProtected}, nil)
	must(r.t, err)
	return u
}

// fails books a wrong code as the engine does, with its ledger entry.
func (r *parkedRig) fails(u mfa.User, leg byte) {
	r.t.Helper()
	c := settlement.Change{Leg: mfa.LegID{leg}, Attempt: mfa.AttemptID{leg}, Reason: mfa.WrongCode, Fail: true, Time: r.now, Server: "nyc1"}
	must(r.t, r.store.UpdateRecord(r.t.Context(), u.ID, func(rec *settlement.Record) (err error) {
		*rec, err = rec.Apply(c, policy.Defaults().Second(), policy.Defaults().First())
		return err
	}))
	st, err := r.node.Status()
	must(r.t, err)
	must(r.t, r.trail.Append(r.t.Context(), mfa.Record{Settled: &mfa.Settled{Leg: c.Leg, Attempt: c.Attempt, User: u.ID, Time: r.now, Server: "nyc1", Failures: 1,
		Reason: mfa.WrongCode, State: mfa.Committed, Epoch: r.node.Epoch(), Revision: st.Revision}}))
}

func (r *parkedRig) failures(u mfa.User) int {
	r.t.Helper()
	a, err := r.store.Account(r.t.Context(), u.ID, true)
	must(r.t, err)
	return int(a.Record.Fails.N)
}

// returning makes a rig whose old side has failures before and after the fork, a block and
// 50 new users.
func returning(t *testing.T) (r *parkedRig, alice, bob mfa.User) {
	return newParkedRig(t, func(r *parkedRig) {
		alice, bob = r.user("alice"), r.user("bob")
		r.fails(alice, 1)
	}, func(r *parkedRig) {
		r.fails(alice, 2)
		_, err := r.store.UpdateUser(t.Context(), bob.ID, func(u *mfa.User) error {
			u.Block = &mfa.Block{By: "root", Since: r.now}
			return nil
		})
		must(t, err)
		for i := range 50 {
			login := fmt.Sprintf("lost%02d", i)
			r.user(login)
			must(t, r.trail.Append(t.Context(), mfa.Record{Act: &mfa.Act{Time: r.now, Server: "nyc1", By: "root (unix socket)", Verb: "user add", Object: login}}))
		}
	}), alice, bob
}

func TestParkedCopyIsTakenOver(t *testing.T) {
	r, alice, bob := returning(t)
	if n := r.failures(alice); n != 1 {
		t.Fatalf("%d failures before it is taken over, want 1: the ledger leaves the rest to the copy", n)
	}
	for range 2 { // the second pass has nothing to do
		must(t, r.copies.pass(t.Context()))
	}
	must(t, r.store.Sync(t.Context()))
	if n := r.failures(alice); n != 2 {
		t.Errorf("%d failures, want 2", n)
	}
	if a, err := r.store.Account(t.Context(), bob.ID, true); err != nil || !a.User.BlockedAt(r.now) {
		t.Errorf("bob is not blocked: %v", err)
	}
	list, err := r.store.ParkedChanges(t.Context())
	must(t, err)
	if len(list) != 50 {
		t.Fatalf("%d changes listed, want 50", len(list))
	}
	for _, c := range list {
		if len(c.Acts) != 1 || c.Acts[0].By != "root (unix socket)" || c.Acts[0].Object != c.After.User.Login {
			t.Errorf("%s: acts %+v", c.After.User.Login, c.Acts)
		}
	}
	e, err := r.store.EpochRecord()
	if must(t, err); !e.Hold.Released() || e.Hold.ReleasedBy != "merge" {
		t.Errorf("hold %+v, want it released by the merge", e.Hold)
	}
	if r.trail.acts("group parked") != 2 || r.trail.acts("trail merged") != 1 { // the block and the sum
		t.Errorf("%d and %d acts", r.trail.acts("group parked"), r.trail.acts("trail merged"))
	}
	if w := r.copies.warnings(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	// The copy stays for a while, also over a restart, and then goes.
	r.stop()
	r.open()
	must(t, r.copies.pass(t.Context()))
	if _, err := os.Stat(r.path()); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(parkedKeep + time.Minute)
	must(t, r.copies.pass(t.Context()))
	for _, suffix := range []string{"", ".parked", ".state"} {
		if _, err := os.Stat(r.path() + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", r.path()+suffix, err)
		}
	}
	if n := r.failures(alice); n != 2 {
		t.Errorf("%d failures after all that, want 2", n)
	}
}

// A copy that cannot be read gives its settlements through the trail, and the server goes on.
func TestParkedCopyIsDamaged(t *testing.T) {
	for name, spoil := range map[string]func(r *parkedRig) error{
		"no log": func(r *parkedRig) error { return os.RemoveAll(filepath.Join(r.path(), "member", "wal")) },
		"the process ended each time": func(r *parkedRig) error {
			return r.copies.keep(cluster.Parked{Copy: "epoch-1.1"}, parkedState{Tries: parkedTries})
		},
		"another cluster's": func(r *parkedRig) error {
			b, err := json.Marshal(cluster.Parked{V: 1, Copy: "epoch-1.1", Group: "main", Epoch: 1, ClusterID: strings.Repeat("0", 16), Next: 2})
			return errors.Join(err, os.WriteFile(r.path()+".parked", b, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, alice, _ := returning(t)
			must(t, spoil(r))
			for range 2 {
				must(t, r.copies.pass(t.Context()))
			}
			if n := r.failures(alice); n < 2 {
				t.Errorf("%d failures, want 2", n)
			}
			reports, err := r.store.ParkingReports(t.Context())
			if must(t, err); len(reports) != 1 || reports[0].Error == "" || !reports[0].Finished.IsZero() {
				t.Errorf("reports %+v", reports)
			}
			if w := r.copies.warnings(); len(w) != 1 || !strings.Contains(w[0], r.path()) {
				t.Errorf("warnings %q, want one that names the folder", w)
			}
			if e, err := r.store.EpochRecord(); err != nil || !e.Hold.Released() {
				t.Errorf("hold %+v, %v, want it released: the trail is merged", e.Hold, err)
			}
			if _, err := os.Stat(r.path()); err != nil {
				t.Errorf("the copy was removed: %v", err)
			}
		})
	}
}

// What is in the way for now is tried again, and told.
func TestParkedCopyWaits(t *testing.T) {
	r, alice, _ := returning(t)
	open := r.copies.open
	r.copies.open = func(context.Context, string) (*cluster.ParkedReader, error) {
		return nil, fmt.Errorf("the disk is full: make room: %w", mfa.ErrUnavailable)
	}
	for range 2 * parkedTries {
		if err := r.copies.pass(t.Context()); !errors.Is(err, mfa.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
	}
	if w := r.copies.warnings(); len(w) != 1 || !strings.Contains(w[0], "the disk is full") {
		t.Errorf("warnings %q", w)
	}
	if e, err := r.store.EpochRecord(); err != nil || e.Hold.Released() {
		t.Errorf("hold %+v, %v, want it held", e.Hold, err)
	}
	r.copies.open = open
	must(t, r.copies.pass(t.Context()))
	if n := r.failures(alice); n != 2 {
		t.Errorf("%d failures, want 2", n)
	}
}

// A replica that was behind brings nothing.
func TestParkedCopyWithNothing(t *testing.T) {
	r := newParkedRig(t, func(r *parkedRig) { r.fails(r.user("alice"), 1) }, func(*parkedRig) {})
	must(t, r.copies.pass(t.Context()))
	reports, err := r.store.ParkingReports(t.Context())
	if must(t, err); len(reports) != 1 || reports[0].Listed+reports[0].Records != 0 || reports[0].Finished.IsZero() {
		t.Errorf("reports %+v", reports)
	}
	if e, err := r.store.EpochRecord(); err != nil || !e.Hold.Released() {
		t.Errorf("hold %+v, %v", e.Hold, err)
	}
}
