package authn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/authn"
	"countersign/internal/challenge"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// memStore is a database of one group: conditional writes, revisions, and faults on demand.
type memStore struct {
	mu      sync.Mutex
	rev     int64
	apps    map[mfa.ApplicationID]mfa.Application
	forms   map[string]mfa.UserID
	accts   map[mfa.UserID]settlement.Account
	stale   map[mfa.UserID]settlement.Account // what a lagging view shows until it is read through
	fault   func() (apply bool, err error)    // asked before each settlement
	settled int
	unread  error // of what is read through at the master; nil: it answers

	ambiguous string // a form that is more than one user's

	fork    mfa.Fork
	forkErr error
	contact func() (last time.Time, now bool) // nil: always
	behind  bool
	local   []mfa.Settled

	taken map[string]int // of quotas
}

func (s *memStore) Take(_ context.Context, quotas ...mfa.Quota) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range quotas {
		if s.taken[q.Name]+q.N > q.Most {
			return q.Full
		}
	}
	if s.taken == nil {
		s.taken = map[string]int{}
	}
	for _, q := range quotas {
		s.taken[q.Name] += q.N
	}
	return nil
}

func (s *memStore) Application(id mfa.ApplicationID) (mfa.Application, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.apps[id]; ok {
		return a, nil
	}
	return mfa.Application{}, mfa.ErrNotFound
}

func (s *memStore) UserByForm(_ context.Context, form string) (mfa.UserID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if form == s.ambiguous && form != "" {
		return "", mfa.AmbiguousUser
	}
	if id, ok := s.forms[form]; ok {
		return id, nil
	}
	return "", mfa.ErrNotFound
}

func (s *memStore) Account(_ context.Context, id mfa.UserID, fresh bool) (settlement.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.accts[id]
	if !ok {
		return a, mfa.ErrNotFound
	}
	if fresh && s.unread != nil {
		return a, s.unread
	}
	if old, lagging := s.stale[id]; lagging && !fresh {
		a = old
	}
	a.Record = a.Record.Clone()
	a.Credentials = slices.Clone(a.Credentials)
	a.CredRevs = slices.Clone(a.CredRevs)
	return a, nil
}

func (s *memStore) Standing(ctx context.Context, id mfa.UserID, fresh bool) (settlement.Account, error) {
	a, err := s.Account(ctx, id, fresh)
	u := &a.User
	u.Login, u.Aliases, u.Name, u.Email, u.Phone = "", nil, "", "", ""
	if b := u.Block; b != nil {
		u.Block = &mfa.Block{Until: b.Until, By: b.By, Since: b.Since}
	}
	return a, err
}

func (s *memStore) Settle(_ context.Context, a settlement.Account, used []mfa.CredentialID, next settlement.Record) (int64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	apply, fault := true, error(nil)
	if s.fault != nil {
		apply, fault = s.fault()
	}
	cur := s.accts[a.User.ID]
	ok := cur.RecordRev == a.RecordRev && cur.UserRev == a.UserRev
	for _, id := range used {
		ok = ok && cur.CredRevs.Of(id) == a.CredRevs.Of(id)
	}
	if ok && apply {
		if _, err := next.MarshalBinary(); err != nil {
			return 0, false, err
		}
		s.rev++
		s.settled++
		cur.Record, cur.RecordRev = next.Clone(), s.rev
		s.accts[a.User.ID] = cur
		delete(s.stale, a.User.ID)
	}
	if fault != nil {
		return 0, false, fault
	}
	return s.rev, ok, nil
}

func (s *memStore) Epoch() uint64 { return 1 }

func (s *memStore) Fork() (mfa.Fork, error) { return s.fork, s.forkErr }

func (s *memStore) Behind() bool { return s.behind }

func (s *memStore) Contact() (time.Time, bool) {
	if s.contact == nil {
		return t0, true
	}
	return s.contact()
}

// SettleLocal takes over the record at once: nobody merges here.
func (s *memStore) SettleLocal(a settlement.Account, used []mfa.CredentialID, next settlement.Record, e mfa.Settled) (mfa.Settled, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cur := s.accts[a.User.ID]
	ok := cur.RecordRev == a.RecordRev && cur.UserRev == a.UserRev
	for _, id := range used {
		ok = ok && cur.CredRevs.Of(id) == a.CredRevs.Of(id)
	}
	if !ok {
		return e, false, nil
	}
	s.rev++
	cur.Record, cur.RecordRev = next.Clone(), s.rev
	s.accts[a.User.ID] = cur
	e.Number = uint64(s.rev)
	s.local = append(s.local, e)
	return e, true, nil
}

