package directory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var alice = mfa.User{ID: "user", Login: "alice"}

// checker checks against d; its connections are closed when the test ends.
func checker(t *testing.T, d mfa.Directory) (*Checker, *one, *mfatest.Clock) {
	t.Helper()
	dirs, clock := &one{d: d}, mfatest.NewClock(now)
	c := New(dirs, Options{Now: clock.Now})
	t.Cleanup(c.closeAll)
	return c, dirs, clock
}

func check(ctx context.Context, c *Checker, u mfa.User, password string) ([]string, error) {
	return c.Check(ctx, "corp", u, nil, secret.FromString(password))
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

func TestIdentify(t *testing.T) {
	tests := []struct {
		name string
		want identity
		err  error
	}{
		{"Alice", identity{"alice", "alice"}, nil},
		{"alice@corp.example", identity{"alice@corp.example", "alice"}, nil},
		{`CORP\alice`, identity{`corp\alice`, "alice"}, nil},
		{"", identity{}, mfa.InvalidLogin},
		{"a b)(uid=*", identity{}, mfa.InvalidLogin},
	}
	for _, tt := range tests {
		if got, err := identify(tt.name); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: got %v, %v, want %v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
	c, _, _ := checker(t, corp("ldap://127.0.0.1"))
	if _, err := check(t.Context(), c, mfa.User{ID: "1"}, "r1ght"); err == nil || isReason(err) || !strings.Contains(err.Error(), "rename the user") {
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
