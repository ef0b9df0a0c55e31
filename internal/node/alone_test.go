package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/authn"
	"countersign/internal/challenge"
	"countersign/internal/keyring"
	"countersign/internal/method/otp"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
	"countersign/internal/trail"
)

// link is one server's way to the group's database. While it is cut nothing that needs a
// master works, and the watch tells nothing; the local copy stays.
type link struct {
	*storetest.Memory
	mu   sync.Mutex
	open chan struct{} // closed while the link is up
}

func newLink(m *storetest.Memory) *link {
	l := &link{Memory: m, open: make(chan struct{})}
	close(l.open)
	return l
}

func (l *link) set(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if up != l.up() {
		if up {
			close(l.open)
		} else {
			l.open = make(chan struct{})
		}
	}
}

func (l *link) up() bool {
	select {
	case <-l.open:
		return true
	default:
		return false
	}
}

func (l *link) refused() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up() {
		return fmt.Errorf("the link is cut: %w", mfa.ErrUnavailable)
	}
	return nil
}

func (l *link) Get(ctx context.Context, key string) ([]byte, int64, error) {
	if err := l.refused(); err != nil {
		return nil, 0, err
	}
	return l.Memory.Get(ctx, key)
}

func (l *link) Scan(ctx context.Context, prefix string, yield func(string, []byte, int64) bool) (int64, error) {
	if err := l.refused(); err != nil {
		return 0, err
	}
	return l.Memory.Scan(ctx, prefix, yield)
}

func (l *link) Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (int64, bool, error) {
	if err := l.refused(); err != nil {
		return 0, false, err
	}
	return l.Memory.Commit(ctx, ifRev, puts, deletes)
}

// Watch is held back while the link is cut, but for a copy that begins then: a member that
// starts alone has its copy. (It is the group's newest, where a real one may be older.)
func (l *link) Watch(ctx context.Context, prefix string, yield func(string, []byte, int64) bool) error {
	copied := false
	return l.Memory.Watch(ctx, prefix, func(key string, value []byte, rev int64) bool {
		if copied {
			l.mu.Lock()
			open := l.open
			l.mu.Unlock()
			select {
			case <-open:
			case <-ctx.Done():
				return false
			}
		}
		copied = copied || key == "" && rev != 0
		return yield(key, value, rev)
	})
}

// memTrail is a trail in memory.
type memTrail struct {
	mu      sync.Mutex
	records []mfa.Record
	merged  trail.Position
}

func (t *memTrail) Append(_ context.Context, records ...mfa.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records = append(t.records, records...)
	return nil
}

func (t *memTrail) Replay(after trail.Position, yield func(trail.Position, mfa.Record) error) error {
	t.mu.Lock()
	records := slices.Clone(t.records)
	t.mu.Unlock()
	for i, r := range records {
		if seq := uint64(i + 1); seq > after.Seq {
			if err := yield(trail.Position{Segment: 1, Seq: seq}, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *memTrail) Head() trail.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.records) == 0 {
		return trail.Position{}
	}
	return trail.Position{Segment: 1, Seq: uint64(len(t.records))}
}

func (t *memTrail) SetMerged(p trail.Position) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.merged = p
	return nil
}

func (t *memTrail) Merged() trail.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.merged
}

func (t *memTrail) acts(verb string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.records {
		if r.Act != nil && r.Act.Verb == verb {
			n++
		}
	}
	return n
}

func (t *memTrail) last() mfa.Attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.records) - 1; i >= 0; i-- {
		if a := t.records[i].Attempt; a != nil {
			return *a
		}
	}
	return mfa.Attempt{}
}

// side is one server of the group: its link, its trail, and what a start makes of them.
type side struct {
	g     *sides
	name  string
	link  *link
	id    keyring.Identity
	trail *memTrail
	mark  mark

	store  *store.Store
	ledger *ledger
	engine *authn.Engine
	stop   func()
}

// sides is a group on one database.
type sides struct {
	t     testing.TB
	kv    *storetest.Memory
	mu    sync.Mutex
	clock time.Time
	user  mfa.User
	totp  mfa.CredentialID
	hotp  mfa.CredentialID
	all   []*side
	lose  atomic.Bool // the answer to the next commit that merges
}

var seed = secret.FromString("12345678901234567890")

func (g *sides) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clock
}

func (g *sides) advance(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clock = g.clock.Add(d)
}

