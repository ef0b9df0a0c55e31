package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/group"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/pki"
	"countersign/internal/store/storetest"
)

// rig is a coordinator on a database in memory, with a clock of the test's.
type rig struct {
	*Service
	t     *testing.T
	mu    sync.Mutex
	clock time.Time
	acts  []mfa.Act
}

func newRig(t *testing.T, kv *storetest.Memory) *rig {
	t.Helper()
	r := &rig{t: t, clock: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	keys, err := keyring.New(nil, r.clock)
	if err != nil {
		t.Fatal(err)
	}
	ring := keyring.NewRing(keys)
	ca, err := EnsureCA(t.Context(), kv, ring, "coordinator c1", r.clock)
	if err != nil {
		t.Fatal(err)
	}
	r.Service = &Service{Name: "c1", Addresses: []string{"coordinator.example.net:443"}, KV: kv, Ring: ring, CA: ca, Trail: r,
		Limits: group.DefaultLimits, Now: r.now, Log: slog.New(slog.DiscardHandler)}
	r.Begin()
	return r
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

// Append implements Recorder.
func (r *rig) Append(_ context.Context, all ...mfa.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range all {
		r.acts = append(r.acts, *a.Act)
	}
	return nil
}

// request is one of a machine called name, with the code in text.
func (r *rig) request(text, name string) (group.Request, group.Activation) {
	r.t.Helper()
	a, err := group.ParseActivation(text)
	if err != nil {
		r.t.Fatal(err)
	}
	_, spki, err := pki.NewKey()
	if err != nil {
		r.t.Fatal(err)
	}
	q := group.Request{Code: a.ID, Name: name, Role: a.Role, Peer: name + ".example.net:7443", PublicKey: spki, Sign: make([]byte, 32), Wrap: "age1x", Version: "1"}
	q.Prove(a.Secret)
	return q, a
}

func (r *rig) code(name string) string {
	r.t.Helper()
	text, _, err := r.CreateFoundingCode(r.t.Context(), "root", name, time.Minute)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// found founds a group with its first server and has others admitted.
func (r *rig) found(name string, servers ...string) []Server {
	r.t.Helper()
	q, _ := r.request(r.code(name), servers[0])
	if _, err := r.Found(r.t.Context(), q); err != nil {
		r.t.Fatal(err)
	}
	all := []Server{r.record(name, servers[0])}
	for _, s := range servers[1:] {
		_, spki, _ := pki.NewKey()
		if _, err := r.Issue(r.t.Context(), all[0], IssueRequest{Name: s, Addresses: []string{s + ".example.net:7443"}, PublicKey: spki}); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, r.record(name, s))
	}
	return all
}

func (r *rig) record(groupName, name string) Server {
	r.t.Helper()
	m, rev, err := r.server(r.t.Context(), groupName, name)
	if err != nil || rev == 0 {
		r.t.Fatalf("server %s: revision %d, %v", name, rev, err)
	}
	return m
}

// says has a server report.
func (r *rig) says(m Server, change func(*group.Report)) (Standing, error) {
	p := group.Report{Name: m.Name, Group: m.Group, Instance: "1", Role: "replica", Epoch: 1, ClusterID: "a", Revision: 10, Time: r.now()}
	change(&p)
	return r.Report(r.t.Context(), m, "192.0.2.1", Heartbeat{Report: p, Highest: p.Epoch})
}

func (r *rig) must(st Standing, err error) Standing {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

func leads(p *group.Report) { p.Role, p.Quorum, p.Master = "master", true, p.Name }

func nonce(i int) string { return fmt.Sprintf("nonce-0123456789-%d", i) }

func TestFounding(t *testing.T) {
	r := newRig(t, &storetest.Memory{})
	text := r.code("corp")
	q, a := r.request(text, "n1")
	if a.Group != "corp" || a.Role != group.RoleFounder || len(a.Coordinators) != 1 {
		t.Errorf("code: %+v", a)
	}
	forged := q
	forged.Name = "evil"
	if _, err := r.Found(t.Context(), forged); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a changed request: %v", err)
	}
	p, err := r.PreviewFounding(t.Context(), q)
	var preview group.Preview
	if err == nil {
		err = p.Open(a.Secret, &q, group.KindPreview, &preview)
	}
	if err != nil || preview.Group != "corp" || preview.Role != group.RoleFounder || preview.By != "root" {
		t.Errorf("preview: %+v, %v", preview, err)
	}
	p, err = r.Found(t.Context(), q)
	var grant group.Grant
	if err == nil {
		err = p.Open(a.Secret, &q, group.KindGrant, &grant)
	}
	if err != nil || len(grant.Certificate) == 0 || len(grant.Coordinators) != 1 {
		t.Fatalf("grant: %+v, %v", grant, err)
	}
	if _, err := r.Found(t.Context(), q); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("the code once more: %v", err)
	}
	// It never reported: it may be founded again, on another machine.
	q2, _ := r.request(r.code("corp"), "n2")
	if _, err := r.Found(t.Context(), q2); err != nil {
		t.Fatal(err)
	}
	if all, _ := r.Servers(t.Context(), "corp"); len(all) != 1 || all[0].Name != "n2" {
		t.Errorf("servers: %+v", all)
	}
	r.must(r.says(r.record("corp", "n2"), leads))
	if _, _, err := r.CreateFoundingCode(t.Context(), "root", "corp", time.Minute); !errors.Is(err, mfa.ErrExists) {
		t.Errorf("a code for a group that lives: %v", err)
	}
	q3, _ := r.request(r.code("other"), "n1")
	r.pass(2 * time.Minute)
	if _, err := r.Found(t.Context(), q3); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired code: %v", err)
	}
	if len(r.acts) < 4 {
		t.Errorf("trail: %+v", r.acts)
	}
}

