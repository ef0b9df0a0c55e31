package console

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// watcher is a coordinator that has seen what it is told.
type watcher struct {
	group.Overview
	asked []string
	err   error
}

// seenBy makes a watcher a Group.
type seenBy struct{ *watcher }

func (s seenBy) Overview(context.Context) (group.Overview, error) { return s.watcher.Overview, s.err }

func (w *watcher) CreateActivation(_ context.Context, by string, r admin.FoundingRequest) (admin.ActivationCode, error) {
	if r.Group == "taken" {
		return admin.ActivationCode{}, mfa.ErrExists
	}
	w.asked = append(w.asked, by+" founds "+r.Group)
	return admin.ActivationCode{Code: secret.NewWire("THE-CODE"), Group: r.Group}, nil
}

func (w *watcher) Retire(_ context.Context, by string, r admin.RetireRequest) (admin.Removed, error) {
	w.asked = append(w.asked, by+" retires "+r.Group+"/"+r.Server)
	return admin.Removed{}, w.err
}

// twoGroups is a group that is well, and one whose only server is silent.
func twoGroups(now time.Time) *watcher {
	return &watcher{Overview: group.Overview{By: "c1", Time: now,
		Groups: []group.GroupView{{Name: "acme", Epoch: 1, Master: "nyc1", Servers: 2, Alive: 1, Users: 7}, {Name: "umbrella", Epoch: 3, Servers: 1}},
		Servers: []group.ServerView{
			{Name: "nyc1", Group: "acme", Role: "master", Alive: true, Heard: now, Epoch: 1, Revision: 9, Version: "1.2", Address: "10.0.0.1:56244", Known: []string{"nyc1.example:7443"},
				Expires: now.Add(99 * time.Hour), Listeners: []group.Listener{{Kind: "https", Address: "[::]:8443"}}},
			{Name: "nyc2", Group: "acme", Role: "replica", Heard: now.Add(-time.Minute), Address: "nyc2.example:7443",
				Listeners: []group.Listener{{Kind: "https", Address: "[::]:8443"}}},
			{Name: "raccoon1", Group: "umbrella"},
		},
		Violations: []group.Violation{
			{Rule: group.RuleStaleServer, Group: "acme", Servers: []string{"nyc2"}, Detail: "nyc2 is silent for 1m0s", NextStep: "start it"},
			{Rule: group.RuleNoMaster, Group: "umbrella", Servers: []string{"raccoon1"}, Detail: "none of 1 servers says that it is the master", NextStep: "start the servers"},
		}}}
}

// portal is the rig as the management portal of an independent coordinator.
func portal(t *testing.T, role mfa.Role) (*rig, *watcher) {
	t.Helper()
	r := newRig(t)
	w := twoGroups(r.now)
	p := *r.Console
	p.Group, p.Coordinator = seenBy{w}, w
	made, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	r.Console = made
	r.person("alice", role)
	if p := r.signInAs("alice"); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign-in: %s\n%s", p.Status, p.text())
	}
	return r, w
}

// The way to a server's console is the one that its node file names: behind a proxy no other leads
// there, and passkeys are of a name.
func TestConsoleOfServer(t *testing.T) {
	for name, c := range map[string]struct {
		listens []group.Listener
		want    string
	}{
		"beside everything":  {[]group.Listener{{Kind: "https", Address: "[::]:8443"}}, "https://nyc1.example:8443/"},
		"apart":              {[]group.Listener{{Kind: "https", Address: "[::]:8443"}, {Kind: "console", Address: "[::]:9443"}}, "https://nyc1.example:9443/"},
		"here alone":         {[]group.Listener{{Kind: "https", Address: "127.0.0.1:8443"}}, ""},
		"by a name":          {[]group.Listener{{Kind: "https", Address: "127.0.0.1:8443", URL: "https://mfa.example.net:443"}}, "https://mfa.example.net:443/"},
		"apart and by one":   {[]group.Listener{{Kind: "https", Address: "[::]:8443"}, {Kind: "console", Address: "127.0.0.1:9443", URL: "https://admin.example.net"}}, "https://admin.example.net/"},
		"no address for one": {[]group.Listener{{Kind: "https", Address: "[::]:8443", URL: "javascript:alert(1)"}}, ""},
		"not a plain one":    {[]group.Listener{{Kind: "https", Address: "[::]:8443", URL: "https://nyc1.example@evil.example"}}, ""},
		"no pages":           {[]group.Listener{{Kind: "radius", Address: "[::]:1812"}}, ""},
	} {
		v := group.ServerView{Name: "nyc1", Alive: true, Known: []string{"nyc1.example:7443"}, Listeners: c.listens}
		if got := consoleOf(v); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if v.Alive = false; consoleOf(v) != "" {
			t.Errorf("%s: a way to a server that is not heard", name)
		}
	}
}

