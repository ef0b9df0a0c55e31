package directory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var alice = mfa.User{ID: "user", Login: "alice"}

// checker checks against d; its connections are closed when the test ends.
func checker(t *testing.T, d mfa.Directory) (*Checker, *one, *clock) {
	t.Helper()
	dirs, clock := &one{d: d}, &clock{now: now}
	c := New(dirs, Options{Now: clock.Now})
	t.Cleanup(c.closeAll)
	return c, dirs, clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func check(ctx context.Context, c *Checker, u mfa.User, password string) ([]string, error) {
	return c.Check(ctx, "corp", u, nil, u.Login, secret.FromString(password))
}

func TestCheckTellsWhoseFaultItIs(t *testing.T) {
	search := func(f func(r request) []byte) func(request) ([]byte, bool) {
		return func(r request) ([]byte, bool) {
			if r.op == ldap.ApplicationSearchRequest {
				return f(r), false
			}
			return wellBehaved(r)
		}
	}
	bind := func(f func(r request) ([]byte, bool)) func(request) ([]byte, bool) {
		return func(r request) ([]byte, bool) {
			if r.op == ldap.ApplicationBindRequest && r.name != "CN=service" {
				return f(r)
			}
			return wellBehaved(r)
		}
	}
	many := make([]string, maxGroups+1)
	for i := range many {
		many[i] = "x"
	}
	tests := []struct {
		name   string
		server func(request) ([]byte, bool)
		want   any // nil, a mfa.Reason, or words of our own fault
	}{
		{"r1ght", wellBehaved, nil},
		{"wrong", bind(func(r request) ([]byte, bool) { return result(r, 49, ""), false }), mfa.WrongPassword},
		{"must change", bind(func(r request) ([]byte, bool) {
			return result(r, 49, "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 773, v2580"), false
		}), mfa.PasswordMustChange},
		{"no entry", search(func(r request) []byte { return result(r, 0, "") }), mfa.NotInDirectory},
		{"continuation references only", search(func(r request) []byte { return append(reference(r), result(r, 0, "")...) }), mfa.NotInDirectory},
		{"an entry and references", search(func(r request) []byte {
			return slices.Concat(reference(r), entry(r, "CN=Alice,DC=corp"), reference(r), result(r, 0, ""))
		}), nil},
		{"two entries", search(func(r request) []byte {
			return slices.Concat(entry(r, "CN=A"), entry(r, "CN=B"), result(r, 0, ""))
		}), mfa.AmbiguousInDirectory},
		{"more entries than asked for", search(func(r request) []byte {
			return slices.Concat(entry(r, "CN=A"), entry(r, "CN=B"), result(r, 4, ""))
		}), mfa.AmbiguousInDirectory},
		{"entry without a name", search(func(r request) []byte { return append(entry(r, ""), result(r, 0, "")...) }), "no name"},
		{"too many groups", search(func(r request) []byte { return append(entry(r, "CN=Alice,DC=corp", many...), result(r, 0, "")...) }), "group_attribute"},
		{"base is not there", search(func(r request) []byte { return result(r, 32, "") }), "check base_dn"},
		{"search refused", search(func(r request) []byte { return result(r, 50, "") }), "bind_dn and its rights"},
		{"search referred", search(func(r request) []byte { return result(r, 10, "") }), "referrals are not followed"},
		{"bind referred", bind(func(r request) ([]byte, bool) { return result(r, 10, ""), false }), "referrals are not followed"},
		{"bind wants TLS", bind(func(r request) ([]byte, bool) { return result(r, 13, "TLS required"), false }), "start_tls"},
		{"bind unwilling", bind(func(r request) ([]byte, bool) { return result(r, 53, "no"), false }), "result 53"},
		{"busy", bind(func(r request) ([]byte, bool) { return result(r, 51, ""), false }), "Busy"},
		{"service bind refused", func(r request) ([]byte, bool) { return result(r, 49, ""), false }, "bind_dn and bind_password"},
		{"drops the connection", drops, "service bind to ldap://127.0.0.1"},
		{"drops it mid-answer", bind(func(r request) ([]byte, bool) { return result(r, 0, "")[:5], true }), "bind to ldap://127.0.0.1"},
		{"drops it at the user's bind", bind(drops), "as CN=Alice,DC=corp"},
		{"garbage", bind(func(request) ([]byte, bool) { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), true }), "as CN=Alice"},
		{"a length of 2 GiB", bind(func(request) ([]byte, bool) { return []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 4, 1}, true }), "as CN=Alice"},
		{"endless entries", search(func(r request) []byte {
			var b []byte
			for range 60 {
				b = append(b, entry(r, "CN=A", strings.Repeat("x", 100_000))...)
			}
			return b
		}), "bytes for one operation"},
		{"an answer to something else", bind(func(r request) ([]byte, bool) {
			r.id += 7
			return result(r, 0, ""), true
		}), "as CN=Alice"},
		{"a success of another kind", bind(func(r request) ([]byte, bool) {
			return message(r.id, ber.NewSequence("odd")), false
		}), "as CN=Alice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.server)
			c, _, _ := checker(t, corp(f.url))
			groups, err := check(t.Context(), c, alice, "r1ght")
			switch want := tt.want.(type) {
			case nil:
				if err != nil {
					t.Errorf("got %v, want the password to be right", err)
				}
			case mfa.Reason:
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			case string:
				if err == nil || isReason(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `directory "corp"`) {
					t.Errorf("got %v, want a fault of ours with %q", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "r1ght") || strings.Contains(err.Error(), "service-secret") || strings.Contains(err.Error(), "\n")) {
				t.Errorf("error holds a secret or a line end: %v", err)
			}
			if err != nil && groups != nil {
				t.Errorf("groups %v with error %v", groups, err)
			}
		})
	}
}

