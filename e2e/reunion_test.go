package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/radius"
)

// clerk adds users at one server and remembers what became of it.
type clerk struct {
	s     *server
	name  string
	mu    sync.Mutex
	added []string // acknowledged
	at    []time.Time
}

func (c *clerk) run(done <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		case <-time.After(50 * time.Millisecond): // the pace of this clerk
		}
		login := fmt.Sprintf("%s%d", c.name, n)
		if status, _, err := c.s.api(http.MethodPost, "/users", map[string]any{"login": login}); err == nil && status == http.StatusOK {
			c.mu.Lock()
			c.added, c.at = append(c.added, login), append(c.at, time.Now())
			c.mu.Unlock()
		}
	}
}

// since counts what was acknowledged from a moment on.
func (c *clerk) since(from time.Time) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.at {
		if at.After(from) {
			n++
		}
	}
	return n
}

// A pair is cut with both alive, and the operator promotes the replica all the same: two
// epochs live side by side, with people and administrators on both sides and servers that are
// killed at random, until the cable is in again. Then there is one, every change that anybody
// was told of is in its database or on the list of what was parked, the restrictions hold,
// and no used code is good again.
func TestReunion(t *testing.T) {
	t.Parallel()
	seed := setting(t, "REUNION_SEED", 1+rand.IntN(1_000_000))
	for n := range setting(t, "REUNION_ROUNDS", 1) {
		t.Run(fmt.Sprintf("seed %d", seed+n), func(t *testing.T) { reunion(t, uint64(seed+n)) })
	}
}

func reunion(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 77))
	w := newNetwork(t)
	all := w.group(2, nil)
	old, young := all[0], all[1]
	old.application("none", atNone, "--first-factor", "none")
	type account struct {
		login string
		token *token
		used  []string
	}
	var people []*account
	for i := range 4 {
		p := &account{login: fmt.Sprintf("p%d", i)}
		old.user(p.login, "")
		p.token = old.hotp(p.login)
		people = append(people, p)
	}
	old.user("crook", "")
	crook := old.hotp("crook")
	await(t, "everything at the replica", func() bool { return young.status().Revision >= old.status().Revision && young.status().Users == 5 })
	signIn := func(s *server, p *account) reply {
		code := p.token.press()
		r := s.dialFrom(atNone).ask(p.login, code, nil)
		if r.code == radius.AccessAccept {
			p.used = append(p.used, code)
		}
		return r
	}

	done := make(chan struct{})
	var load sync.WaitGroup
	stop := sync.OnceFunc(func() { close(done); load.Wait() })
	defer stop()
	clerks := []*clerk{{s: old, name: "old"}, {s: young, name: "young"}}
	for _, c := range clerks {
		load.Go(func() { c.run(done) })
	}
	begin := time.Now()
	await(t, "changes at both", func() bool { return clerks[0].since(begin) > 3 && clerks[1].since(begin) > 3 })

	w.split(1)
	cut := time.Now()
	for _, p := range people[:2] {
		if r := signIn(old, p); r.code != radius.AccessAccept {
			t.Errorf("%s at the old master: %v", p.login, r)
		}
	}
	if r := signIn(young, people[2]); r.code != radius.AccessAccept {
		t.Errorf("%s at the replica without its master: %v", people[2].login, r)
	}
	old.cli("user", "block", "crook")
	few := 5 + dice.IntN(40)
	await(t, "changes that only the old master has", func() bool { return clerks[0].since(cut) > few })
	young.lost()
	var p mfa.DisasterPromotion
	young.json(&p, "group", "promote", "--disaster", "--confirm", "test/1")
	young.ready()
	forked := time.Now()
	for _, s := range all { // what a disaster brings with it
		if dice.IntN(2) == 0 {
			moment(dice, 800)
			s.kill9()
			s.start()
		}
	}
	await(t, "changes on both sides", func() bool { return clerks[0].since(forked) > 3 && clerks[1].since(forked) > 3 })
	if r := signIn(old, people[3]); r.code != radius.AccessAccept {
		t.Errorf("%s at the old master, which does not know better: %v", people[3].login, r)
	}

	w.heal()
	healed := time.Now()
	old.inEpoch(2, "replica")
	reunited := time.Now()
	await(t, "changes in the new epoch through both", func() bool { return clerks[0].since(reunited) > 3 && clerks[1].since(reunited) > 3 })
	stop()
	young.settled(2)
	for _, s := range all {
		s.merged()
	}
	parked := func() (logins []string) {
		var doc admin.ParkedList
		young.answer(&doc, "group", "parked")
		for _, c := range doc.Parked {
			if c.What == "added" {
				logins = append(logins, c.Object)
			}
		}
		return logins
	}
	users := func() (logins []string) {
		var doc admin.UserList
		young.json(&doc, "user", "list", "--limit", "0")
		for _, u := range doc.Users {
			logins = append(logins, u.Login)
		}
		return logins
	}
	await(t, "the old master's copy is read", func() bool {
		var doc admin.ParkedList
		young.answer(&doc, "group", "parked")
		return slices.ContainsFunc(doc.Reports, func(r parking.Report) bool { return r.Epoch == 1 && !r.Finished.IsZero() })
	})
	var missing []string
	listed := append(users(), parked()...)
	for _, c := range clerks {
		for _, login := range c.added {
			if !slices.Contains(listed, login) {
				missing = append(missing, login)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("%d changes were acknowledged and are neither in the database nor parked: %v", len(missing), missing)
	}
	t.Logf("seed %d: cut for %s; %d changes acknowledged, %d of them parked; one group %s after the cable was in again", seed, healed.Sub(cut).Round(time.Millisecond),
		len(clerks[0].added)+len(clerks[1].added), len(parked()), reunited.Sub(healed).Round(time.Millisecond))

	for _, s := range all {
		for _, p := range people {
			for _, code := range p.used {
				if r := s.dialFrom(atNone).ask(p.login, code, nil); r.code != radius.AccessReject {
					t.Errorf("%s: a used code once more: %v", p.login, r)
				}
			}
		}
		if r := s.dialFrom(atNone).ask("crook", crook.at(crook.next), nil); r.code != radius.AccessReject {
			t.Errorf("a user whom the old master had blocked: %v", r)
		}
	}
	young.cli("group", "parked", "apply", "--all")
	have := users()
	for _, c := range clerks {
		for _, login := range c.added {
			if !slices.Contains(have, login) {
				t.Errorf("%s is missing after what was parked was applied", login)
			}
		}
	}
	for _, s := range all {
		s.verify()
	}
}
