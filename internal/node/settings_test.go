package node

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// What is too open is in doctor, status, health, metrics and the log; and what has an end
// ends.
func TestOpenSettingsAreTold(t *testing.T) {
	o := options(folder(t))
	if err := Init(t.Context(), o, "corp"); err != nil {
		t.Fatal(err)
	}
	inside(t, o, func(ctx context.Context, s *server) {
		opened := func() map[string]string { // by what is told: where
			told := map[string]string{}
			list, err := s.admin.Doctor(ctx)
			must(t, err)
			for _, c := range list.Checks {
				switch {
				case c.Layer != "policy" || c.Name == "settings":
				case c.NextStep == "":
					t.Errorf("no next step in %+v", c)
				case !c.OK:
					told["doctor fails: "+c.Target] = c.Detail
				case c.Warning:
					told["doctor warns: "+c.Target] = c.Detail
				}
			}
			w := httptest.NewRecorder()
			healthMux(s.metrics, s.reasons, s.warnings).ServeHTTP(w, httptest.NewRequest("GET", "/health/ready", nil))
			var h health
			must(t, json.Unmarshal(w.Body.Bytes(), &h))
			for _, text := range h.Warnings {
				if name, rest, ok := strings.Cut(text, ": "); ok && (name == "policy" || strings.HasPrefix(name, "application")) {
					told["health: "+name] = rest
				}
			}
			return told
		}
		want := func(when string, want ...string) {
			t.Helper()
			got := opened()
			for _, name := range want {
				if got[name] == "" {
					t.Errorf("%s: %q is not told; told was %v", when, name, got)
				}
				delete(got, name)
			}
			if len(got) != 0 {
				t.Errorf("%s: told besides: %v", when, got)
			}
		}
		metric := func(line string) {
			t.Helper()
			w := httptest.NewRecorder()
			s.metrics.handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			if !strings.Contains(w.Body.String(), line+"\n") {
				t.Errorf("/metrics lacks %s", line)
			}
		}
		want("at first")
		metric(`countersign_setting_warnings{weight="open"} 0`)

		name, kind, none, everywhere := "vpn", mfa.KindRADIUS, mfa.FirstFactorNone, []string{"0.0.0.0/0"}
		shared := secret.Wire{Text: secret.FromString("shared secret 1")}
		_, err := s.admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &name, Kind: &kind, FirstFactor: &none, Addresses: &everywhere, Secret: &shared})
		must(t, err)
		want("code alone, from everywhere", "doctor fails: application vpn", "health: application vpn")
		metric(`countersign_setting_warnings{weight="open"} 1`)

		local, one, pass := mfa.FirstFactorLocal, []string{"192.0.2.1"}, "pass"
		_, err = s.admin.SetApplication(ctx, "test", name, admin.ApplicationChange{FirstFactor: &local, Addresses: &one, UnknownUsers: &pass})
		must(t, err)
		want("unknown users pass", "doctor warns: application vpn")
		metric(`countersign_setting_warnings{weight="note"} 1`)

		soon := s.Now().Add(13 * 24 * time.Hour).UTC().Truncate(time.Second)
		_, err = s.admin.SetApplication(ctx, "test", name, admin.ApplicationChange{UnknownUsersUntil: &soon})
		must(t, err)
		want("and that ends soon", "doctor warns: application vpn", "health: application vpn")

		said := s.Stderr.(*buffer)
		before := strings.Count(said.String(), "more open than it may look")
		told := s.tellSettings(nil)
		told = s.tellSettings(told)
		for key := range told {
			told[key] = told[key].Add(-settingsAgain)
		}
		s.tellSettings(told)
		if n := strings.Count(said.String(), "more open than it may look") - before; n != 2 {
			t.Errorf("logged %d times, want at once and a day later", n)
		}

		tries, err := s.admin.SetPolicy(ctx, "test", []byte(`{"tries": 100}`), "", "")
		if err != nil || len(tries.Warnings) != 1 {
			t.Errorf("a hundred tries: %+v, %v", tries, err)
		}
		want("a hundred tries", "doctor warns: application vpn", "health: application vpn", "doctor warns: policy", "health: policy")
	})
}