func TestCertificatesStayInTheirGroup(t *testing.T) {
	r := newRig(t, &storetest.Memory{})
	a, b := r.found("a", "n1", "n2"), r.found("b", "m1")
	_, spki, _ := pki.NewKey()
	for name, c := range map[string]struct {
		from Server
		req  IssueRequest
		is   error
	}{
		"address of another group":    {b[0], IssueRequest{Name: "m2", Addresses: []string{"N1.example.net:9"}, PublicKey: spki}, mfa.ErrExists},
		"another key for itself":      {a[0], IssueRequest{Name: "n1", Addresses: []string{"n1.example.net:9"}, PublicKey: spki}, mfa.ErrInvalid},
		"another key for a neighbour": {a[0], IssueRequest{Name: "n2", Addresses: []string{"n2.example.net:9"}, PublicKey: spki}, mfa.ErrExists},
		"the coordinator's name":      {a[0], IssueRequest{Name: "coordinator c1", Addresses: []string{"x.example.net:9"}, PublicKey: spki}, mfa.ErrInvalid},
		"no key":                      {a[0], IssueRequest{Name: "n3", Addresses: []string{"x.example.net:9"}}, mfa.ErrInvalid},
	} {
		if cert, err := r.Issue(t.Context(), c.from, c.req); !errors.Is(err, c.is) || cert != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Caller(t.Context(), "b", "n1", a[0].Key); !errors.Is(err, group.ErrNotMember) {
		t.Errorf("a server of another group: %v", err)
	}
	if _, err := r.Caller(t.Context(), "a", "n1", ""); !errors.Is(err, group.ErrNotMember) {
		t.Errorf("no key: %v", err)
	}
	if m, err := r.Caller(t.Context(), "a", "n1", a[0].Key); err != nil || m.Name != "n1" {
		t.Errorf("a server: %+v, %v", m, err)
	}
}

func TestWhoIsMaster(t *testing.T) {
	r := newRig(t, &storetest.Memory{})
	s := r.found("corp", "n1", "n2")
	if st, err := r.Master(t.Context(), "corp"); err != nil || st.Master != "" || st.Epoch != 0 {
		t.Errorf("before anybody reports: %+v, %v", st, err)
	}
	if st := r.must(r.says(s[0], leads)); st.Master != "n1" || st.Epoch != 1 || !strings.Contains(st.DecidedBy, "root") {
		t.Errorf("first report: %+v", st)
	}
	if st := r.must(r.says(s[1], leads)); st.Master != "n1" {
		t.Errorf("a second master while the first reports: %+v", st)
	}
	r.pass(20 * time.Second)
	if st, _ := r.Master(t.Context(), "corp"); st.Master != "" || st.Last != "n1" {
		t.Errorf("silence: %+v", st)
	}
	if st := r.must(r.says(s[1], leads)); st.Master != "n2" {
		t.Errorf("a new master in the same epoch: %+v", st)
	}
	if st := r.must(r.says(s[0], func(p *group.Report) { leads(p); p.Epoch = 4 })); st.Master != "n1" || st.Epoch != 4 {
		t.Errorf("a higher epoch: %+v", st)
	}
	if st := r.must(r.says(s[1], leads)); st.Master != "n1" || st.Epoch != 4 {
		t.Errorf("the old epoch once more: %+v", st)
	}
	if _, err := r.says(s[1], func(p *group.Report) { p.Epoch = 1 << 40 }); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("an absurd epoch: %v", err)
	}
	if st := r.must(r.says(s[1], func(p *group.Report) { leads(p); p.Group, p.Epoch = "other", 9 })); st.Epoch != 4 {
		t.Errorf("a server that says it is of another group: %+v", st)
	}
	o, err := r.Overview(t.Context())
	if err != nil || len(o.Servers) != 2 || len(o.Violations) == 0 {
		t.Errorf("overview: %+v, %v", o, err)
	}
}

