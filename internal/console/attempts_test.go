package console

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/web/webtest"
)

// some appends attempts to the rig's trail, the first one the oldest.
func (r *rig) some(all ...mfa.Attempt) {
	r.t.Helper()
	for _, a := range all {
		a.ID = mfa.NewAttemptID(nil)
		if err := r.trail.Append(r.t.Context(), mfa.Record{Attempt: &a}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// sources are those of the attempts on a page or in a file, which stand for them here.
func sources(p page) (all []string) {
	for _, one := range []string{"10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"} {
		if strings.Contains(p.body, one) {
			all = append(all, strings.TrimPrefix(one, "10.9.0."))
		}
	}
	return all
}

// Each filter of the page selects, alone and with others, on the page, when the page looks for
// news, and in the file.
func TestAttemptsAreFiltered(t *testing.T) {
	r := signedInAs(t, mfa.RoleAuditor)
	bob := r.person("bob", mfa.RoleNone)
	day := 24 * time.Hour
	r.some(
		mfa.Attempt{Source: "10.9.0.1", Time: r.now.Add(-40 * day), Server: "nyc1", Application: "vpn", Login: "bob", User: bob, Verdict: mfa.Accept, Reason: mfa.OK, Method: mfa.MethodTOTP},
		mfa.Attempt{Source: "10.9.0.2", Time: r.now.Add(-2 * day), Server: "nyc2", Application: "vpn", Login: "bob", User: bob, Reason: mfa.WrongCode, Method: mfa.MethodTOTP},
		mfa.Attempt{Source: "10.9.0.3", Time: r.now.Add(-2 * time.Hour), Server: "nyc1", Application: "mail", Login: "Mallory", Reason: mfa.UnknownUser},
		mfa.Attempt{Source: "10.9.0.4", Time: r.now.Add(-time.Minute), Server: "nyc1", Application: "mail", Login: "bob", User: bob, Verdict: mfa.Accept, Reason: mfa.OK, Method: mfa.MethodSMS},
	)
	for query, want := range map[string]string{
		"":                                "1234",
		"user=BOB":                        "124",
		"user=mallory":                    "3",
		"user=eve":                        "",
		"application=mail":                "34",
		"verdict=reject":                  "23",
		"verdict=accept&application=mail": "4",
		"verdict=nonsense":                "1234",
		"reason=wrong_code":               "2",
		"method=totp":                     "12",
		"server=nyc2":                     "2",
		"last=1h":                         "4",
		"last=24h":                        "34",
		"last=7d&user=bob":                "24",
		"from=2026-11-29T09:00":           "34",
		"until=2026-11-29T09:00":          "12",
		"from=2026-11-27T00:00&until=2026-11-28T00:00": "2",
		"last=1h&until=2020-01-01T00:00":               "4", // what is chosen counts
	} {
		p := r.get("/attempts?" + query)
		r.status(p, http.StatusOK)
		file := r.get("/attempts.csv?" + query)
		r.status(file, http.StatusOK)
		for what, got := range map[string][]string{"page": sources(p), "file": sources(file)} {
			if strings.Join(got, "") != want {
				t.Errorf("%s of %q has %v, want %s", what, query, got, want)
			}
		}
		if !strings.Contains(p.body, `data-poll="/attempts?`+strings.ReplaceAll(query, "&", "&amp;")) && query != "" {
			t.Errorf("the page of %q looks for news elsewhere", query)
		}
	}
	p := r.get("/attempts?user=eve&last=1h")
	if text := p.text(); !strings.Contains(text, "no user with the login eve") || !strings.Contains(text, "No sign-in fits") {
		t.Error(text)
	}
	for _, bad := range []string{"reason=nonsense", "from=yesterday"} {
		if p := r.get("/attempts?" + bad); !strings.Contains(p.body, `role="alert"`) || len(sources(p)) > 0 {
			t.Errorf("%s: %s", bad, p.text())
		}
		r.status(r.get("/attempts.csv?"+bad), http.StatusUnprocessableEntity)
	}
}

// The address holds every filter: the fields are filled in from it, and the next page and the
// file are of the same.
func TestAttemptsKeepTheirFilters(t *testing.T) {
	r := signedInAs(t, mfa.RoleAuditor)
	for range recordsShown + 1 {
		r.some(mfa.Attempt{Source: "10.9.0.1", Time: r.now, Server: "nyc1", Application: "a b&c", Login: "=cmd|x", Reason: mfa.UnknownUser})
	}
	asked := url.Values{"user": {"=cmd|x"}, "application": {"a b&c"}, "verdict": {"reject"}, "reason": {"unknown_user"}, "server": {"nyc1"}, "last": {"24h"}}
	p := r.get("/attempts?" + asked.Encode())
	r.status(p, http.StatusOK)
	for _, f := range p.forms() {
		if f.action != "/attempts" {
			continue
		}
		for name := range asked {
			if f.fields.Get(name) != asked.Get(name) {
				t.Errorf("%s is %q, asked for %q", name, f.fields.Get(name), asked.Get(name))
			}
		}
	}
	links := webtest.Links(p.body)
	i := slices.IndexFunc(links, func(l string) bool { return strings.HasPrefix(l, "/attempts.csv?") })
	if i < 0 {
		t.Fatalf("no file in %v", links)
	}
	if got, err := url.ParseQuery(strings.TrimPrefix(links[i], "/attempts.csv?")); err != nil || got.Encode() != asked.Encode() {
		t.Errorf("the file is of %v, %v; want %v", got, err, asked)
	}
	file := r.get(links[i])
	rows, err := csv.NewReader(strings.NewReader(file.body)).ReadAll()
	if err != nil || len(rows) < 2 || rows[0][0] != "time" || rows[1][1] != "'=cmd|x" {
		t.Errorf("%v, %q", err, rows)
	}
	if got := file.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment; filename=") {
		t.Error(got)
	}
}
