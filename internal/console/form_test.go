package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web/webtest"
)

// form is one form of a page as it would be sent untouched.
type form struct {
	method, action string
	fields         url.Values
	names          []string // of all fields, in order
}

// forms are those of a page, but for signing out and choosing a language.
func (p page) forms() (all []form) {
	for _, f := range webtest.Forms(p.body) {
		if f.Action != "/sign-out" && f.Action != "/language" {
			all = append(all, form{f.Method, f.Action, f.Fields, f.Names})
		}
	}
	return all
}

// values are a form's, as names and values in turn, with one of them replaced.
func (f form) values(name, value string) (all []string) {
	for n, vs := range f.fields {
		if n != name && len(vs) > 0 {
			all = append(all, n, vs[0])
		}
	}
	return append(all, name, value)
}

// furnished is a rig with one object of every kind, where an owner is signed in.
func furnished(t *testing.T) (*rig, map[string]string) {
	t.Helper()
	r := signedInAs(t, mfa.RoleOwner)
	ctx := t.Context()
	bob, desk := r.person("bob", mfa.RoleNone), r.person("helen", mfa.RoleHelpDesk)
	name, kind, base := "corp", "ldap", "dc=corp"
	provider, sms, byHTTP, corp, countries := "provider", mfa.GatewaySMS, "json", "Corp", []string{"DE"}
	smpp, bySMPP, host := "trunk", mfa.GatewaySMPP, "smpp.provider.example"
	api, vpn, radius, kindAPI := "shop", "vpn", mfa.KindRADIUS, mfa.KindAPI
	rule, deny, soon := "night", "deny", 60
	for _, err := range []error{
		second(r.Admin.AddGateway(ctx, "test", admin.GatewayChange{Name: &provider, Kind: &sms, Profile: &byHTTP, Address: new("https://sms.example/send"), Password: secret.NewWire("token"), From: &corp, Countries: &countries})),
		second(r.Admin.AddGateway(ctx, "test", admin.GatewayChange{Name: &smpp, Kind: &sms, Protocol: &bySMPP, Address: &host, Login: &corp, Password: secret.NewWire("hush-hush"), From: &corp, Countries: &countries})),
		second(r.Admin.AddDirectory(ctx, "test", admin.DirectoryChange{Name: &name, Kind: &kind, URLs: &[]string{"ldaps://dc1.corp.example"}, BaseDN: &base})),
		second(r.Admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &vpn, Kind: &radius, Addresses: &[]string{"10.0.0.5"}, Secret: secret.NewWire("long enough")})),
		second(r.Admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &api, Kind: &kindAPI})),
		second(r.Admin.AddRule(ctx, "test", admin.PolicyRuleChange{Name: &rule, Access: &deny, Tags: &[]string{"night"}, RememberSeconds: &soon})),
		second(r.Admin.CreateAPIToken(ctx, "test", admin.APITokenRequest{Name: "reader", Scopes: []string{admin.ScopeRead}, Seconds: 3600})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	story := mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: r.now, Server: "nyc1", Application: "vpn", Login: `"><script>alert(1)</script>`, Reason: mfa.ExemptNetwork, Verdict: mfa.Accept}
	if err := r.trail.Append(ctx, mfa.Record{Attempt: &story}); err != nil {
		t.Fatal(err)
	}
	return r, map[string]string{"/attempts/{id}": "/attempts/" + story.ID.String(), "/reports/{name}": "/reports/no-second-factor", "/reports/{name}/{file}": "/reports/no-second-factor/over_time.csv",
		"/users/{id}": "/users/" + string(bob), "/administrators/{id}": "/administrators/" + string(desk),
		"/directories/{name}": "/directories/corp", "/rules/{name}": "/rules/night", "/applications/{name}": "/applications/vpn", "/protect/{profile}": "/protect/generic", "/groups/{group}": "/groups/acme",
		"/gateways/{name}": "/gateways/trunk", "/new-gateway/{way}": "/new-gateway/http", "/texts/{name}": "/texts/sms.de"}
}

func second[T any](_ T, err error) error { return err }

// pagesOf are the paths of all pages, with what furnished made.
func pagesOf(t *testing.T, c *Console, made map[string]string) (all []string) {
	t.Helper()
	for _, one := range c.routes() {
		method, path, _ := strings.Cut(one.pattern, " ")
		if method != http.MethodGet {
			continue
		}
		path = strings.TrimSuffix(path, "{$}")
		if strings.Contains(path, "{") {
			if made[path] == "" {
				t.Errorf("furnished makes nothing for %s", path)
			}
			path = made[path]
		}
		all = append(all, path)
	}
	return all
}