// change edits a user's account as an administrator would, with new revisions.
func (s *memStore) change(id mfa.UserID, f func(*settlement.Account)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accts[id]
	f(&a)
	s.rev++
	a.UserRev = s.rev
	a.CredRevs = nil
	for _, c := range a.Credentials {
		a.CredRevs = append(a.CredRevs, settlement.CredRev{ID: c.ID, Rev: s.rev})
	}
	s.accts[id] = a
}

func (s *memStore) record(id mfa.UserID) settlement.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accts[id].Record.Clone()
}

// memTrail keeps records; err makes it fail.
type memTrail struct {
	mu      sync.Mutex
	records []mfa.Record
	err     error
}

func (t *memTrail) Append(_ context.Context, r ...mfa.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	t.records = append(t.records, r...)
	return nil
}

func (t *memTrail) verdicts() (v []mfa.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.records {
		if r.Attempt != nil {
			v = append(v, *r.Attempt)
		}
	}
	return v
}

func (t *memTrail) asked() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.records {
		if r.Asked != nil {
			n++
		}
	}
	return n
}

func (t *memTrail) settlements() (v []mfa.Settled) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.records {
		if r.Settled != nil {
			v = append(v, *r.Settled)
		}
	}
	return v
}

// directory accepts the password "right", or that of its name in of; asked counts the
// questions, pretended what was only to take time.
type directory struct {
	of        map[string]string
	mu        sync.Mutex
	asked     int
	pretended int
	err       error
	groups    []string
	names     []string // of strangers; nil: the login typed
}

func (d *directory) CheckStranger(ctx context.Context, name, login string, p secret.Text) (groups, names []string, err error) {
	if groups, err = d.Check(ctx, name, mfa.User{}, nil, p); err != nil {
		return nil, nil, err
	}
	if d.names != nil {
		return groups, d.names, nil
	}
	return groups, []string{login}, nil
}

func (d *directory) Pretend(context.Context, string, string, secret.Text) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pretended++
}

func (d *directory) Check(_ context.Context, name string, u mfa.User, _ []mfa.Credential, p secret.Text) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	right := "right"
	if of, ok := d.of[name]; ok {
		right = of
	}
	switch {
	case d.err != nil:
		return nil, d.err
	case u.ID != "" && u.Login == "":
		return nil, errors.New("the directory is not told whom it is about")
	case p.Empty():
		return nil, mfa.EmptyPassword
	case !p.Equal(secret.FromString(right)):
		return nil, mfa.WrongPassword
	}
	return d.groups, nil
}

func (d *directory) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

// counterMethod is a method whose codes are six digits: counter n has the code of code(n).
// A credential's Counter is where it starts; ten counters from the floor are good.
type counterMethod struct {
	mu        sync.Mutex
	evaluated int
}

func code(n uint64) string { return fmt.Sprintf("%06d", 700000+n) }

func (m *counterMethod) ID() mfa.MethodID { return mfa.MethodHOTP }
func (m *counterMethod) Needs() mfa.Caps  { return mfa.CanPrompt }
func (m *counterMethod) Begin(context.Context, mfa.Ask, mfa.Credential) (mfa.Step, error) {
	return mfa.Step{Prompt: "Enter your code"}, nil
}

func (m *counterMethod) Finish(_ context.Context, c mfa.Credential, f mfa.Floor, _ mfa.Step, answer secret.Text) (mfa.Proof, error) {
	m.mu.Lock()
	m.evaluated++
	m.mu.Unlock()
	next := max(c.Counter, f.Next)
	for n := c.Counter; n < next+10; n++ {
		if string(answer.Expose()) == code(n) {
			if n < next {
				return mfa.Proof{}, mfa.ReplayedCode
			}
			return mfa.Proof{Floor: mfa.Floor{Next: n + 1}}, nil
		}
	}
	return mfa.Proof{}, mfa.WrongCode
}

