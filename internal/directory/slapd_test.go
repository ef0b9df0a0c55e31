package directory

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

func slapdDirectory(l *mfatest.LDAP) mfa.Directory {
	return mfa.Directory{
		Name: "corp", Kind: "ldap", URLs: []string{l.URL}, StartTLS: true, CAs: l.CA.PEM,
		BindDN: l.BindDN, BindPassword: secret.FromString(l.BindPassword),
		BaseDN: l.BaseDN, UserFilter: "(&(objectClass=inetOrgPerson)(uid={user}))", GroupAttr: "memberOf",
	}
}

func TestOpenLDAP(t *testing.T) {
	l := mfatest.Slapd(t, 10_000)
	c, _, _ := checker(t, slapdDirectory(l))
	user := func(login string) mfa.User { return mfa.User{ID: mfa.UserID(login), Login: login} }

	t.Run("many at once over StartTLS", func(t *testing.T) {
		next := make(chan int)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for i := range next {
					groups, err := check(t.Context(), c, user(l.Login(i)), l.Password(i))
					if want := []string{"cn=all,dc=test", "all", "cn=even,dc=test", "even"}[:4-2*(i%2)]; err != nil || !slices.Equal(groups, want) {
						t.Errorf("user %d: got %q, %v, want %q", i, groups, err, want)
					}
					if _, err := check(t.Context(), c, user(l.Login(i)), l.Password(i+1)); !errors.Is(err, mfa.WrongPassword) {
						t.Errorf("user %d with the password of another: got %v, want %v", i, err, mfa.WrongPassword)
					}
				}
			})
		}
		for i := 0; i < l.Users; i += 37 {
			next <- i
		}
		close(next)
		all.Wait()
	})
	t.Run("ldaps", func(t *testing.T) {
		d := slapdDirectory(l)
		d.URLs, d.StartTLS = []string{l.TLSURL}, false
		c, _, _ := checker(t, d)
		if _, err := check(t.Context(), c, user("user1@corp.example"), l.Password(1)); err != nil {
			t.Error(err)
		}
	})
	reasons := []struct {
		name, login, password string
		want                  mfa.Reason
	}{
		{"nobody", "nobody", "x", mfa.NotInDirectory},
		{"two entries", "twin", "twin-secret", mfa.AmbiguousInDirectory},
		{"a star", "user*", "x", mfa.NotInDirectory},
		{"empty", "user1", "", mfa.EmptyPassword},
		{"only a NUL", "user1", "\x00", mfa.WrongPassword},
	}
	for _, tt := range reasons {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := check(t.Context(), c, user(tt.login), tt.password); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	faults := []struct {
		name   string
		change func(*mfa.Directory)
		want   string
	}{
		{"unknown authority", func(d *mfa.Directory) { d.CAs = mfatest.NewCA(t).PEM }, "unknown authority"},
		{"the system's authorities only", func(d *mfa.Directory) { d.CAs = "" }, "unknown authority"},
		{"other name", func(d *mfa.Directory) { d.URLs = []string{strings.Replace(l.URL, "127.0.0.1", "127.0.0.2", 1)} }, "connecting to"},
		{"no TLS", func(d *mfa.Directory) { d.StartTLS = false }, "start_tls"},
		{"service password", func(d *mfa.Directory) { d.BindPassword = secret.FromString("x") }, "check bind_dn and bind_password"},
		{"base", func(d *mfa.Directory) { d.BaseDN = "dc=elsewhere" }, "check base_dn"},
		{"anonymous", func(d *mfa.Directory) { d.BindDN, d.BindPassword = "", secret.Text{} }, "directory \"corp\": search"},
	}
	for _, tt := range faults {
		t.Run(tt.name, func(t *testing.T) {
			d := slapdDirectory(l)
			tt.change(&d)
			c, _, _ := checker(t, d)
			_, err := check(t.Context(), c, user("user1"), l.Password(1))
			if err == nil || isReason(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a fault of ours with %q", err, tt.want)
			}
		})
	}
	t.Run("stranger by mail address", func(t *testing.T) {
		d := slapdDirectory(l)
		d.UserFilter = "(|(uid={user})(mail={login}))"
		c, _, _ := checker(t, d)
		groups, names, err := c.CheckStranger(t.Context(), "corp", "user1@test.example", secret.FromString(l.Password(1)))
		if err != nil || !slices.Contains(names, "user1") || !slices.Contains(names, "user1@test.example") || !slices.Contains(groups, "all") {
			t.Errorf("got groups %q, names %q, %v; want all names of the entry", groups, names, err)
		}
		if _, _, err := c.CheckStranger(t.Context(), "corp", "user1@test.example", secret.FromString("wrong")); !errors.Is(err, mfa.WrongPassword) {
			t.Errorf("wrong password: got %v, want %v", err, mfa.WrongPassword)
		}
		if _, _, err := c.CheckStranger(t.Context(), "corp", "nobody", secret.FromString("x")); !errors.Is(err, mfa.NotInDirectory) {
			t.Errorf("nobody: got %v, want %v", err, mfa.NotInDirectory)
		}
	})
	t.Run("members of a group", func(t *testing.T) {
		for _, filter := range []string{"(&(objectClass=inetOrgPerson)(uid={user}))", "(|(uid={user})(mail={login}))"} {
			d := slapdDirectory(l)
			d.UserFilter = filter
			c, _, _ := checker(t, d)
			m, err := c.Members(t.Context(), "corp", "cn=even,dc=test")
			if err != nil || m.Len() != l.Users/2 || !m.Include("user4710@elsewhere.example") || m.Include("user4711") || m.Include("nobody") {
				t.Errorf("%s: %d members, %v", filter, m.Len(), err)
			}
			if n, err := c.Members(t.Context(), "corp", "cn=even*,dc=test"); err != nil || n.Len() != 0 {
				t.Errorf("a pattern is taken for one: %d members, %v", n.Len(), err)
			}
		}
		for want, change := range map[string]func(*mfa.Directory){
			"bind_dn":         func(d *mfa.Directory) { d.BindDN, d.BindPassword, d.UPNSuffix = "", secret.Text{}, "test.example" },
			"group_attribute": func(d *mfa.Directory) { d.GroupAttr = "" },
			"user_filter":     func(d *mfa.Directory) { d.UserFilter = "(uid=*{user})" },
			"check base_dn":   func(d *mfa.Directory) { d.BaseDN = "dc=elsewhere" },
		} {
			d := slapdDirectory(l)
			change(&d)
			c, _, _ := checker(t, d)
			if _, err := c.Members(t.Context(), "corp", "cn=even,dc=test"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		}
	})
	t.Run("more members than the directory hands out", func(t *testing.T) {
		d := slapdDirectory(l)
		d.BindDN = l.LimitedDN
		c, _, _ := checker(t, d)
		m, err := c.Members(t.Context(), "corp", "cn=even,dc=test")
		if err == nil || m.Include("user0") {
			t.Fatalf("half a group is taken for one: %d members, %v", m.Len(), err)
		}
		for _, want := range []string{"cn=even,dc=test", l.URL, "Size Limit Exceeded", `limits dn.exact="cn=limited,dc=test" size.prtotal=unlimited`} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		}
		if _, err := check(t.Context(), c, user("user9999"), l.Password(9999)); err != nil {
			t.Errorf("one user of them: %v", err)
		}
	})
	t.Run("step by step", func(t *testing.T) { testSteps(t, l) })
	t.Run("dies while connections are kept", func(t *testing.T) {
		l.Stop()
		if _, err := check(t.Context(), c, user("user1"), l.Password(1)); err == nil || isReason(err) || !strings.Contains(err.Error(), l.URL) {
			t.Errorf("got %v, want a fault of ours that names %s", err, l.URL)
		}
	})
}

