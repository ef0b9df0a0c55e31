package directory

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"countersign/internal/mfa"
)

func TestConnectionsAreKept(t *testing.T) {
	f := newFake(t, wellBehaved)
	c, dirs, clock := checker(t, corp(f.url))
	for range 5 {
		if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
			t.Fatal(err)
		}
		if _, err := check(t.Context(), c, alice, "wrong"); !errors.Is(err, mfa.WrongPassword) {
			t.Fatal(err)
		}
	}
	if n, binds := f.conns.Load(), f.binds.Load(); n != 2 || binds != 1+10 {
		t.Errorf("%d connections and %d binds for 10 checks, want 2 and 11", n, binds)
	}

	clock.Add(idleFor + time.Second)
	sweep(t, c)
	p := c.pools["corp"]
	if n := len(p.servers[0].service.idle) + len(p.servers[0].user.idle); n != 0 {
		t.Errorf("%d connections are kept after %v without use", n, idleFor)
	}

	if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
		t.Fatal(err)
	}
	changed := corp(f.url)
	changed.BaseDN = "DC=other"
	dirs.set(changed)
	if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
		t.Fatal(err)
	}
	if n := f.conns.Load(); n != 2+2+2 {
		t.Errorf("%d connections after an idle minute and a changed setting, want 6", n)
	}
	if q := c.pools["corp"]; q == p || !p.servers[0].service.closed || len(p.servers[0].service.idle) != 0 {
		t.Error("the old settings' connections are still there")
	}

	dirs.set(mfa.Directory{Name: "other"})
	sweep(t, c)
	if len(c.pools) != 0 {
		t.Error("a removed directory's connections are still there")
	}
}

// A connection that is in use while the settings change is closed afterwards.
func TestConnectionInUseWhenSettingsChange(t *testing.T) {
	var c *Checker
	f := newFake(t, func(r request) ([]byte, bool) {
		if r.op == ldap.ApplicationSearchRequest {
			c.drop("corp")
		}
		return wellBehaved(r)
	})
	c, _, _ = checker(t, corp(f.url))
	p, err := c.pool(corp(f.url))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
		t.Fatal(err)
	}
	if n := len(p.servers[0].service.idle) + len(p.servers[0].user.idle); n != 0 {
		t.Errorf("%d connections are kept with the old settings", n)
	}
}

// What a server may send is bounded for one operation, not for the life of a connection.
func TestLargeAnswersOnOneConnection(t *testing.T) {
	f := newFake(t, func(r request) ([]byte, bool) {
		if r.op == ldap.ApplicationSearchRequest {
			return append(entry(r, "CN=Alice,DC=corp", strings.Repeat("x", maxAnswer/2)), result(r, 0, "")...), false
		}
		return wellBehaved(r)
	})
	c, _, _ := checker(t, corp(f.url))
	for range 4 {
		if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.conns.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// A server that is slow is not asked the same once more.
func TestSlowServerIsNotAskedTwice(t *testing.T) {
	f := newFake(t, wellBehaved)
	d := corp(f.url)
	d.Timeout = 300 * time.Millisecond
	c, _, _ := checker(t, d)
	if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
		t.Fatal(err)
	}
	f.set(hangs)
	if _, err := check(t.Context(), c, alice, "r1ght"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	if n := f.finds.Load(); n != 2 || f.conns.Load() != 2 {
		t.Errorf("%d searches on %d connections, want 2 on 2", n, f.conns.Load())
	}
}

func sweep(t *testing.T, c *Checker) {
	t.Helper()
	var probes sync.WaitGroup
	c.sweep(t.Context(), &probes)
	probes.Wait()
}

// A connection that died while nobody used it is no reason to fail, nor is it blamed on
// the server.
func TestStaleConnectionIsReplaced(t *testing.T) {
	f := newFake(t, wellBehaved)
	c, _, _ := checker(t, corp(f.url))
	for _, dies := range []uint8{ldap.ApplicationSearchRequest, ldap.ApplicationBindRequest} {
		if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
			t.Fatal(err)
		}
		once := true
		f.set(func(r request) ([]byte, bool) {
			if once && uint8(r.op) == dies {
				once = false
				return nil, true
			}
			return wellBehaved(r)
		})
		if _, err := check(t.Context(), c, alice, "r1ght"); err != nil || once {
			t.Errorf("connection dies at operation %d: got %v, want the password to be right", dies, err)
		}
		if c.pools["corp"].servers[0].dead {
			t.Error("the server is taken for dead")
		}
	}
}

func TestServerThatDiesBetweenSearchAndBind(t *testing.T) {
	good := newFake(t, wellBehaved)
	bad := newFake(t, func(r request) ([]byte, bool) {
		if r.name == "CN=Alice,DC=corp" {
			return nil, true
		}
		return wellBehaved(r)
	})
	c, _, _ := checker(t, corp(bad.url, good.url))
	if groups, err := check(t.Context(), c, alice, "r1ght"); err != nil || len(groups) != 2 {
		t.Errorf("got %v, %v, want two groups", groups, err)
	}
	if bad.finds.Load() != 1 || good.finds.Load() != 0 || good.binds.Load() != 1 {
		t.Errorf("searches %d and %d, binds at the second %d; want the search at the first, the bind at the second",
			bad.finds.Load(), good.finds.Load(), good.binds.Load())
	}
}

func TestDeadServerIsSkippedUntilItAnswers(t *testing.T) {
	first, second := newFake(t, drops), newFake(t, wellBehaved)
	c, _, clock := checker(t, corp(first.url, second.url))
	for range 4 {
		if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
			t.Fatal(err)
		}
	}
	if n := first.conns.Load(); n != 1 {
		t.Errorf("%d connections to the dead server for 4 checks, want 1", n)
	}
	sweep(t, c)
	if n := first.conns.Load(); n != 1 {
		t.Errorf("%d connections: tried again at once, want after %v", n, probeEvery)
	}
	clock.Add(probeEvery)
	sweep(t, c)
	if n := first.conns.Load(); n != 2 || !c.pools["corp"].servers[0].dead {
		t.Errorf("%d connections, want a second one that fails", n)
	}
	first.set(wellBehaved)
	clock.Add(time.Minute)
	sweep(t, c)
	before := second.finds.Load()
	if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
		t.Fatal(err)
	}
	if first.finds.Load() != 1 || second.finds.Load() != before {
		t.Error("the first server answers again and is not used")
	}
}