func TestMastersListCounts(t *testing.T) {
	r := newRig(t, &storetest.Memory{})
	s := r.found("corp", "n1", "n2")
	report := func(list ...Entry) {
		t.Helper()
		_, err := r.Report(t.Context(), s[0], "", Heartbeat{Report: group.Report{Name: "n1", Group: "corp", Role: "master", Quorum: true, Epoch: 1}, Members: list})
		if err != nil {
			t.Fatal(err)
		}
	}
	names := func() string {
		all, err := r.Servers(t.Context(), "corp")
		if err != nil {
			t.Fatal(err)
		}
		var n []string
		for _, m := range all {
			n = append(n, m.Name)
		}
		return strings.Join(n, " ")
	}
	n1, n3 := Entry{"n1", mfa.RoleServer, s[0].Key}, Entry{"n3", mfa.RoleServer, strings.Repeat("a", 64)}
	report(n1, n3)
	if got := names(); got != "n1 n2 n3" {
		t.Errorf("one was just admitted, one is new here: %s", got)
	}
	r.pass(2 * time.Minute)
	report(n1)
	if got := names(); got != "n1" {
		t.Errorf("forgotten by the group: %s", got)
	}
	report(n3)
	if got := names(); got != "n1" {
		t.Errorf("a list without the master itself: %s", got)
	}
}

func TestGrantRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		before func(r *rig, s []Server)
		from   uint64
		want   string // "": granted
	}{
		"the master reports": {func(r *rig, s []Server) { r.must(r.says(s[0], leads)) }, 1, "that it is the master"},
		"another hears it": {func(r *rig, s []Server) {
			r.must(r.says(s[2], func(p *group.Report) { p.Quorum, p.Master = true, "n1" }))
		}, 1, "hears the master n1"},
		"the candidate hears it": {func(r *rig, s []Server) {
			r.must(r.says(s[1], func(p *group.Report) { p.Quorum, p.Master = true, "n1" }))
		}, 1, "hears the master n1"},
		"a fresher replica":   {func(r *rig, s []Server) { r.must(r.says(s[2], func(p *group.Report) { p.Revision = 11 })) }, 1, "replica n3 is fresher"},
		"the epoch has ended": {func(r *rig, s []Server) { r.must(r.says(s[2], func(p *group.Report) { p.Epoch = 2 })) }, 1, "at epoch 2 already"},
		"just started":        {func(r *rig, _ []Server) { r.Begin() }, 1, "cannot tell yet"},
		"another coordinator leads by now": {func(r *rig, _ []Server) {
			r.Leads = func() error { return fmt.Errorf("c1 does not lead: %w", mfa.ErrUnavailable) }
		}, 1, "does not lead"},
		"it stood still": {func(r *rig, _ []Server) {
			r.stir()
			r.pass(time.Minute) // the old master has reported meanwhile, and nobody heard it
		}, 1, "stood still for 1m0s"},
		"it stood still and goes on": {func(r *rig, _ []Server) {
			r.stir()
			r.pass(time.Minute)
			r.stir()
		}, 1, "cannot tell yet"},
		"it never stood still": {func(r *rig, _ []Server) {
			for range 20 {
				r.stir()
				r.pass(time.Second)
			}
		}, 1, ""},
		"granted to another": {func(r *rig, s []Server) {
			if _, err := r.Grant(r.t.Context(), s[2], GrantRequest{From: 1, Revision: 10, Nonce: nonce(9)}); err != nil {
				r.t.Fatal(err)
			}
		}, 1, "was granted to server n3"},
		"no epoch":               {func(*rig, []Server) {}, 0, "request for an epoch"},
		"an absurd epoch":        {func(*rig, []Server) {}, 1 << 40, "cannot be"},
		"all are silent":         {func(*rig, []Server) {}, 1, ""},
		"a server of elsewhere":  {func(r *rig, s []Server) { r.must(r.says(s[0], func(p *group.Report) { leads(p); p.Group = "x" })) }, 1, ""},
		"the candidate is ahead": {func(*rig, []Server) {}, 7, ""},
		"the epoch was started twice": {func(r *rig, s []Server) {
			r.must(r.says(s[0], leads))
			r.must(r.says(s[1], func(p *group.Report) { leads(p); p.ClusterID = "b" }))
		}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &storetest.Memory{})
			s := r.found("corp", "n1", "n2", "n3")
			r.must(r.says(s[0], leads))
			r.pass(time.Minute)
			c.before(r, s)
			g, err := r.Grant(t.Context(), s[1], GrantRequest{From: c.from, Revision: 10, Nonce: nonce(1), By: "root"})
			if c.want == "" {
				if err != nil || g.Epoch != c.from+1 || g.Candidate != "n2" || g.Key != s[1].Key {
					t.Errorf("granted %+v, %v", g, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("granted %+v, error %v; want %q", g, err, c.want)
			}
		})
	}
}