func testSteps(t *testing.T, l *mfatest.LDAP) {
	good := slapdDirectory(l)
	tests := []struct {
		name            string
		change          func(*mfa.Directory)
		login, password string
		want            []string // names of the steps; the last may fail
		next            string   // part of the last step's advice; empty: all is well
	}{
		{"all is well", nil, "user1", l.Password(1), []string{"connection", "StartTLS", "TLS", "service bind", "search", "user bind", "groups"}, ""},
		{"without a login", nil, "", "", []string{"connection", "StartTLS", "TLS", "service bind"}, ""},
		{"without a password", nil, "user1", "", []string{"connection", "StartTLS", "TLS", "service bind", "search", "groups"}, ""},
		{"ldaps by name", func(d *mfa.Directory) {
			d.URLs, d.StartTLS = []string{strings.Replace(l.TLSURL, "127.0.0.1", "localhost", 1)}, false
		}, "", "", []string{"name lookup", "connection", "TLS", "service bind"}, ""},
		{"two servers", func(d *mfa.Directory) { d.URLs = []string{l.TLSURL, l.URL} }, "user1", "",
			[]string{"connection", "TLS", "service bind", "connection", "StartTLS", "TLS", "service bind", "search", "groups"}, ""},
		{"settings", func(d *mfa.Directory) { d.BaseDN = "" }, "", "", []string{"settings"}, "correct the setting"},
		{"no such name", func(d *mfa.Directory) { d.URLs = []string{"ldaps://no-such-host.invalid"} }, "", "", []string{"name lookup"}, "name in urls"},
		{"nobody listens", func(d *mfa.Directory) { d.URLs = []string{"ldaps://127.0.0.1:" + mfatest.FreePort(t)} }, "", "", []string{"connection"}, "firewall"},
		{"TLS on the wrong port", func(d *mfa.Directory) { d.URLs = []string{strings.Replace(l.URL, "ldap:", "ldaps:", 1)} }, "", "",
			[]string{"connection", "TLS"}, "TLS"},
		{"other authority", func(d *mfa.Directory) { d.CAs = mfatest.NewCA(t).PEM }, "", "", []string{"connection", "StartTLS", "TLS"}, "ca_pem"},
		{"service password", func(d *mfa.Directory) { d.BindPassword = secret.FromString("service-secre") }, "", "",
			[]string{"connection", "StartTLS", "TLS", "service bind"}, "bind_password"},
		{"nobody", nil, "nobody", "x", []string{"connection", "StartTLS", "TLS", "service bind", "search"}, "user_filter"},
		{"not a login", nil, "a b", "x", []string{"connection", "StartTLS", "TLS", "service bind", "login"}, "spaces"},
		{"two entries", nil, "twin", "x", []string{"connection", "StartTLS", "TLS", "service bind", "search"}, "user_filter"},
		{"wrong password", nil, "user1", "service-secre", []string{"connection", "StartTLS", "TLS", "service bind", "search", "user bind"}, "password"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := good
			if tt.change != nil {
				tt.change(&d)
			}
			steps := Test(t.Context(), d, tt.login, secret.FromString(tt.password))
			var names []string
			for i, s := range steps {
				names = append(names, s.Name)
				last := i == len(steps)-1
				if ok := !last || tt.next == ""; s.OK != ok || s.OK != (s.NextStep == "") || !strings.Contains(s.NextStep, tt.next) && last {
					t.Errorf("step %s: %+v, want ok %v and the advice %q", s.Name, s, ok, tt.next)
				}
				if s.Detail == "" || s.Target == "" || s.Layer == "" || strings.Contains(s.Detail, "service-secre") {
					t.Errorf("step %s lacks something or tells a secret: %+v", s.Name, s)
				}
			}
			if !slices.Equal(names, tt.want) {
				t.Errorf("steps %q, want %q", names, tt.want)
			}
		})
	}
}