func TestAllServersDead(t *testing.T) {
	first, second := newFake(t, drops), newFake(t, drops)
	c, _, _ := checker(t, corp(first.url, second.url))
	for range 2 { // dead ones are tried too if there are no others
		_, err := check(t.Context(), c, alice, "r1ght")
		if err == nil || isReason(err) || !strings.Contains(err.Error(), first.url) || !strings.Contains(err.Error(), second.url) {
			t.Errorf("got %v, want an error that names both servers", err)
		}
	}
	second.set(wellBehaved)
	if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
		t.Errorf("one is back: %v", err)
	}
}

// A hanging server may take its share of the time and no more.
func TestHangingServerLeavesTimeForTheNext(t *testing.T) {
	first, second := newFake(t, hangs), newFake(t, wellBehaved)
	c, _, _ := checker(t, corp(first.url, second.url))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := check(ctx, c, alice, "r1ght"); err != nil {
		t.Errorf("got %v, want the second server's answer", err)
	}
}

// Repeating a refused service bind at each sign-in would lock the service account.
func TestRefusedServiceBindIsNotRepeated(t *testing.T) {
	f := newFake(t, func(r request) ([]byte, bool) { return result(r, 49, ""), false })
	c, dirs, clock := checker(t, corp(f.url))
	for range 3 {
		if _, err := check(t.Context(), c, alice, "r1ght"); err == nil || isReason(err) {
			t.Fatalf("got %v, want a fault of ours", err)
		}
	}
	if n := f.binds.Load(); n != 1 {
		t.Errorf("%d service binds for 3 checks, want 1", n)
	}
	clock.Add(refuseFor)
	_, _ = check(t.Context(), c, alice, "r1ght")
	if n := f.binds.Load(); n != 2 {
		t.Errorf("%d service binds after %v, want 2", n, refuseFor)
	}
	f.set(wellBehaved)
	d := corp(f.url)
	d.Timeout = time.Second // a changed setting counts at once
	dirs.set(d)
	if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
		t.Errorf("after the setting was corrected: %v", err)
	}
}

func TestParallelChecksShareBoundedConnections(t *testing.T) {
	f := newFake(t, wellBehaved)
	c, _, _ := checker(t, corp(f.url))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			typed, want := "r1ght", error(nil)
			if i%3 == 0 {
				typed, want = "wrong", mfa.WrongPassword
			}
			if _, err := check(t.Context(), c, alice, typed); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
	all.Wait()
	if n := f.conns.Load(); n > 2*maxConns {
		t.Errorf("%d connections, want at most %d", n, 2*maxConns)
	}
}
