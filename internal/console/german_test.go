package console

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/web/webtest"
)

// englishNames are English on German pages too: names of products and of their menus, commands,
// records of the trail, words of the API, traces and refusals.
var englishNames = regexp.MustCompile(`Authenticate requests on this server|Load Balancing: both`)

// inGerman asks for a page in German.
func (r *rig) inGerman(path string) page {
	r.t.Helper()
	return r.send(r.german(http.MethodGet, path, nil))
}

// troubled is a furnished rig whose group has one of every alarm, and whose pages have
// something to say of everything.
func troubled(t *testing.T) (*rig, map[string]string) {
	t.Helper()
	r, made := furnished(t)
	ago := func(d time.Duration) time.Time { return r.now.Add(-d) }
	seen := func(name, role, version string, epoch uint64, cluster string, last time.Duration) group.Seen {
		return group.Seen{Name: name, Group: "acme", First: ago(time.Hour), Last: ago(last), Moved: ago(time.Hour),
			Report: group.Report{Name: name, Group: "acme", Role: role, Version: version, Epoch: epoch, ClusterID: cluster, Master: name, Quorum: true, Since: ago(time.Hour), Expires: ago(time.Hour)}}
	}
	self := seen("nyc1", "master", "1.0", 2, "aa", 0)
	others := []group.Seen{seen("nyc2", "master", "1.1", 2, "bb", 0), seen("nyc3", "replica", "1.0", 1, "cc", 0), seen("nyc4", "replica", "1.0", 2, "aa", time.Hour)}
	others[1].Offset = time.Minute
	others = append(others, others[1])
	others[3].Report.Instance, others[3].First = "another", ago(time.Minute)
	alarms := group.Alarms(group.Situation{Now: r.now, Clock: r.now, Self: self, Grouped: true, Others: others, Coordinator: ago(time.Hour), Before: 5,
		Answered: map[string]time.Time{"nyc2": r.now, "nyc4": ago(time.Hour), "nyc5": {}}, HTTPS: ago(time.Hour)})
	if len(alarms) < 8 {
		t.Fatalf("%d alarms: %+v", len(alarms), alarms)
	}
	for _, a := range alarms {
		r.node.Alarms = append(r.node.Alarms, admin.Alarm{Name: a.Name, Server: a.Server, Detail: a.Detail, NextStep: a.NextStep, Since: r.now})
	}
	return r, made
}

// Every page is German for who reads German: no sentence of the English catalogue is on it, and
// none that other packages say.
func TestEveryPageInGerman(t *testing.T) {
	r, made := troubled(t)
	for _, path := range pagesOf(t, r.Console, made) {
		if strings.Contains(path, ".csv") {
			continue
		}
		p := r.inGerman(path)
		for _, said := range webtest.Untranslated(t, textFiles, "de", p.body, englishNames) {
			t.Errorf("%s says %s", path, said)
		}
	}
	for _, p := range profiles {
		for _, said := range webtest.Untranslated(t, textFiles, "de", r.inGerman("/applications/vpn?profile="+p.ID).body, englishNames) {
			t.Errorf("the guide for %s says %s", p.ID, said)
		}
	}
}

// Why a form was refused is told in German, by its page or by one of its own.
func TestRefusedFormsInGerman(t *testing.T) {
	r, made := furnished(t)
	refused := 0
	for _, one := range r.routes() {
		method, path, _ := strings.Cut(one.pattern, " ")
		if method != http.MethodPost {
			continue
		}
		for pattern, at := range made {
			if rest, ok := strings.CutPrefix(path, pattern); ok {
				path = at + rest
			}
		}
		for _, form := range []url.Values{{}, {"login": {"a b"}, "name": {"a/b"}, "kind": {"sms"}, "addresses": {"nowhere"}, "urls": {"x"}, "email": {"x"}, "phone": {"1"}, "scope": {"x"}, "days": {"x"},
			"tries": {"x"}, "act": {"x"}, "whom": {"marked"}, "to": {"x"}, "method": {"x"}, "code": {"1"}, "passphrase": {"x"}, "again": {"x"}, "role": {"x"}, "access": {"x"}}} {
			p := r.send(r.german(method, path, form))
			if p.StatusCode < http.StatusBadRequest {
				continue
			}
			refused++
			for _, said := range webtest.Untranslated(t, textFiles, "de", p.body, englishNames) {
				t.Errorf("%s %v says %s", one.pattern, form, said)
			}
		}
	}
	if refused < 20 {
		t.Errorf("only %d forms were refused", refused)
	}
}

// What happened in one sign-in is told in German, whatever it was.
func TestEveryReasonInGerman(t *testing.T) {
	r := signedInAs(t, mfa.RoleAuditor)
	for _, why := range mfa.Reasons()[1:] {
		a := mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: r.now, Server: "nyc1", Application: "vpn", Login: "bob", Reason: why, Source: "10.9.8.7", Method: mfa.MethodTOTP, Degraded: true}
		if why.Accepts() {
			a.Verdict = mfa.Accept
		}
		if err := r.trail.Append(t.Context(), mfa.Record{Attempt: &a}); err != nil {
			t.Fatal(err)
		}
		p := r.inGerman("/attempts/" + a.ID.String())
		if name := strings.ReplaceAll(why.String(), "_", " "); strings.Contains(name, " ") && strings.Contains(p.text(), name) {
			t.Errorf("%s is told by its English name (internal/web/said/de.txt lacks it)", why)
		}
		for _, said := range webtest.Untranslated(t, textFiles, "de", p.body, nil) {
			t.Errorf("of %s: %s", why, said)
		}
	}
}