// code is the code of alice's token steps from now.
func (g *sides) code(t testing.TB, steps int) (string, uint64) {
	k, err := oath.NewTOTP(seed, oath.DefaultAlgorithm, oath.DefaultDigits, oath.DefaultPeriod)
	if err != nil {
		t.Fatal(err)
	}
	step := uint64(g.now().Unix()/oath.DefaultPeriod + int64(steps))
	return k.HOTP(step), step
}

// newSides founds a group of two servers with alice, who has a TOTP and an HOTP token, and
// two applications: vpn goes on without a master, bank does not.
func newSides(t testing.TB) *sides {
	g := &sides{t: t, kv: &storetest.Memory{}, clock: time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)}
	g.kv.Fault = func(puts map[string][]byte, _ []string) storetest.Fault {
		if puts["x/ledger/two"] != nil && g.lose.Swap(false) {
			return storetest.LostAfter
		}
		return storetest.None
	}
	k, err := keyring.New(nil, g.clock)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		id, err := keyring.NewIdentity()
		if err == nil {
			err = store.PutKeyset(context.Background(), g.kv, name, id.Recipient(), k)
		}
		if err != nil {
			t.Fatal(err)
		}
		s := &side{g: g, name: name, link: newLink(g.kv), id: id, trail: &memTrail{}}
		g.all = append(g.all, s)
		s.start()
	}
	g.totp, g.hotp = mfa.CredentialID(mfa.NewID(nil)), mfa.CredentialID(mfa.NewID(nil))
	ctx := context.Background()
	g.user, err = g.all[0].store.CreateUser(ctx, mfa.User{Login: "alice", State: mfa.StateProtected}, []mfa.Credential{
		{ID: g.totp, Method: mfa.MethodTOTP, Secret: seed, Algorithm: "SHA1", Digits: 6, Period: 30, Confirmed: g.clock},
		{ID: g.hotp, Method: mfa.MethodHOTP, Secret: seed, Algorithm: "SHA1", Digits: 8, Confirmed: g.clock}})
	for _, a := range []mfa.Application{{Name: "vpn", DegradedAllow: true}, {Name: "bank"}} {
		a.ID, a.Kind, a.FirstFactor, a.Passcode = mfa.ApplicationID(mfa.NewID(nil)), mfa.KindRADIUS, mfa.FirstFactorNone, mfa.PasscodeAppend
		_, failed := g.all[0].store.CreateApplication(ctx, a)
		err = errors.Join(err, failed)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range g.all {
		s.meet()
	}
	return g
}