func TestPortalShowsGroups(t *testing.T) {
	r, w := portal(t, mfa.RoleAuditor)
	p := r.get("/")
	for _, want := range []string{"acme nyc1 1 1 / 2 7 stale_server", "umbrella none 3 0 / 1 0 no_master"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("%q is missing in\n%s", want, p.text())
		}
	}
	p = r.get("/groups/acme")
	for _, want := range []string{"nyc2: nyc2 is silent for 1m0s stale_server To mend it: start it", "nyc1 nyc1.example:7443 master", "nyc2 nyc2.example:7443 not heard"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("%q is missing in\n%s", want, p.text())
		}
	}
	if !strings.Contains(p.body, `href="https://nyc1.example:8443/groups"`) || strings.Contains(p.body, "https://nyc2.example") {
		t.Errorf("the way to the console of the server that is heard, and of no other:\n%s", p.body)
	}
	r.status(r.get("/groups/nobody"), http.StatusNotFound)
	if strings.Contains(p.body, "/groups/acme/remove") || strings.Contains(r.get("/").body, `href="/found"`) {
		t.Error("an auditor is offered what an owner does")
	}
	r.status(r.get("/applications"), http.StatusNotFound) // nothing is protected here
	if p := r.get("/administrators"); p.StatusCode != http.StatusOK || strings.Contains(p.body, `href="/rules"`) || !strings.Contains(p.body, `href="/policy"`) {
		t.Errorf("who holds a role: %s\n%s", p.Status, p.text())
	}
	if p := r.get("/policy"); p.StatusCode != http.StatusOK || strings.Contains(p.body, "/policy/edit") || !strings.Contains(p.text(), "Its site is the name") {
		t.Errorf("of the policy there are the passkeys: %s\n%s", p.Status, p.text())
	}
	w.Violations = append(w.Violations, group.Violation{Rule: group.RuleNoMajority, Detail: "no majority of the coordinators answers", NextStep: "start them"})
	if p := r.get("/"); !strings.Contains(p.text(), "no majority of the coordinators answers no_majority To mend it: start them") {
		t.Errorf("what is wrong with the coordinators is missing:\n%s", p.text())
	}
	w.err = errors.Join(mfa.ErrUnavailable, errors.New("away"))
	r.status(r.get("/"), http.StatusServiceUnavailable)
}

// Nobody gets anywhere in the portal without a session, and each page asks for a permission.
func TestPortalStrangers(t *testing.T) {
	r, w := portal(t, mfa.RoleOwner)
	r.cookie = ""
	for _, one := range r.routes() {
		method, path, _ := strings.Cut(one.pattern, " ")
		path = strings.NewReplacer("{group}", "acme", "{id}", "x", "{$}", "").Replace(path)
		p := r.send(httptest.NewRequestWithContext(t.Context(), method, "https://c1.example"+path, nil))
		if to := p.Header.Get("Location"); p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/sign-in") || one.needs == 0 {
			t.Errorf("%s: %s to %q, needs %s", one.pattern, p.Status, to, one.needs)
		}
	}
	if len(w.asked) > 0 {
		t.Errorf("a stranger has done %v", w.asked)
	}
}