// However many ask at once, and whichever answers are lost, no epoch is granted to two, and
// who asks again with its nonce is told the same.
func TestNoEpochTwice(t *testing.T) {
	const candidates, rounds = 8, 5
	var n int
	kv := &storetest.Memory{}
	var mu sync.Mutex
	kv.Fault = func(map[string][]byte, []string) storetest.Fault {
		mu.Lock()
		defer mu.Unlock()
		n++
		return map[int]storetest.Fault{3: storetest.LostAfter, 5: storetest.LostBefore, 6: storetest.Refused}[n%7]
	}
	names := make([]string, candidates)
	for i := range names {
		names[i] = fmt.Sprintf("n%d", i+1)
	}
	// The records first, without faults; then the same database with them.
	calm := &storetest.Memory{}
	r := newRig(t, calm)
	s := r.found("corp", names...)
	b := map[string][]byte{}
	_, _ = calm.Scan(t.Context(), "", func(k string, v []byte, _ int64) bool { b[k] = v; return true })
	for ok := false; !ok; {
		_, ok, _ = kv.Commit(t.Context(), nil, b, nil)
	}
	r.KV = kv
	owner := map[uint64]string{} // by epoch
	from := uint64(1)
	for round := range rounds {
		r.pass(time.Minute)
		var wg sync.WaitGroup
		var granted []Grant
		for i, c := range s {
			wg.Go(func() {
				for {
					g, err := r.Grant(context.Background(), c, GrantRequest{From: from, Revision: 10, Nonce: nonce(round*100 + i)})
					if errors.Is(err, mfa.ErrUnknownOutcome) || errors.Is(err, mfa.ErrUnavailable) {
						continue // the answer is lost: it asks again
					}
					if err == nil {
						mu.Lock()
						granted = append(granted, g)
						mu.Unlock()
					}
					return
				}
			})
		}
		wg.Wait()
		if len(granted) != 1 {
			t.Fatalf("round %d: %d grants: %+v", round, len(granted), granted)
		}
		g := granted[0]
		if who, ok := owner[g.Epoch]; ok || g.Epoch <= from {
			t.Fatalf("epoch %d, after %d, was %s's", g.Epoch, from, who)
		}
		owner[g.Epoch] = g.Candidate
		for {
			_, err := r.says(*find(s, g.Candidate), func(p *group.Report) { leads(p); p.Epoch = g.Epoch })
			if err == nil {
				break
			}
		}
		from = g.Epoch
	}
}

