package e2e_test

import (
	_ "embed"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"countersign/internal/console"
)

// axe is the checker of accessibility, testdata/axe/README. It is for tests alone: no server
// has it.
//
//go:embed testdata/axe/axe.min.js
var axe string

// wcag are the rules of WCAG 2.2 AA and what axe counts as good practice besides.
const wcag = `['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']`

// Every rule once for a page, with one that axe leaves off unless told otherwise, the size of
// what is clicked; and those that a colour or a width may break for each look.
const (
	everyRule = `{runOnly: {type: 'tag', values: ` + wcag + `}, rules: {'target-size': {enabled: true}}, resultTypes: ['violations']}`
	lookRules = `{runOnly: {type: 'rule', values: ['color-contrast', 'target-size', 'link-in-text-block', 'scrollable-region-focusable']}, resultTypes: ['violations']}`
)

// runAxe reports what is wrong with the page that is open, one line each.
const runAxe = `axe.run(document, RULES)
	.then(r => JSON.stringify(r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 300) + ' ' + n.any.concat(n.all, n.none).map(c => c.message).join('; ')).join(' | '))))`

// axe checks the page that is open, as it is now.
func (b *tab) axe(name, rules string) {
	b.t.Helper()
	if b.eval("typeof window.axe") != "object" {
		b.do("load axe", chromedp.Evaluate[chromedp.Void](axe+";undefined"))
	}
	b.do("see it drawn", chromedp.Evaluate[chromedp.Void]("new Promise(r => requestAnimationFrame(() => setTimeout(r)))", chromedp.EvalAwaitPromise)) // what goes by widths has been told of them
	said, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](strings.Replace(runAxe, "RULES", rules, 1), chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: axe: %v", name, err)
	}
	var wrong []string
	if err := json.Unmarshal([]byte(said), &wrong); err != nil {
		b.t.Fatalf("%s: axe: %v in %s", name, err, said)
	}
	for _, one := range wrong {
		b.t.Errorf("%s: %s", name, one)
	}
}

// looks shows the page that is open light and dark, wide and narrow, one after the other.
func (b *tab) looks(each func(look string)) {
	b.t.Helper()
	for _, width := range []int64{1280, 390} {
		b.do("resize", chromedp.EmulateViewport(width, 900))
		for _, scheme := range []string{"light", "dark"} {
			if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}); err != nil {
				b.t.Fatal(err)
			}
			each(map[int64]string{1280: "wide", 390: "narrow"}[width] + " " + scheme)
		}
	}
}

// ids are what tells one page of a kind from another.
var ids = regexp.MustCompile(`/[a-z2-7]{16}(/|$)|^/protect/[a-z]+$`)

// texts are messages, whose pages differ in what they hold alone.
var texts = regexp.MustCompile(`^/texts/[a-z_.]+$`)

// crawl visits every page that links lead to from a path, one of each kind, and calls each
// with it open.
func (b *tab) crawl(base, from string, each func(path string)) {
	b.t.Helper()
	seen := map[string]bool{}
	for next := []string{from}; len(next) > 0; next = next[1:] {
		path := next[0]
		kind := ids.ReplaceAllString(path, "/one$1")
		if texts.MatchString(path) {
			kind = "a text"
		}
		if seen[kind] {
			continue
		}
		seen[kind] = true
		b.open(base + path)
		each(path)
		var found []string
		if err := json.Unmarshal([]byte(b.eval(`JSON.stringify([...document.querySelectorAll('a[href]')].map(a => new URL(a.href)).filter(u => u.origin === location.origin && !u.pathname.startsWith('/api') && !u.pathname.endsWith('.csv')).map(u => u.pathname))`)), &found); err != nil {
			b.t.Fatal(err)
		}
		next = append(next, found...)
	}
}

// visit calls each with pages that no link leads to.
func (b *tab) visit(base string, each func(path string), paths ...string) {
	b.t.Helper()
	for _, path := range paths {
		b.open(base + path)
		each(path)
	}
}

// choose has the pages in another language from here on.
func (b *tab) choose(language string) {
	b.t.Helper()
	b.do("choose "+language, chromedp.Evaluate[chromedp.Void](`document.querySelector('form[action$="/language"] [value=`+language+`]').click()`))
	await(b.t, "the page in "+language, func() bool { return b.eval("document.documentElement.lang") == language })
}