type groupKey struct{}

func (groupKey) Primary() keyring.KeyID { return 1 }
func (groupKey) Key(string, keyring.KeyID) (secret.Text, error) {
	return secret.New(bytes.Repeat([]byte{5}, 32)), nil
}

// rig is one group: a database, a trail, a clock, and as many engines as the test wants.
type rig struct {
	store    *memStore
	trail    *memTrail
	dir      *directory
	method   *counterMethod
	settings policy.Settings
	mu       sync.Mutex
	clock    time.Time
	random   io.Reader
	more     []authn.Method // beside method
	waits    *memWaits
	live     bool // the clock is the time, for tests in a bubble
}

var t0 = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

func newRig(t testing.TB) *rig {
	t.Helper()
	g := &rig{trail: &memTrail{}, dir: &directory{}, method: &counterMethod{}, settings: policy.Defaults(), clock: t0, waits: &memWaits{}}
	g.store = &memStore{rev: 1, forms: map[string]mfa.UserID{}, accts: map[mfa.UserID]settlement.Account{}, stale: map[mfa.UserID]settlement.Account{},
		apps: map[mfa.ApplicationID]mfa.Application{
			"vpn":   {ID: "vpn", Name: "vpn", Kind: mfa.KindRADIUS, FirstFactor: "corp", Passcode: mfa.PasscodeEither},
			"plain": {ID: "plain", Name: "plain", Kind: mfa.KindRADIUS, FirstFactor: mfa.FirstFactorNone},
		}}
	g.addUser("alice", "alice")
	g.addUser("bob", "bob")
	return g
}

func (g *rig) addUser(id mfa.UserID, forms ...string) {
	cred := mfa.Credential{ID: mfa.CredentialID("token-" + string(id)), User: id, Method: mfa.MethodHOTP, Digits: 6}
	if id == "bob" {
		cred.Counter = 1000
	}
	g.store.accts[id] = settlement.Account{User: mfa.User{ID: id, Login: forms[0], State: mfa.StateProtected}, Credentials: []mfa.Credential{cred}}
	g.store.change(id, func(*settlement.Account) {})
	for _, f := range forms {
		g.store.forms[f] = id
	}
}

func (g *rig) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.live {
		return time.Now()
	}
	return g.clock
}

func (g *rig) advance(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clock = g.clock.Add(d)
}

// engine returns one more server of the group: nothing in its memory is shared.
func (g *rig) engine() *authn.Engine { return g.engineWith(nil) }

func (g *rig) engineWith(replicated func(context.Context, time.Duration) bool) *authn.Engine {
	c := g.config(nil)
	c.Replicated = replicated
	return authn.New(c)
}

// config is what one server of the group is made of.
func (g *rig) config(observe func(*mfa.Attempt)) authn.Config {
	return authn.Config{Server: "s1", Store: g.store, First: g.dir, Methods: append([]authn.Method{g.method}, g.more...), Trail: g.trail,
		Handles: challenge.Sealer{Keys: groupKey{}}, Settings: func() policy.Settings { return g.settings },
		CodeLength: func(c mfa.Credential) int { return c.Digits }, Now: g.now, Random: g.random, Waits: g.waits, Digest: digest, Observe: observe, Log: slog.New(slog.DiscardHandler)}
}

func digest(purpose, value string) [32]byte { return sha256.Sum256([]byte(purpose + value)) }

func firstLeg(app mfa.ApplicationID, login, password string) mfa.Request {
	return mfa.Request{Application: app, FrontEnd: "radius", Login: login, Password: secret.FromString(password), Caps: mfa.CanPrompt}
}

func answerTo(app mfa.ApplicationID, login string, d mfa.Decision, answer string) mfa.Request {
	return mfa.Request{Application: app, FrontEnd: "radius", Login: login, Handle: d.Handle, Answer: secret.FromString(answer), Caps: mfa.CanPrompt}
}

// ask decides one leg and fails the test on an error of ours.
func ask(t *testing.T, e *authn.Engine, r mfa.Request) mfa.Decision {
	t.Helper()
	d, err := e.Authenticate(t.Context(), r)
	if err != nil {
		t.Fatalf("Authenticate(%q): %v", r.Login, err)
	}
	return d
}

var errDown = errors.New("connection refused")