func find(all []Server, name string) *Server {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

// A coordinator restored from an old backup knows nothing of what it granted since.
func TestRestoredGrantsNothingTwice(t *testing.T) {
	kv := &storetest.Memory{}
	r := newRig(t, kv)
	s := r.found("corp", "n1", "n2")
	r.must(r.says(s[0], leads))
	backup := map[string][]byte{}
	_, _ = kv.Scan(t.Context(), "", func(k string, v []byte, _ int64) bool { backup[k] = v; return true })
	given := map[uint64]bool{}
	ask := func(c Server, n int) Grant {
		t.Helper()
		r.pass(time.Minute)
		g, err := r.Grant(t.Context(), c, GrantRequest{From: 1, Revision: 10, Nonce: nonce(n)})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	for n := range 3 { // granted three times, and never begun
		given[ask(s[1], n).Epoch] = true
	}
	old := &storetest.Memory{}
	if _, ok, err := old.Commit(t.Context(), nil, backup, nil); err != nil || !ok {
		t.Fatal(err)
	}
	r.KV = old
	if err := r.SkipEpochs(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Begin()
	g := ask(s[0], 10)
	if given[g.Epoch] || g.Epoch != 1002 {
		t.Errorf("granted %d; before the restore %v", g.Epoch, given)
	}
	// What servers have seen counts too.
	r.must(r.says(s[0], func(p *group.Report) { p.Epoch = 5000 }))
	r.pass(time.Minute)
	if g, err := r.Grant(t.Context(), s[0], GrantRequest{From: 5000, Revision: 10, Nonce: nonce(11)}); err != nil || g.Epoch != 5001 {
		t.Errorf("granted %+v, %v", g, err)
	}
}

func TestRetire(t *testing.T) {
	r := newRig(t, &storetest.Memory{})
	s := r.found("corp", "n1", "n2", "n3")
	r.must(r.says(s[0], leads))
	if err := r.RetireServer(t.Context(), "root", "corp", "n1"); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("the master: %v", err)
	}
	if err := r.RetireGroup(t.Context(), "root", "corp"); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a group that lives: %v", err)
	}
	r.pass(time.Minute)
	first, err := r.Grant(t.Context(), s[1], GrantRequest{From: 1, Revision: 10, Nonce: nonce(1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.RetireServer(t.Context(), "root", "corp", "n2"); err != nil {
		t.Fatal(err)
	}
	second, err := r.Grant(t.Context(), s[2], GrantRequest{From: 1, Revision: 10, Nonce: nonce(2)})
	if err != nil || second.Epoch <= first.Epoch {
		t.Errorf("after the candidate is gone too: %+v, %v", second, err)
	}
	if _, err := r.Caller(t.Context(), "corp", "n2", s[1].Key); !errors.Is(err, group.ErrNotMember) {
		t.Errorf("a retired server: %v", err)
	}
	if err := r.RetireGroup(t.Context(), "root", "corp"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Master(t.Context(), "corp"); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("a retired group: %v", err)
	}
}

func TestMailbox(t *testing.T) {
	r := newRig(t, &storetest.Memory{})
	s := r.found("corp", "n1")
	other := r.found("other", "m1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answers := make(chan Reply, 1)
	go func() {
		a, err := r.Ask(ctx, "corp", Letter{Path: "/path", Body: []byte(`{"code":"x"}`)})
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	letters, err := r.Next(ctx, s[0])
	if err != nil || len(letters) != 1 || letters[0].Path != "/path" {
		t.Fatalf("letters %+v, %v", letters, err)
	}
	if err := r.Deliver(other[0], Reply{ID: letters[0].ID, Status: 200}); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("an answer from another group: %v", err)
	}
	if err := r.Deliver(s[0], Reply{ID: letters[0].ID, Status: 200, Body: []byte(`1`)}); err != nil {
		t.Fatal(err)
	}
	if a := <-answers; string(a.Body) != "1" {
		t.Errorf("answer %+v", a)
	}
	if err := r.Deliver(s[0], Reply{ID: letters[0].ID, Status: 200}); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("a second answer: %v", err)
	}
	gone, end := context.WithCancel(t.Context())
	end()
	if _, err := r.Ask(gone, "corp", Letter{Path: "/path"}); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("nobody calls: %v", err)
	}
	if letters, _ := r.Next(gone, s[0]); len(letters) != 0 {
		t.Errorf("a letter that nobody waits for: %+v", letters)
	}
}