func TestStepsNameWhatIsWrongWithACertificate(t *testing.T) {
	ca := mfatest.NewCA(t)
	tests := []struct {
		name     string
		notAfter time.Time
		names    []string
		want     string
	}{
		{"expired", time.Now().Add(-time.Hour), []string{"127.0.0.1"}, "renew"},
		{"other name", time.Time{}, []string{"dc1.corp.example"}, "certificate holds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cert, key := ca.Server(t, tt.notAfter, tt.names...)
			d := corp("ldaps://" + serveTLS(t, cert, key))
			d.CAs = ca.PEM
			steps := Test(t.Context(), d, "", secret.Text{})
			if s := steps[len(steps)-1]; s.Name != "TLS" || s.OK || !strings.Contains(s.NextStep, tt.want) {
				t.Errorf("got %+v, want a failed TLS step with the advice %q", s, tt.want)
			}
			c, _, _ := checker(t, d)
			if _, err := check(t.Context(), c, alice, "r1ght"); err == nil || isReason(err) {
				t.Errorf("check: got %v, want a fault of ours", err)
			}
		})
	}
}

func BenchmarkOpenLDAP(b *testing.B) {
	l := mfatest.Slapd(b, 1000)
	c := New(&one{d: slapdDirectory(l)}, Options{})
	b.Cleanup(c.closeAll)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := check(b.Context(), c, mfa.User{ID: "u", Login: l.Login(7)}, l.Password(7)); err != nil {
			b.Fatal(err)
		}
	}
}