func TestPortalActs(t *testing.T) {
	for _, x := range []struct {
		role   mfa.Role
		path   string
		fields []string
		status int
		did    string
		says   string
	}{
		{mfa.RoleOwner, "/found/create", []string{"group", "initech"}, http.StatusOK, "alice (console) founds initech", "THE-CODE"},
		{mfa.RoleOwner, "/found/create", []string{"group", "taken"}, http.StatusConflict, "", ""},
		{mfa.RoleOwner, "/found/create", []string{"what", "coordinator", "group", "x"}, http.StatusOK, "alice (console) founds ", "THE-CODE"},
		{mfa.RoleOwner, "/groups/acme/remove", []string{"server", "nyc2", "name", "nyc2"}, http.StatusSeeOther, "alice (console) retires acme/nyc2", ""},
		{mfa.RoleOwner, "/groups/acme/remove", []string{"server", "nyc2", "name", "nyc1"}, http.StatusUnprocessableEntity, "", "Nothing was changed"},
		{mfa.RoleOwner, "/groups/umbrella/retire", []string{"name", "umbrella"}, http.StatusSeeOther, "alice (console) retires umbrella/", ""},
		{mfa.RoleOwner, "/groups/umbrella/retire", []string{"name", ""}, http.StatusUnprocessableEntity, "", "Nothing was changed"},
		{mfa.RoleAdministrator, "/found/create", []string{"group", "initech"}, http.StatusForbidden, "", ""},
		{mfa.RoleAdministrator, "/groups/acme/remove", []string{"server", "nyc2", "name", "nyc2"}, http.StatusForbidden, "", ""},
		{mfa.RoleAuditor, "/groups/umbrella/retire", []string{"name", "umbrella"}, http.StatusForbidden, "", ""},
	} {
		t.Run(x.role.String()+x.path+strings.Join(x.fields, " "), func(t *testing.T) {
			r, w := portal(t, x.role)
			p := r.post(x.path, x.fields...)
			r.status(p, x.status)
			if got := strings.Join(w.asked, "; "); got != x.did {
				t.Errorf("did %q, want %q", got, x.did)
			}
			if !strings.Contains(p.text(), x.says) {
				t.Errorf("%q is missing in\n%s", x.says, p.text())
			}
			if x.role != mfa.RoleOwner {
				return
			}
			r.now = r.now.Add(6 * time.Minute)
			w.asked = nil
			if p := r.post(x.path, x.fields...); !strings.HasPrefix(p.Header.Get("Location"), "/confirm?") || len(w.asked) > 0 {
				t.Errorf("minutes later it goes on without another proof: %s, %v", p.Status, w.asked)
			}
		})
	}
}

// Inside a group the pages are those of its own console: a joining code is made there, and a
// server that is retired is taken out of the group.
func TestGroupsInside(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	w := twoGroups(r.now)
	w.Groups = w.Groups[:1]
	r.Console.Group = seenBy{w}
	if p := r.get("/groups"); p.Header.Get("Location") != "/groups/acme" {
		t.Errorf("%s to %s", p.Status, p.Header.Get("Location"))
	}
	if p := r.get("/groups/acme"); !strings.Contains(p.body, `action="/groups/acme/code"`) {
		t.Errorf("no joining code is offered\n%s", p.text())
	}
	p := r.post("/groups/acme/code", "role", "witness")
	r.status(p, http.StatusOK)
	if !strings.Contains(p.text(), "It admits one server and is shown only now") {
		t.Errorf("no code:\n%s", p.text())
	}
	r.status(r.post("/groups/acme/remove", "server", "nyc2", "name", "nyc2"), http.StatusSeeOther)
	if len(w.asked) > 0 {
		t.Errorf("an independent coordinator was asked: %v", w.asked)
	}
	r.status(r.get("/found"), http.StatusNotFound)
}
