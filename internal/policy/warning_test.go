package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// named lists the settings warned about, those that open the door with "!" and those only
// noted with "." behind them.
func named(ws []Warning) string {
	var names []string
	for _, w := range ws {
		names = append(names, w.Setting+map[Weight]string{Note: ".", Open: "!"}[w.Weight])
	}
	slices.Sort(names)
	return strings.Join(names, "; ")
}

func TestApplicationWarnings(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	nets := func(ps ...string) (out []netip.Prefix) {
		for _, p := range ps {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	for _, tt := range []struct {
		name string
		app  mfa.Application
		want string
	}{
		{"one client", mfa.Application{FirstFactor: "none", Addresses: nets("192.0.2.1/32", "10.0.0.0/8", "2001:db8::/32"), MA: mfa.MAWarn}, ""},
		{"everywhere, with a password", mfa.Application{FirstFactor: "local", Addresses: nets("0.0.0.0/0")}, ""},
		{"everywhere, code alone", mfa.Application{FirstFactor: "none", Addresses: nets("192.0.2.1/32", "0.0.0.0/0")}, "addresses!"},
		{"half of everywhere", mfa.Application{FirstFactor: "none", Addresses: nets("128.0.0.0/1")}, "addresses!"},
		{"everywhere in IPv6", mfa.Application{FirstFactor: "none", Addresses: nets("::/0")}, "addresses!"},
		{"warn, everywhere", mfa.Application{FirstFactor: "local", Addresses: nets("0.0.0.0/0"), MA: mfa.MAWarn}, "message_authenticator"},
		{"require, everywhere", mfa.Application{FirstFactor: "local", Addresses: nets("0.0.0.0/0"), MA: mfa.MARequire}, ""},
		{"an office is exempt", mfa.Application{FirstFactor: "local", Exempt: nets("10.0.0.0/8")}, ""},
		{"everybody is exempt", mfa.Application{FirstFactor: "local", Exempt: nets("::/0")}, "exempt!"},
		{"an office is exempt from nothing", mfa.Application{FirstFactor: "none", Exempt: nets("10.0.0.0/8")}, "exempt!"},
		{"unknown users pass", mfa.Application{FirstFactor: "corp", UnknownPass: true, UnknownUntil: now.Add(30 * 24 * time.Hour)}, "unknown_users."},
		{"without a password", mfa.Application{FirstFactor: "none", UnknownPass: true, UnknownUntil: now.Add(30 * 24 * time.Hour)}, "unknown_users!; unknown_users."},
	} {
		if got := named(ApplicationWarnings(tt.app, now)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}

	for left, want := range map[time.Duration]string{15 * 24 * time.Hour: "until 2026-12-09T12:00:00Z",
		13 * 24 * time.Hour: "add those that are left", time.Second: "add those that are left", 0: "are refused since", -time.Hour: "are refused since"} {
		ws := ApplicationWarnings(mfa.Application{FirstFactor: "corp", UnknownPass: true, UnknownUntil: now.Add(left)}, now)
		if len(ws) != 1 || !strings.Contains(ws[0].Text, want) || (ws[0].Weight == Note) != (left > UnknownWarning) {
			t.Errorf("%s before the end: got %+v, want %q", left, ws, want)
		}
	}
}

func TestSettingsWarnings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Settings)
		want   string
	}{
		{"defaults", func(*Settings) {}, ""},
		{"ten tries", func(s *Settings) { s.Tries = 10 }, ""},
		{"a hundred tries", func(s *Settings) { s.Tries = 100 }, "tries, lock_seconds"},
		{"a lock of a second", func(s *Settings) { s.Lock = 1 }, "tries, lock_seconds!"},
		{"a lock of a minute", func(s *Settings) { s.Lock = 60 }, "tries, lock_seconds"},
		{"a window of ten steps", func(s *Settings) { s.Skew = 10 }, "tries, lock_seconds"},
		{"passwords", func(s *Settings) { s.FirstLock = 1 }, "first_factor_tries, first_factor_lock_seconds"},
		{"no throttle", func(s *Settings) { s.SourceFailures = 100000 }, "source_failures_per_minute"},
		{"attempt ends first", func(s *Settings) { s.Attempt = 3 }, "attempt_seconds"},
		{"models by name", func(s *Settings) { s.PasskeyAllow = []string{"ee882879-721c-4913-9775-3dfcce97072a"} }, "passkey_models_allow"},
		{"models denied", func(s *Settings) { s.PasskeyDeny = []string{"ee882879-721c-4913-9775-3dfcce97072a"} }, ""},
		{"both at once", func(s *Settings) { s.Attempt = s.Directory }, "attempt_seconds"},
	} {
		s := Defaults()
		tt.change(&s)
		if got := named(s.Warnings()); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		for _, w := range s.Warnings() {
			if strings.Contains(w.Text, "%!") {
				t.Errorf("%s: %s", tt.name, w.Text)
			}
		}
	}
}
