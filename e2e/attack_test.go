package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"countersign/internal/console"
	"countersign/internal/portal"
)

// injected is what is typed into every field: it closes a tag and an attribute of whatever page
// shows it as it is, without the space that a login cannot have.
const injected = `x"'><svg/class=injected/onload=window.owned=1>`

// fields are those that a person can type into, of one form.
const fields = `f => [...f.querySelectorAll('input, textarea')].filter(e => !['hidden', 'checkbox', 'radio', 'file', 'submit', 'button'].includes(e.type))`

// formsToFill are the actions of the forms of a page that have such a field, each once.
const formsToFill = `JSON.stringify([...new Set([...document.forms].filter(f => f.method === 'post' && (` + fields + `)(f).length).map(f => f.getAttribute('action')))])`

// everyField writes into every such field of a form what a page should never run, past what the browser
// checks for the user's sake, and sends it.
const everyField = `(f => {
	f.noValidate = true;
	for (const e of (` + fields + `)(f)) { if (e.type === 'number' || e.type.includes('date')) e.type = 'text'; e.value = VALUE; }
	window.stillHere = true;
	f.requestSubmit(f.querySelector('button'));
})(document.querySelector('form[action="ACTION"]'))`

// unharmed fails where what was typed has become a part of the page.
func (b *tab) unharmed(what string) {
	b.t.Helper()
	if said := b.eval("document.querySelectorAll('.injected').length + ' ' + window.owned"); said != "0 undefined" {
		b.t.Errorf("%s: what was typed is a part of the page: %s\n%s", what, said, b.eval("document.querySelector('.injected')?.parentElement.outerHTML.slice(0, 400)"))
	}
}

// inject fills every form that the pages have with what a page should never run, and returns how
// often it was shown as the text that it is.
func (b *tab) inject(base string, paths []string) (forms, shown int) {
	b.t.Helper()
	value, _ := json.Marshal(injected)
	done := map[string]bool{}
	for _, path := range paths {
		b.open(base + path)
		var actions []string
		if err := json.Unmarshal([]byte(b.eval(formsToFill)), &actions); err != nil {
			b.t.Fatalf("%s: %v", path, err)
		}
		for _, action := range actions {
			kind := ids.ReplaceAllString(action, "/one$1")
			if done[kind] || action == "/backup/create" { // which answers with a file
				continue
			}
			done[kind] = true
			b.open(base + path)
			b.do("send "+action, chromedp.Evaluate[chromedp.Void](strings.NewReplacer("VALUE", string(value), "ACTION", action).Replace(everyField)))
			await(b.t, "the answer to "+action, func() bool {
				return b.eval("document.readyState === 'complete' && window.stillHere !== true") == "true"
			})
			b.unharmed("the answer to " + action)
			forms++
			if strings.Contains(b.text(), "svg/class") || b.eval("[...document.querySelectorAll('main input, main textarea')].some(e => e.value.includes('svg/class'))") == "true" {
				shown++
			}
		}
	}
	return forms, shown
}

// paths are one page of each kind that links lead to.
func (b *tab) paths(base, from string, pages *visits) (all []string) {
	b.t.Helper()
	b.crawl(base, from, func(path string) {
		all = append(all, path)
		pages.see(path)
	})
	return all
}

// fetched asks for a path of the page's own site with what a browser sends there by itself, follows where it
// leads, and returns the status and where that ended.
func (b *tab) fetched(method, path, form string) (status, at string) {
	b.t.Helper()
	options := map[string]any{"method": method}
	if form != "" {
		options["body"], options["headers"] = form, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	}
	o, _ := json.Marshal(options)
	p, _ := json.Marshal(path)
	said, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](fmt.Sprintf("fetch(%s, %s).then(r => r.status + ' ' + r.url)", p, o), chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	status, at, _ = strings.Cut(said, " ")
	return status, at
}

// elsewhere are ways to say another site where a page of ours is meant, or to begin a header.
var elsewhere = []string{"https://evil.example/", "//evil.example/", `/\evil.example/`, `\\evil.example`, "/\t/evil.example", "javascript:window.owned=1", "https:evil.example", "/%0d%0aLocation:%20https://evil.example", "/\r\nSet-Cookie: planted=1"}

// staysHere asks for each of them behind a form that goes back to where it is told.
func (b *tab) staysHere(path, form string) {
	b.t.Helper()
	for _, back := range elsewhere {
		if status, at := b.fetched("POST", path, form+"&back="+url.QueryEscape(back)); !strings.HasPrefix(at, b.eval("location.origin")+"/") {
			b.t.Errorf("%s with back=%q leads to %s (%s)", path, back, at, status)
		}
	}
	if planted, _ := b.cookie("planted"); planted != "" {
		b.t.Error("a header was begun by what a form holds")
	}
}

var oneID = regexp.MustCompile(`[a-z2-7]{16}`)