// keyboard goes through a page with the tab key: past the navigation if one likes, to all
// that can be used, in the order of the page, and where one is can be seen.
func (b *tab) keyboard(url string) {
	b.t.Helper()
	b.open(url)
	b.eval("document.activeElement.blur()")
	b.do("from the top", chromedp.Evaluate[chromedp.Void]("window.scrollTo(0, 0); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')"))
	press := func(key string) { b.do("press "+key, chromedp.KeyEvent(key)) }
	press(kb.Tab)
	if first := b.eval("document.activeElement.className + ' ' + (document.activeElement.getBoundingClientRect().left >= 0)"); first != "skip true" {
		b.t.Errorf("%s: the first thing is not a way past the navigation, in sight: %s", url, first)
	}
	press(kb.Enter)
	if at := b.eval("document.activeElement.id"); at != "main" {
		b.t.Errorf("%s: that way leads to %q", url, at)
	}
	b.eval("window.reached = []")
	const note = `(e => { const s = getComputedStyle(e); reached.push(e);
		return s.outlineStyle === 'none' || parseFloat(s.outlineWidth) < 2 ? 'unseen: ' + e.outerHTML : 'seen'; })(document.activeElement)`
	inside := 0
	for inside < 100 {
		press(kb.Tab)
		if b.eval("document.activeElement === document.body || reached.includes(document.activeElement)") == "true" {
			break
		}
		if said := b.eval(note); said != "seen" {
			b.t.Errorf("%s: %s", url, said)
		}
		inside++
	}
	const order = `(all => {
		const missed = all.filter(e => !reached.includes(e)).map(e => e.outerHTML);
		const wrong = reached.filter((e, i) => i && !(reached[i-1].compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)).map(e => e.outerHTML);
		return missed.length || wrong.length ? 'missed ' + missed.join() + ' out of order ' + wrong.join() : 'fine';
	})([...document.querySelectorAll('main a[href], main button, main input:not([type=hidden]), main select, main summary')].filter(e => e.checkVisibility()))`
	if said := b.eval(order); said != "fine" || inside == 0 {
		b.t.Errorf("%s: with the tab key, %d things: %s", url, inside, said)
	}
}

// announces looks at what a screen reader is told of what changes by itself.
func (b *tab) announces(base string) {
	b.t.Helper()
	b.open(base + "/users")
	b.eval("(e => { e.value = 'bob'; e.dispatchEvent(new Event('input', {bubbles: true})) })(document.querySelector('#search'))")
	await(b.t, "how many were found is said", func() bool {
		return b.eval("document.querySelector('[role=status]#said').textContent") == "1 user shown."
	})
}

// fit checks the page that is open in all its looks.
func (b *tab) fit(path string) {
	b.t.Helper()
	rules := everyRule
	b.looks(func(look string) {
		b.axe(path+", "+look, rules)
		rules = lookRules
		if wide := b.eval("document.documentElement.scrollWidth > document.documentElement.clientWidth"); wide != "false" {
			b.t.Errorf("%s, %s: it has to be scrolled sideways", path, look)
		}
	})
}

// fits checks the page that is open, wide and light with every rule, narrow and dark with those of
// a look, and at twice its size, which is half the width: nothing has to be scrolled sideways.
func (b *tab) fits(name string) {
	b.t.Helper()
	for _, one := range []struct {
		look, scheme, rules string
		width               int64
	}{{"wide", "light", everyRule, 1280}, {"narrow", "dark", lookRules, 390}, {"at 200 %", "light", "", 640}} {
		b.do("resize", chromedp.EmulateViewport(one.width, 900))
		if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: one.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}); err != nil {
			b.t.Fatal(err)
		}
		if one.rules != "" {
			b.axe(name+", "+one.look, one.rules)
		}
		if wide := b.eval("document.documentElement.scrollWidth > document.documentElement.clientWidth"); wide != "false" {
			b.t.Errorf("%s, %s: it has to be scrolled sideways", name, one.look)
		}
		if moves := b.eval("[...document.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0 || getComputedStyle(e).animationName !== 'none').length"); moves != "0" {
			b.t.Errorf("%s, %s: %s things move for somebody who wants none to", name, one.look, moves)
		}
	}
}

// answered checks the pages that are the answer to a form, which no link leads to.
func (b *tab) answered(base, id string) {
	b.t.Helper()
	user := base + "/users/" + id
	for _, act := range []string{"token", "recovery", "invite"} {
		b.open(user)
		b.fill("/users/" + id + "/" + act)
		b.fits("the answer to " + act)
	}
	b.open(user)
	b.fill("/users/"+id+"/test", "application", "vpn", "password", "123456")
	b.fits("a test")
	b.open(base + "/users")
	b.eval("document.querySelector('input[name=id]').click()")
	b.fill("/users/bulk/look", "whom", "marked", "act", "tag", "word", "west")
	b.fits("many at once")
	b.open(base + "/protect/openvpn")
	b.fill("/protect/openvpn/create", "name", "office", "addresses", "192.0.2.9")
	b.fits("the guide")
	b.open(base + "/users/new")
	b.fill("/users/new/create", "login", "bob")
	b.fits("a mistake in a form")
}