func TestGroupsAreNamesAndShortNames(t *testing.T) {
	f := newFake(t, func(r request) ([]byte, bool) {
		if r.op == ldap.ApplicationSearchRequest {
			return append(entry(r, "CN=Alice,DC=corp", `CN=a\, b,OU=g,DC=corp`, "staff", "OU=x,DC=corp"), result(r, 0, "")...), false
		}
		return wellBehaved(r)
	})
	c, _, _ := checker(t, corp(f.url))
	got, err := check(t.Context(), c, alice, "r1ght")
	want := []string{`CN=a\, b,OU=g,DC=corp`, "a, b", "staff", "OU=x,DC=corp"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestPasswordsThatAreNeverSent(t *testing.T) {
	f := newFake(t, func(r request) ([]byte, bool) { return result(r, 0, ""), false })
	c, _, _ := checker(t, corp(f.url))
	for password, want := range map[string]mfa.Reason{
		"": mfa.EmptyPassword, "\x00": mfa.WrongPassword, "\x00r1ght": mfa.WrongPassword, "r1ght\x00": mfa.WrongPassword,
		strings.Repeat("x", MaxPassword+1): mfa.PasswordTooLong,
	} {
		if _, err := check(t.Context(), c, alice, password); !errors.Is(err, want) {
			t.Errorf("%.10q: got %v, want %v", password, err, want)
		}
	}
	if n := f.conns.Load(); n != 0 {
		t.Errorf("%d connections, want none", n)
	}
}

// What is searched for is the registered login; what was typed only for a stranger.
func TestWhoIsSearchedFor(t *testing.T) {
	s, err := compile(corp("ldap://127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(s, time.Now, nil)
	tests := []struct {
		name  string
		u     mfa.User
		typed string
		want  identity
		err   error
	}{
		{"short", mfa.User{ID: "1", Login: "alice"}, "bob", identity{"alice", "alice"}, nil},
		{"UPN", mfa.User{ID: "1", Login: "alice@corp.example"}, `corp\bob`, identity{"alice@corp.example", "alice"}, nil},
		{"down-level", mfa.User{ID: "1", Login: `corp\alice`}, "bob", identity{`corp\alice`, "alice"}, nil},
		{"stranger", mfa.User{}, "bob@corp.example", identity{"bob@corp.example", "bob"}, nil},
		{"stranger without a name", mfa.User{}, "", identity{}, mfa.InvalidLogin},
		{"stranger with half a filter", mfa.User{}, "a b)(uid=*", identity{}, mfa.InvalidLogin},
	}
	for _, tt := range tests {
		if got, err := p.identify(tt.u, tt.typed); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
	if _, err := p.identify(mfa.User{ID: "1"}, "bob"); err == nil || isReason(err) {
		t.Errorf("user without a login: got %v, want a fault of ours", err)
	}
}

func TestSlowServerIsLeftInTime(t *testing.T) {
	f := newFake(t, hangs)
	d := corp(f.url)
	d.Timeout = 50 * time.Millisecond
	c, _, _ := checker(t, d)
	start := time.Now()
	_, err := check(t.Context(), c, alice, "r1ght")
	if !errors.Is(err, context.DeadlineExceeded) || isReason(err) || !strings.Contains(err.Error(), "within 50ms") {
		t.Errorf("its own time-out: got %v, want the deadline", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c, _, _ = checker(t, corp(f.url))
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := check(ctx, c, alice, "r1ght"); err == nil || isReason(err) {
		t.Errorf("the caller went away: got %v, want an error of ours", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %v, want far less than the default of %v", took, defaultTimeout)
	}
}

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

	clock.add(idleFor + time.Second)
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
	clock.add(probeEvery)
	sweep(t, c)
	if n := first.conns.Load(); n != 2 || !c.pools["corp"].servers[0].dead {
		t.Errorf("%d connections, want a second one that fails", n)
	}
	first.set(wellBehaved)
	clock.add(time.Minute)
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
	clock.add(refuseFor)
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

func TestDirectBind(t *testing.T) {
	names := make(chan string, 8)
	f := newFake(t, func(r request) ([]byte, bool) {
		if r.op == ldap.ApplicationBindRequest {
			names <- r.name
			return result(r, 0, ""), false
		}
		return wellBehaved(r)
	})
	d := corp(f.url)
	d.BindDN, d.BindPassword, d.UPNSuffix = "", secret.Text{}, "corp.example"
	c, dirs, _ := checker(t, d)
	for login, want := range map[string]string{"alice": "alice@corp.example", "alice@other.example": "alice@other.example", `corp\alice`: `corp\alice`} {
		groups, err := check(t.Context(), c, mfa.User{ID: "user", Login: login}, "r1ght")
		if err != nil || len(groups) != 2 {
			t.Errorf("%s: got %v, %v, want two groups", login, groups, err)
		}
		if got := <-names; got != want {
			t.Errorf("%s binds as %q, want %q", login, got, want)
		}
	}
	d.GroupAttr, d.BaseDN, d.UserFilter = "", "", ""
	dirs.set(d)
	before := f.finds.Load()
	if _, err := check(t.Context(), c, alice, "r1ght"); err != nil || f.finds.Load() != before {
		t.Errorf("without groups: got %v and %d searches, want none", err, f.finds.Load()-before)
	}
	d = corp(f.url)
	d.BindDN, d.BindPassword, d.UPNSuffix = "", secret.Text{}, "corp.example"
	dirs.set(d)
	f.set(func(r request) ([]byte, bool) { return result(r, 0, ""), false })
	if _, err := check(t.Context(), c, alice, "r1ght"); err == nil || isReason(err) || !strings.Contains(err.Error(), "user_filter") {
		t.Errorf("right password, no entry: got %v, want a fault of our settings", err)
	}
}