// What people type into any field of any form is text wherever it is shown, and no header.
func TestEveryFieldIsText(t *testing.T) {
	r, made := furnished(t)
	evils := []string{`"><script>alert(1)</script><img src=x onerror=alert(1)>'{{.}}`, "x\r\nSet-Cookie: evil=1\r\n\r\n<script>"}
	pages := pagesOf(t, r.Console, made)
	fields := 0
	for _, path := range pages {
		for _, f := range r.get(path).forms() {
			for _, name := range f.names {
				for _, evil := range evils {
					fields++
					var p page
					if f.method == "post" {
						p = r.post(f.action, f.values(name, evil)...)
					} else {
						p = r.get(f.action + "?" + url.Values{name: {evil}}.Encode())
					}
					what := path + " " + f.action + " " + name
					r.innocent(what, p)
					if to := p.Header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
						t.Errorf("%s leads to %q", what, to)
					}
					if p.StatusCode == http.StatusInternalServerError {
						t.Errorf("%s: %s", what, p.text())
					}
				}
			}
		}
	}
	if fields < 100 {
		t.Errorf("%d fields were tried; the forms are not found", fields)
	}
	for _, path := range pages {
		r.innocent(path, r.get(path))
	}
}

// A form that is opened and sent as it is changes nothing that its page shows: what a page
// shows and what it sends are the same.
func TestFormsSendWhatTheyShow(t *testing.T) {
	r, made := furnished(t)
	for _, page := range []string{made["/users/{id}"], made["/directories/{name}"], made["/administrators/{id}"], made["/applications/{name}"], "/policy", "/gateways/trunk", "/gateways/provider", "/texts/sms.de", "/texts/mail.en", "/texts/notice_subject.fr"} {
		for _, f := range r.get(page).forms() {
			if !strings.HasSuffix(f.action, "/edit") {
				continue
			}
			before := f.fields
			p := r.post(f.action, f.values("untouched", "")...)
			if r.status(p, http.StatusSeeOther); p.StatusCode != http.StatusSeeOther {
				continue
			}
			for _, again := range r.get(page).forms() {
				if again.action != f.action {
					continue
				}
				before.Del("etag")
				again.fields.Del("etag")
				if before.Encode() != again.fields.Encode() {
					t.Errorf("%s: was %v, is %v", page, before, again.fields)
				}
			}
		}
	}
}

// Of two who edit one thing the second is told, and overwrites nothing.
func TestTwoTabsOfEveryForm(t *testing.T) {
	r, made := furnished(t)
	for path, change := range map[string][2]string{
		made["/users/{id}"]:          {"name", "of the "},
		made["/directories/{name}"]:  {"base_dn", "dc="},
		made["/administrators/{id}"]: {"tags", "tag"},
		made["/applications/{name}"]: {"addresses", "10.0.0."},
		"/policy":                    {"tries", "1"},
		made["/gateways/{name}"]:     {"from", "Corp"},
		made["/texts/{name}"]:        {"text", "{code} "},
	} {
		edit := func(p page) form {
			for _, f := range p.forms() {
				if strings.HasSuffix(f.action, "/edit") {
					return f
				}
			}
			t.Fatalf("%s has no form", path)
			return form{}
		}
		one, two := edit(r.get(path)), edit(r.get(path))
		if strings.HasPrefix(path, "/administrators") {
			one.fields.Set("reach", "some")
			two.fields.Set("reach", "some")
		}
		r.now = r.now.Add(time.Second)
		r.status(r.post(one.action, one.values(change[0], change[1]+"1")...), http.StatusSeeOther)
		p := r.post(two.action, two.values(change[0], change[1]+"2")...)
		if r.status(p, http.StatusConflict); edit(p).fields.Get(change[0]) != change[1]+"1" {
			t.Errorf("%s: the second tab sees %v", path, edit(p).fields)
		}
		if now := edit(r.get(path)).fields.Get(change[0]); now != change[1]+"1" {
			t.Errorf("%s: the second tab wrote %q", path, now)
		}
	}
}

// Whoever is beyond a help desk's reach is not there for it, whatever the path and however
// much it may do to others.
func TestHelpDeskFindsNobodyElse(t *testing.T) {
	r := newRig(t)
	r.person("desk", mfa.RoleNone)
	login, role, tags, perms := "desk", "help-desk", []string{"east"}, mfa.SetOf(mfa.HelpDeskPermissions()...).Names()
	if _, err := r.Admin.AddAdministrator(t.Context(), "test", admin.AdministratorChange{Login: &login, Role: &role, Tags: &tags, Permissions: &perms}); err != nil {
		t.Fatal(err)
	}
	west := r.person("west", mfa.RoleNone)
	r.status(r.signInAs("desk"), http.StatusSeeOther)
	before := len(r.trail.Recorded())
	tried := 0
	for _, one := range r.routes() {
		method, path, _ := strings.Cut(one.pattern, " ")
		if !strings.HasPrefix(path, "/users/{id}") {
			continue
		}
		tried++
		for _, id := range []string{string(west), "west"} {
			path := strings.ReplaceAll(path, "{id}", id)
			var p page
			if method == http.MethodGet {
				p = r.get(path)
			} else {
				p = r.post(path, "login", "west", "state", "exempt", "password", "a password", "credential", "totp", "code", "123456", "application", "console")
			}
			if p.StatusCode != http.StatusNotFound && p.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %s %s", one.pattern, p.Status, p.text())
			}
			if v := r.user(west); v.State != "protected" || v.HasPassword || v.Blocked {
				t.Fatalf("%s was done: %+v", one.pattern, v)
			}
		}
	}
	if after := len(r.trail.Recorded()); tried < 10 || after != before {
		t.Errorf("%d routes tried, %d acts recorded", tried, after-before)
	}
}