// Every page is fit for those who cannot see it, or not well, or use no mouse: no rule of
// WCAG 2.2 AA that a program can check is broken.
func TestAccessible(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	s := newServer(t)
	base, check := "https://"+s.https, b.fit
	await(t, "the link for the first administrator", func() bool { return setupURL.MatchString(s.log.String()) })
	link := setupURL.FindString(s.log.String())
	b.open(base + "/sign-in")
	check("/sign-in")
	b.open(link)
	check("/setup")
	b.setUp(link)
	check("/setup, the code")
	b.fill("/setup/code", "code", b.device().now())
	b.reads("alice · owner")
	s.user("bob", "bobs password")
	s.application("vpn", "127.0.0.1/32", "--first-factor", "none")
	s.cliIn("what callbacks are signed with", "application", "add", "shop", "--kind", "api", "--callback-url", "https://shop.corp.example/done", "--secret-stdin")
	s.cliIn("a token", "gateway", "add", "provider", "--kind", "sms", "--profile", "json", "--address", "https://sms.example/send", "--password-stdin", "--from", "Corp", "--country", "DE")
	s.cliIn("a password to bind with", "directory", "add", "corp", "--kind", "ldap", "--url", "ldaps://dc1.corp.example", "--bind-dn", "cn=reader", "--bind-password-stdin", "--base-dn", "dc=corp")
	s.cli("policy", "add", "night", "--hours", "mon-sun 22:00-06:00", "--zone", "Europe/Berlin", "--access", "deny")
	s.cli("policy", "set", "passkey_site=localhost")
	pages := visitsOf(console.Pages(false), "GET /live", "GET /offer", "GET /attempts.csv", "GET /reports", "GET /reports/{name}/{file}", "GET /users/bulk",
		"GET /promotion/disaster") // TestDisasterFromThePage
	b.keyboard(base + "/users/new")
	b.announces(base)
	b.choose("de") // longer words
	look := func(path string) {
		b.fits(path)
		pages.see(path)
		if lang := b.eval("document.documentElement.lang"); lang != "de" {
			t.Errorf("%s is in %q", path, lang)
		}
	}
	b.crawl(base, "/", look)
	b.visit(base, look, "/promotion", "/account/passkey", "/passes") // no link leads there now
	b.choose("en")
	var bob struct{ ID string }
	s.json(&bob, "user", "show", "bob")
	b.answered(base, bob.ID)
	b.open(base + "/attempts") // the test of a sign-in is there now
	b.open(b.eval("document.querySelector('tbody a[href^=\"/attempts/\"]').href"))
	b.fits("a sign-in")
	pages.see(b.eval("location.pathname"))
	pages.done(t)
	b.open(base + "/nowhere")
	check("/nowhere")
	b.open(base)
	s.kill9()
	b.reads("What is below may be out of date.")
	if said := b.eval("document.querySelector('[role=status]#outdated').textContent"); said == "" {
		t.Error("nobody is told that the page is out of date")
	}
}

// The management portal is as fit as the console.
func TestAccessibleCoordinator(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	c := newCoordinator(t)
	foundAt(t, c, "acme", 1)
	b.owner(c)
	base := b.eval("location.origin")
	b.open(base + "/found")
	b.fill("/found/create", "group", "umbrella")
	b.fits("a founding code")
	b.choose("de")
	pages := visitsOf(console.Pages(true), "GET /attempts.csv", "GET /reports", "GET /reports/{name}", "GET /reports/{name}/{file}", "GET /users/bulk")
	look := func(path string) {
		b.fits("the coordinator's " + path)
		pages.see(path)
		if lang := b.eval("document.documentElement.lang"); lang != "de" {
			t.Errorf("%s is in %q", path, lang)
		}
	}
	b.do("somebody signs in", chromedp.Evaluate[chromedp.Void](`fetch('/sign-in', {method: 'POST', credentials: 'omit', body: new URLSearchParams({login: 'alice', password: 'a guess'})}).then(() => {})`, chromedp.EvalAwaitPromise))
	b.crawl(base, "/", look) // the sign-in too
	b.visit(base, look, "/groups", "/account/passkey")
	pages.done(t)
	b.keyboard(base + "/found")
}