// start opens what the side has on disk, as Run does.
func (s *side) start() {
	t := s.g.t
	ctx, cancel := context.WithCancel(context.Background())
	k, err := store.LoadKeyset(ctx, s.link, s.name, s.id)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	ring := keyring.NewRing(k)
	s.store, err = store.Open(ctx, s.link, ring, store.Options{Epoch: 1, Server: s.name, Identity: s.id, Now: s.g.now, Log: log,
		Group: func() bool { return true }, Keep: func(ctx context.Context, r mfa.Record) error { return s.ledger.Append(ctx, r) },
		BothSides: func(e mfa.Settled, detail string) { s.ledger.bothSides(e, detail) }})
	if err != nil {
		t.Fatal(err)
	}
	s.ledger = &ledger{server: s.name, trail: s.trail, store: s.store, settings: s.store.Settings, now: s.g.now, log: log,
		load:  func(context.Context) (mark, error) { return s.mark, s.link.refused() },
		save:  func(_ context.Context, m mark) error { s.mark = m; return s.link.refused() },
		check: func(context.Context) error { return nil }}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.store.Run(ctx) }()
	s.stop = func() { cancel(); <-done }
	if err := s.store.Ready(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if s.link.refused() == nil {
		if err = s.store.Touch(ctx, time.Minute); err == nil {
			_, err = s.ledger.recover(ctx)
		}
	} else {
		_, err = s.ledger.isolated(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	methods := []authn.Method{otp.TOTP{Now: s.g.now, Skew: func() int { return 1 }}, otp.HOTP{Ahead: func() int { return 10 }}}
	s.engine = authn.New(authn.Config{Server: s.name, Store: s.store, First: noDirectory{}, Methods: methods, Trail: s.ledger,
		Handles: challenge.Sealer{Keys: ring}, Settings: s.store.Settings, CodeLength: otp.CodeLength, Now: s.g.now, Log: log})
}

type noDirectory struct{}

func (noDirectory) CheckStranger(context.Context, string, string, secret.Text) (groups, names []string, err error) {
	return nil, nil, errors.New("no directory")
}

func (noDirectory) Pretend(context.Context, string, string, secret.Text) {}

func (noDirectory) Check(context.Context, string, mfa.User, []mfa.Credential, secret.Text) ([]string, error) {
	return nil, errors.New("not asked here")
}

func (s *side) cut() {
	s.link.set(false)
	_ = s.store.Touch(context.Background(), time.Second)
}

// meet restores the link and waits until everything is merged and the ledger in step.
func (s *side) meet() {
	s.link.set(true)
	ctx := context.Background()
	err := s.store.Touch(ctx, time.Minute)
	if err == nil {
		err = s.store.Merge(ctx)
	}
	if err == nil && s.ledger.behind {
		err = s.ledger.catchUp(ctx)
	}
	if err == nil {
		err = errors.Join(s.ledger.pass(ctx), s.ledger.pass(ctx))
	}
	if err != nil {
		s.g.t.Fatal(err)
	}
}

func (s *side) restart() {
	s.stop()
	s.start()
}

func (g *sides) close() {
	for _, s := range g.all {
		s.link.set(true)
		s.stop()
	}
}

func (s *side) signIn(app, code string) (mfa.Decision, error) {
	a, err := s.store.ApplicationByName(app)
	if err != nil {
		return mfa.Decision{}, err
	}
	return s.engine.Authenticate(context.Background(), mfa.Request{Application: a.ID, FrontEnd: "radius", Login: "alice", Password: secret.FromString(code)})
}

// want signs in and checks the reason.
func (s *side) want(t testing.TB, code string, reason mfa.Reason) {
	t.Helper()
	d, err := s.signIn("vpn", code)
	if err != nil || d.Reason != reason {
		t.Errorf("%s: code %s: %s (%v), want %s", s.name, code, d.Reason, err, reason)
	}
}

func (s *side) record(t testing.TB) settlement.Record {
	t.Helper()
	if s.link.refused() == nil {
		if err := s.store.Touch(context.Background(), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	a, err := s.store.Account(context.Background(), s.g.user.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	return a.Record
}

func TestAloneSignsInAndMerges(t *testing.T) {
	g := newSides(t)
	defer g.close()
	one, two := g.all[0], g.all[1]
	two.cut()
	code, step := g.code(t, 0)
	two.want(t, code, mfa.OK)
	if a := two.trail.last(); !a.Degraded {
		t.Errorf("verdict %+v is not marked degraded", a)
	}
	two.want(t, code, mfa.ReplayedCode)
	two.want(t, "000000", mfa.WrongCode)
	fresh, _ := g.code(t, 1)
	if d, err := two.signIn("bank", fresh); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("an application that refuses degraded sign-ins: %+v, %v", d, err)
	}
	if one.record(t).Floors.Of(g.totp).Next != 0 {
		t.Error("the other side knows already")
	}
	two.meet()
	if r := one.record(t); r.Floors.Of(g.totp).Next != step+1 || r.Fails.N != 1 {
		t.Errorf("merged: %+v", r)
	}
	if n := two.store.Unmerged(); n != 0 || two.trail.acts("used_on_both_sides") != 0 {
		t.Errorf("%d left, %d used on both sides", n, two.trail.acts("used_on_both_sides"))
	}
	one.want(t, code, mfa.ReplayedCode)
	g.advance(time.Minute)
	code, _ = g.code(t, 0)
	two.want(t, code, mfa.OK)
	if a := two.trail.last(); a.Degraded {
		t.Error("degraded although there is a master")
	}
	two.restart() // nothing is merged twice
	if r := two.record(t); r.Fails.N != 0 {
		t.Errorf("after a restart: %+v", r)
	}
}

func TestAloneRestarted(t *testing.T) {
	g := newSides(t)
	defer g.close()
	one, two := g.all[0], g.all[1]
	two.cut()
	first, step := g.code(t, 0)
	two.want(t, first, mfa.OK)
	two.want(t, "000000", mfa.WrongCode)
	two.restart()
	if r := two.record(t); r.Floors.Of(g.totp).Next != step+1 || r.Fails.N != 1 {
		t.Errorf("read back: %+v", r)
	}
	two.want(t, first, mfa.ReplayedCode)
	next, _ := g.code(t, 1) // of a step that may have been used elsewhere before the start
	two.want(t, next, mfa.HeldWhileIsolated)
	k, err := oath.NewHOTP(seed, oath.DefaultAlgorithm, 8)
	if err != nil {
		t.Fatal(err)
	}
	two.want(t, k.HOTP(0), mfa.HeldWhileIsolated)
	if r := two.record(t); r.Fails.N != 1 || r.Floors.Of(g.hotp).Next != 0 {
		t.Errorf("a held code was booked: %+v", r)
	}
	g.advance(30 * time.Second)
	two.want(t, next, mfa.HeldWhileIsolated)
	g.advance(30 * time.Second)
	later, step := g.code(t, 0)
	two.want(t, later, mfa.OK)
	two.restart()
	two.restart()
	two.meet()
	if r := one.record(t); r.Floors.Of(g.totp).Next != step+1 || r.Fails.N != 0 && r.Fails.N != 1 {
		t.Errorf("merged: %+v", r)
	}
	two.want(t, k.HOTP(0), mfa.OK)
}

func TestAloneUsedOnBothSides(t *testing.T) {
	for name, tt := range map[string]struct {
		run  func(t *testing.T, g *sides, one, two *side)
		want int
	}{
		"the same code": {func(t *testing.T, g *sides, one, two *side) {
			code, _ := g.code(t, 0)
			one.want(t, code, mfa.OK)
			two.want(t, code, mfa.OK)
		}, 1},
		"the same code, and a later one there": {func(t *testing.T, g *sides, one, two *side) {
			code, _ := g.code(t, 0)
			two.want(t, code, mfa.OK)
			one.want(t, code, mfa.OK)
			g.advance(time.Minute)
			code, _ = g.code(t, 0)
			one.want(t, code, mfa.OK)
		}, 1},
		"another code": {func(t *testing.T, g *sides, one, two *side) {
			code, _ := g.code(t, 0)
			one.want(t, code, mfa.OK)
			g.advance(time.Minute)
			code, _ = g.code(t, 0)
			two.want(t, code, mfa.OK)
		}, 0},
		"another code, long before": {func(t *testing.T, g *sides, one, two *side) {
			for range 2 {
				code, _ := g.code(t, 0)
				one.want(t, code, mfa.OK)
				g.advance(time.Hour)
			}
			code, _ := g.code(t, 0)
			two.want(t, code, mfa.OK)
			for range 2 {
				g.advance(time.Hour)
				code, _ = g.code(t, 0)
				one.want(t, code, mfa.OK)
			}
		}, 0},
		"the user signs in again before it is merged": {func(t *testing.T, g *sides, one, two *side) {
			code, _ := g.code(t, 0)
			one.want(t, code, mfa.OK)
			two.want(t, code, mfa.OK)
			g.advance(time.Minute)
			two.link.set(true)
			if err := two.store.Touch(t.Context(), time.Minute); err != nil {
				t.Fatal(err)
			}
			code, _ = g.code(t, 0)
			two.want(t, code, mfa.OK)
		}, 1},
		"after a restart": {func(t *testing.T, g *sides, one, two *side) {
			code, _ := g.code(t, 0)
			one.want(t, code, mfa.OK)
			two.want(t, code, mfa.OK)
			two.restart()
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newSides(t)
			defer g.close()
			g.all[1].cut()
			tt.run(t, g, g.all[0], g.all[1])
			g.all[1].meet()
			if n := g.all[1].trail.acts("used_on_both_sides"); n != tt.want {
				t.Errorf("reported %d times, want %d", n, tt.want)
			}
			notices, err := g.all[0].store.Notices(t.Context(), 100)
			if err != nil || len(notices) != tt.want {
				t.Errorf("notices %+v, %v", notices, err)
			}
			g.all[1].meet()
			if n := g.all[1].trail.acts("used_on_both_sides"); n != tt.want {
				t.Errorf("reported again")
			}
		})
	}
}

func TestAloneFailuresAndLocks(t *testing.T) {
	g := newSides(t)
	defer g.close()
	one, two := g.all[0], g.all[1]
	wrong := func(s *side, n int) {
		for range n {
			g.advance(2 * time.Minute) // beyond the memory of wrong answers
			s.want(t, "000000", mfa.WrongCode)
		}
	}
	two.cut()
	wrong(one, 2)
	wrong(two, 2)
	two.meet()
	if n := one.record(t).Fails.N; n != 4 {
		t.Errorf("%d failures, want the sum 4", n)
	}
	two.cut()
	wrong(two, 1)
	code, _ := g.code(t, 0)
	two.want(t, code, mfa.Locked) // 4 of the group and one here
	two.meet()
	one.want(t, code, mfa.Locked)
	g.advance(16 * time.Minute)
	code, _ = g.code(t, 0)
	one.want(t, code, mfa.OK)
	// A success clears the failures before it, here and when it is merged.
	two.meet()
	two.cut()
	wrong(two, 4)
	code, _ = g.code(t, 0)
	two.want(t, code, mfa.OK)
	wrong(two, 1)
	two.meet()
	if n := one.record(t).Fails.N; n != 1 {
		t.Errorf("%d failures, want 1", n)
	}
}

// A merge whose answer is lost, and a mark that is lost too: the failure counts once, though
// the record has forgotten the leg.
func TestAloneMergesOnce(t *testing.T) {
	g := newSides(t)
	defer g.close()
	one, two := g.all[0], g.all[1]
	two.cut()
	two.want(t, "000000", mfa.WrongCode)
	g.lose.Store(true)
	two.meet()
	if n := one.record(t).Fails.N; n != 1 || g.lose.Load() {
		t.Errorf("%d failures, want 1", n)
	}
	for range 8 {
		g.advance(31 * time.Second)
		code, _ := g.code(t, 0)
		one.want(t, code, mfa.OK)
	}
	for _, up := range []bool{true, false} {
		two.mark, two.trail.merged = mark{}, trail.Position{}
		two.link.set(up)
		two.restart()
		two.meet()
		if r := one.record(t); r.Fails.N != 0 {
			t.Errorf("counted again (with a master at the start: %v): %+v", up, r)
		}
	}
}

// TestAloneParallel: the same codes at once, on both servers, while one of the links comes
// and goes. Neither server takes a code twice, and what both took is reported.
func TestAloneParallel(t *testing.T) {
	g := newSides(t)
	defer g.close()
	two := g.all[1]
	used := map[string]map[*side]int{}
	for round := range 12 {
		code, _ := g.code(t, 0)
		var mu sync.Mutex
		by := map[*side]int{}
		used[code] = by
		var wg sync.WaitGroup
		for i := range 12 {
			s := g.all[i%2]
			wg.Go(func() {
				if d, err := s.signIn("vpn", code); err == nil && d.Verdict == mfa.Accept {
					mu.Lock()
					by[s]++
					mu.Unlock()
				}
			})
		}
		wg.Go(func() {
			if round%2 == 0 {
				two.cut()
			} else {
				two.link.set(true)
				_ = two.store.Touch(context.Background(), time.Minute)
			}
		})
		wg.Wait()
		g.advance(time.Minute)
	}
	two.meet()
	both := 0
	for code, by := range used {
		for s, n := range by {
			if n > 1 {
				t.Errorf("%s accepted code %s %d times", s.name, code, n)
			}
		}
		if len(by) > 1 {
			both++
		}
	}
	if n := two.trail.acts("used_on_both_sides"); n < both {
		t.Errorf("%d codes were used on both sides, %d reported", both, n)
	}
	if n := two.store.Unmerged(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

func TestAloneRestrictions(t *testing.T) {
	g := newSides(t)
	defer g.close()
	one, two := g.all[0], g.all[1]
	ctx := t.Context()
	token, err := one.store.CreateAPIToken(ctx, mfa.APIToken{Name: "ci", Digest: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	two.meet()
	two.cut()
	// What gives is refused.
	if _, err := two.store.UpdateUser(ctx, g.user.ID, func(u *mfa.User) error { u.Name = "A"; return nil }); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("a change of name: %v", err)
	}
	if _, err := two.store.UpdateUser(ctx, g.user.ID, func(u *mfa.User) error {
		u.Block, u.State = &mfa.Block{By: "root", Since: g.now()}, mfa.StateExempt
		return nil
	}); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("a block and more: %v", err)
	}
	if _, err := two.store.UpdateCredential(ctx, g.user.ID, g.totp, func(c *mfa.Credential) error { c.Label = "x"; return nil }); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("a change of a label: %v", err)
	}
	// What takes works.
	if _, err := two.store.UpdateCredential(ctx, g.user.ID, g.totp, func(c *mfa.Credential) error { c.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := two.store.RemoveAPIToken(ctx, token.ID); err != nil {
		t.Fatal(err)
	}
	code, _ := g.code(t, 0)
	two.want(t, code, mfa.CredentialDisabled)
	u, err := two.store.UpdateUser(ctx, g.user.ID, func(u *mfa.User) error {
		u.Block = &mfa.Block{By: "root", Reason: "lost laptop", Since: g.now()}
		return nil
	})
	if err != nil || u.Block == nil {
		t.Fatalf("%+v, %v", u, err)
	}
	check := func(s *side) {
		t.Helper()
		s.want(t, code, mfa.Blocked)
		if _, err := s.store.APITokenByDigest([32]byte{1}); !errors.Is(err, mfa.ErrNotFound) || len(s.store.APITokens()) != 0 {
			t.Errorf("%s: the token is there: %v", s.name, err)
		}
		a, err := s.store.Account(ctx, g.user.ID, false)
		if err != nil || a.User.Block == nil || a.User.Block.Reason != "lost laptop" || len(a.Credentials) != 2 || !slices.ContainsFunc(a.Credentials, func(c mfa.Credential) bool { return c.ID == g.totp && c.Disabled }) {
			t.Errorf("%s: %+v, %v", s.name, a, err)
		}
		found := false
		if err := s.store.ListUsers(ctx, "", func(u mfa.User) bool { found = u.Block != nil; return true }); err != nil || !found {
			t.Errorf("%s: not listed as blocked: %v", s.name, err)
		}
	}
	check(two)
	two.restart()
	check(two)
	two.meet()
	one.meet()
	check(one)
	check(two)
	// Unblocked later, it stays so: the block is merged once.
	if _, err := one.store.UpdateUser(ctx, g.user.ID, func(u *mfa.User) error { u.Block = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	two.restart()
	two.meet()
	if a, err := two.store.Account(ctx, g.user.ID, true); err != nil || a.User.Block != nil {
		t.Errorf("blocked again: %+v, %v", a.User.Block, err)
	}
}

// Whatever is signed in on two servers, with links that come and go, restarts and time that
// passes: in the connected part no code is good twice, on a server that is alone at most
// once; every code that was good on both sides is reported, and in the end both sides have
// the highest floor.
func TestAloneInterleavings(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := newSides(t)
		defer g.close()
		used := map[uint64]map[string]int{} // step: accepts, by the side (or "group")
		where := func(s *side) string {
			if s.link.refused() != nil {
				return s.name
			}
			return "group"
		}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			s := g.all[rapid.IntRange(0, 1).Draw(rt, "server")]
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				s.cut()
			case 1:
				s.meet()
			case 2:
				s.restart()
			case 3:
				g.advance(time.Duration(rapid.IntRange(1, 200).Draw(rt, "seconds")) * time.Second)
			case 4:
				if _, err := s.signIn("vpn", "000000"); err != nil {
					rt.Fatal(err)
				}
			default:
				code, step := g.code(t, rapid.IntRange(-1, 1).Draw(rt, "offset"))
				d, err := s.signIn("vpn", code)
				if err != nil {
					rt.Fatal(err)
				}
				if d.Verdict != mfa.Accept {
					continue
				}
				if used[step] == nil {
					used[step] = map[string]int{}
				}
				if used[step][where(s)]++; used[step][where(s)] > 1 {
					rt.Fatalf("step %d accepted again by %s: %v", step, where(s), used[step])
				}
			}
		}
		for _, s := range g.all {
			s.meet()
		}
		highest, twice := uint64(0), 0
		for step, by := range used {
			highest = max(highest, step+1)
			n := -1
			for _, k := range by {
				n += k
			}
			twice += n
		}
		reported := 0
		for _, s := range g.all {
			reported += s.trail.acts("used_on_both_sides")
			if s.store.Unmerged() != 0 {
				rt.Fatalf("%s has %d entries left", s.name, s.store.Unmerged())
			}
		}
		if reported < twice {
			rt.Fatalf("%d codes were used on more than one side, %d reported", twice, reported)
		}
		for _, s := range g.all {
			if r := s.record(t); r.Floors.Of(g.totp).Next < highest {
				rt.Fatalf("%s: floor %d, want at least %d", s.name, r.Floors.Of(g.totp).Next, highest)
			}
		}
	})
}