// A browser that is signed in is given what an attacker would have in every field and every way back, and others' pages are asked for
// by somebody who may not see them. Forms of other sites, frames and planted sessions: TestConsole.
func TestPagesUnderAttack(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	base := "https://" + s.https
	b := newTab(t)
	await(t, "the link for the first administrator", func() bool { return setupURL.MatchString(s.log.String()) })
	b.setUp(setupURL.FindString(s.log.String()))
	device := b.device()
	b.fill("/setup/code", "code", device.now())
	b.reads("alice · owner")
	used := device.step()

	for _, login := range []string{"aaron", "bob", "carol", "dave"} {
		s.user(login, login+"s password", "--email", login+"@corp.example")
	}
	s.application("vpn", "127.0.0.1/32", "--first-factor", "none")
	s.cliIn("a token", "gateway", "add", "provider", "--kind", "sms", "--profile", "json", "--address", "https://sms.example/send", "--password-stdin", "--from", "Corp", "--country", "DE")
	s.cliIn("a password to bind with", "directory", "add", "corp", "--kind", "ldap", "--url", "ldaps://127.0.0.1:9", "--bind-dn", "cn=reader", "--bind-password-stdin", "--base-dn", "dc=corp")
	s.cli("policy", "add", "night", "--hours", "mon-sun 22:00-06:00", "--zone", "Europe/Berlin", "--access", "deny")
	s.cli("administrator", "add", "dave", "--role", "help-desk", "--tag", "east", "--permission", "user.block")
	var aaron, carol, dave struct{ ID string }
	s.json(&aaron, "user", "show", "aaron")
	s.json(&dave, "user", "show", "dave")
	s.json(&carol, "user", "show", "carol")

	// Every field of the console.
	pages := visitsOf(console.Pages(false), "GET /live", "GET /offer", "GET /attempts.csv", "GET /reports", "GET /reports/{name}", "GET /reports/{name}/{file}", "GET /users/bulk", "GET /attempts/{id}",
		"GET /promotion", "GET /promotion/disaster", "GET /account/passkey", "GET /passes")
	paths := b.paths(base, "/", pages)
	pages.done(t)
	for i, path := range paths { // not on alice's own: her session would end
		paths[i] = regexp.MustCompile(`^/users/[a-z2-7]{16}$`).ReplaceAllString(path, "/users/"+aaron.ID)
		paths[i] = regexp.MustCompile(`^/administrators/[a-z2-7]{16}$`).ReplaceAllString(paths[i], "/administrators/"+dave.ID)
	}
	forms, shown := b.inject(base, paths)
	if forms < 30 || shown < 10 {
		t.Errorf("%d forms were filled, %d of the answers show what was typed: the test does not do what it says", forms, shown)
	}
	b.crawl(base, "/", func(path string) { b.unharmed(path + " afterwards") }) // what was kept
	b.staysHere("/language", "language=en")
	for _, back := range elsewhere[:3] {
		b.open(base + "/confirm?back=" + url.QueryEscape(back))
		if at := b.eval("document.querySelector('form[action=\"/confirm\"] [name=back]').value"); at != "/" {
			t.Errorf("the form to confirm goes back to %q", at)
		}
	}
	b.open(base)
	b.fill("/sign-out")
	const planted = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	b.eval("document.cookie = '__Host-console=" + planted + "; Secure; Path=/'") // as another program at this host could
	b.open(base + "/sign-in?back=" + url.QueryEscape(elsewhere[1]))
	b.fill("/sign-in", "login", "alice", "password", ownerPassword)
	b.fill("/sign-in", "code", device.after(used))
	b.reads("alice · owner")
	if at := b.eval("location.href"); at != base+"/" {
		t.Errorf("the sign-in ends at %s", at)
	}
	if now, hidden := b.cookie("__Host-console"); now == planted || now == "" || !hidden {
		t.Errorf("after the sign-in the session is %q, which was planted before it", now)
	}
	t.Logf("%d forms, %d answers that show what was typed", forms, shown)

	// Every field of the portal; and what is somebody else's.
	var invitation struct{ Link string }
	s.json(&invitation, "user", "invite", "bob")
	b = newTab(t)
	b.open(invitation.Link)
	b.fill("/portal/welcome", "login", "bob", "password", "bobs password")
	b.fill("/portal/token", "label", injected)
	b.fill("/portal/token/prove", "code", b.device().now())
	b.reads("It works")
	seen := visitsOf(portal.Pages())
	forms, shown = b.inject(base, b.paths(base, "/portal/", seen))
	if forms < 4 || shown < 2 {
		t.Errorf("%d forms of the portal were filled, %d of the answers show what was typed: the test does not do what it says", forms, shown)
	}
	t.Logf("%d forms of the portal, %d answers that show what was typed", forms, shown)
	b.crawl(base, "/portal/", func(path string) { b.unharmed(path + " afterwards") })
	b.staysHere("/portal/language", "language=en")
	var hers struct{ Credentials []struct{ ID string } }
	s.totp("carol")
	s.json(&hers, "credential", "list", "carol")
	for _, path := range []string{"/portal/factor/" + hers.Credentials[0].ID, "/portal/factor/" + hers.Credentials[0].ID + "/number"} {
		if status, _ := b.fetched("GET", path, ""); status != "404" {
			t.Errorf("bob's browser gets %s for carol's %s", status, path)
		}
	}
	if status, _ := b.fetched("POST", "/portal/factor/"+hers.Credentials[0].ID+"/remove", ""); status == "200" {
		t.Error("bob's browser removes what is carol's")
	}

	// A help desk whose reach is nobody. What was typed above is now its name, tags and groups.
	b = newTab(t)
	b.signIn(s, "dave", "daves password", s.totp("dave").now())
	b.reads("dave · ")
	for _, one := range []struct{ method, path string }{{"GET", "/users/" + carol.ID}, {"POST", "/users/" + carol.ID + "/block"}, {"POST", "/users/" + aaron.ID + "/block"}} {
		if status, _ := b.fetched(one.method, one.path, ""); status != "404" {
			t.Errorf("a help desk without a reach gets %s for %s %s", status, one.method, oneID.ReplaceAllString(one.path, "ID"))
		}
	}
}
