package authenticator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"countersign/internal/mfatest"
	"countersign/internal/web"
)

// patience is how long something may take on a busy machine.
const patience = 60 * time.Second

// tab is the app in Chromium, and the server that it asks.
type tab struct {
	*server
	ctx       context.Context
	base      string
	closeSite func() // nobody listens there any more

	mu   sync.Mutex
	said []string // by the browser's console
}

// newTab starts a server and a browser that may notify. before is run in each page before its own
// scripts.
func newTab(t *testing.T, before string) *tab {
	t.Helper()
	path := mfatest.Need(t, "chromium")[0]
	app, err := New("acme")
	if err != nil {
		t.Fatal(err)
	}
	b := &tab{server: newServer(t)}
	mux := http.NewServeMux()
	app.Routes(mux)
	b.routes(mux)
	s := httptest.NewTLSServer(web.Guard(mux, slog.New(slog.DiscardHandler)))
	t.Cleanup(s.Close)
	b.base = s.URL
	b.closeSite = func() {
		_ = s.Listener.Close()
		s.CloseClientConnections()
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.IgnoreCertErrors, chromedp.DisableGPU, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en"),
		chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true), chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(allocator)
	t.Cleanup(func() {
		b.with(func() {}) // calls that wait end
		cancel()
		if t.Failed() {
			t.Logf("the browser said %q", b.console())
		}
	})
	if err := chromedp.Do(b.ctx); err != nil {
		t.Fatal(err)
	}
	go func() {
		for m, err := range chromedp.Console(b.ctx) {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.said = append(b.said, m.String())
			b.mu.Unlock()
		}
	}()
	if _, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, browser.SetPermissionParams{Permission: &browser.PermissionDescriptor{Name: "notifications"}, Setting: browser.PermissionSettingGranted, Origin: b.base}); err != nil {
		t.Fatal(err)
	}
	if before != "" {
		if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: before}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *tab) console() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.said...)
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v\n%s", what, err, b.text())
	}
}

// open opens the app, and waits until it has begun.
func (b *tab) open(fragment string) {
	b.t.Helper()
	b.do("leave", chromedp.Navigate("about:blank"))
	b.do("open", chromedp.Navigate(b.base+Base+fragment))
	b.await("the app", func() bool { return b.eval("document.body.dataset.ready") == "yes" })
}

// eval returns the value of an expression, awaited; "" if it cannot be had.
func (b *tab) eval(expression string) string {
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => String("+expression+"))()", chromedp.EvalAwaitPromise))
	if err != nil {
		return ""
	}
	return v
}

func (b *tab) text() string { return b.eval("document.body ? document.body.innerText : ''") }

func (b *tab) await(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) { // the page tells nobody that it has changed
		if time.Now().After(end) {
			b.t.Fatalf("%s never came:\n%s", what, b.text())
		}
	}
}

func (b *tab) reads(text string) {
	b.t.Helper()
	b.await(fmt.Sprintf("%q", text), func() bool { return strings.Contains(b.text(), text) })
}

// type sets the value of a field.
func (b *tab) fill(selector, value string) {
	b.t.Helper()
	v, _ := json.Marshal(value)
	if got := b.eval(fmt.Sprintf("(e => { e.value = %s; return e.value })(document.querySelector(%q))", v, selector)); got != value {
		b.t.Fatalf("%s holds %q", selector, got)
	}
}

func (b *tab) click(selector string) {
	b.t.Helper()
	if b.eval(fmt.Sprintf("(e => { e.closest('details')?.setAttribute('open', ''); e.click(); return 'did' })(document.querySelector(%q))", selector)) != "did" {
		b.t.Fatalf("no %s in\n%s", selector, b.text())
	}
}

// activated is the app with one device that has been activated by a link.
func (b *tab) activated() {
	b.t.Helper()
	b.with(func() { b.codes["q4cr-94qx"] = true })
	b.open("#q4cr-94qx")
	b.fill("#name", "Ada's phone")
	b.click("[data-do=activate] button")
	b.reads("This device approves the sign-ins of ada1")
}

func (b *tab) noPolicyBroken() {
	b.t.Helper()
	for _, line := range b.console() {
		if strings.Contains(line, "Content Security Policy") || strings.Contains(line, "Uncaught") {
			b.t.Errorf("the browser says %s", line)
		}
	}
}

// From a link with a code to a request that is approved, one that is denied, and one that gets
// the wrong number.
func TestAppAnswers(t *testing.T) {
	b := newTab(t, "")
	b.activated()
	if at := b.eval("location.href"); at != b.base+Base || b.names[0] != "Ada's phone" {
		t.Errorf("the code stays in %s, or the name is %q", at, b.names)
	}
	if b.eval("(await store.all('accounts'))[0].key.extractable") != "false" || b.eval("await crypto.subtle.exportKey('jwk', (await store.all('accounts'))[0].key).catch(e => e.name)") != "InvalidAccessError" {
		t.Error("a script reads the key")
	}
	b.reads("Nothing waits for your answer.")

	b.ask(request{ID: "one", Application: "<b>vpn", Source: "203.0.113.7", Place: "PT", Text: "Pay 100 € to <i>Bob</i>", Number: true})
	b.reads("<b>vpn")
	for _, want := range []string{"203.0.113.7", "Portugal", "Pay 100 € to <i>Bob</i>", "ada1", "s left to answer"} {
		b.reads(want)
	}
	if got := b.eval("document.title"); !strings.HasPrefix(got, "(1) ") {
		t.Errorf("the title is %q", got)
	}
	if b.eval("document.querySelector('article input').checkVisibility()") != "true" || strings.Contains(b.text(), "Nothing waits") {
		t.Errorf("no place for the number in\n%s", b.text())
	}
	if strings.Contains(b.text(), "42") {
		t.Error("the number is shown")
	}
	b.fill("article input", "4")
	b.click("article form button")
	if n := len(b.answered()); n != 0 {
		t.Errorf("one digit is sent")
	}
	b.fill("article input", "42")
	b.click("article form button")
	b.reads("Approved: <b>vpn lets you in.")

	b.ask(request{ID: "two", Application: "mail", Source: "203.0.113.7", Number: true})
	b.reads("mail asks") // and no place, which is not known
	if strings.Contains(b.text(), "Place") {
		t.Error("there is a place")
	}
	b.click("article [data-do=deny]")
	b.reads("Denied: mail lets nobody in.")

	b.ask(request{ID: "three", Application: "ssh", Source: "203.0.113.7", Number: true})
	b.reads("ssh")
	b.fill("article input", "41")
	b.click("article form button")
	b.reads("That was not the number")

	b.ask(request{ID: "four", Application: "wiki", Source: "203.0.113.7"})
	b.reads("wiki")
	b.click("article form button")
	b.reads("Approved: wiki")

	b.ask(request{ID: "five", Application: "shop", Source: "198.51.100.9", Number: true})
	b.reads("shop")
	b.click("article [data-do=fraud]")
	b.reads("your administrators are told")

	b.with(func() { b.outcome = "expired" })
	b.ask(request{ID: "six", Application: "tardy"})
	b.reads("tardy asks")
	b.click("article form button")
	b.reads("Too late: the request of tardy")

	want := []answer{{"device0", "one", "nonce of one", "approve", "42"}, {"device0", "two", "nonce of two", "deny", ""}, {"device0", "three", "nonce of three", "approve", "41"},
		{"device0", "four", "nonce of four", "approve", ""}, {"device0", "five", "nonce of five", "fraud", ""}, {"device0", "six", "nonce of six", "approve", ""}}
	if got := b.answered(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("answers %v\nwant %v", got, want)
	}

	b.ask(request{ID: "seven", Application: "gone"})
	b.reads("gone")
	b.with(func() { b.pending = nil }) // answered elsewhere
	b.await("the end of it", func() bool { return b.eval("shown.size") == "0" })
	b.noPolicyBroken()
}

// Two accounts in one app; what it says of each that goes.
func TestAppAccounts(t *testing.T) {
	b := newTab(t, "")
	b.activated()
	b.click("#add summary")
	for given, want := range map[string]string{"wrong": "The code was not accepted", b.base + Base: "There is no code in that", "https://other.example/authenticator/#x": "authenticator at other.example"} {
		b.fill("#code", given)
		b.click("[data-do=activate] button")
		b.reads(want)
	}
	b.with(func() { b.codes["second"] = true })
	b.fill("#code", " "+b.base+Base+"#second ")
	b.click("[data-do=activate] button")
	b.reads("sign-ins of ada2")
	b.open("")
	b.reads("ada1")
	b.reads("ada2")

	b.with(func() { delete(b.devices, "device0") })
	b.reads("This device is no device of ada1 any more")
	for kind, want := range map[string]string{"urn:countersign:last": "the last second factor of ada2", "about:blank": "are removed by the help desk"} {
		b.with(func() { b.stays = kind })
		b.click("#account-device1 [data-do=remove]")
		b.reads(want)
	}
	b.with(func() { b.stays = "" })
	b.click("#account-device1 [data-do=remove]")
	b.reads("ada2 is removed from this device.")
	if len(b.removed) != 1 || b.removed[0] != "device1" || b.eval("(await store.all('accounts')).length") != "0" {
		t.Errorf("removed %v", b.removed)
	}
	b.noPolicyBroken()
}

// The same sign-in asks anew, under its own id: what is on the page then is what counts.
func TestAppAskedAnew(t *testing.T) {
	b := newTab(t, "")
	b.activated()
	b.ask(request{ID: "one", Application: "vpn", Source: "198.51.100.7"})
	b.reads("198.51.100.7")
	b.with(func() {
		again := b.pending[0]
		again.Nonce, again.Source = "another nonce", "203.0.113.7"
		b.pending = []request{again}
	})
	b.eval("look()")
	b.reads("203.0.113.7")
	b.click("article [data-do=deny]")
	b.await("the answer", func() bool { return len(b.answered()) == 1 })
	if got := b.answered()[0]; got.Nonce != "another nonce" {
		t.Errorf("answered %+v", got)
	}
	b.noPolicyBroken()
}

// A PIN is typed where one is wanted, and goes beside what is signed, with that answer alone.
func TestAppPIN(t *testing.T) {
	b := newTab(t, "")
	b.activated()
	b.ask(request{ID: "one", Application: "vpn", Source: "198.51.100.7", Number: true, PIN: true})
	b.reads("Your PIN")
	b.fill("article [name=number]", "42")
	b.click("article form button")
	if n := len(b.answered()); n != 0 {
		t.Error("sent without the PIN")
	}
	b.fill("article [name=pin]", "1379")
	b.click("article form button")
	b.reads("Approved: vpn")
	b.ask(request{ID: "two", Application: "mail", Source: "198.51.100.7", PIN: true})
	b.reads("mail asks")
	if b.eval("document.querySelector('article [name=number]') === null") != "true" {
		t.Error("there is a place for a number that nobody was shown")
	}
	b.fill("article [name=pin]", "1378")
	b.click("article form button")
	b.reads("The PIN was wrong, so mail refuses the sign-in.")
	b.ask(request{ID: "three", Application: "wiki", Source: "198.51.100.7"})
	b.reads("wiki asks")
	b.click("article form button")
	b.reads("Approved: wiki")
	b.with(func() {
		if b.pin != "" {
			t.Error("a PIN goes along that nobody has asked for")
		}
	})
	b.noPolicyBroken()
}

// What goes wrong is said in words: no server, a clock that is off, keys that are lost.
func TestAppTrouble(t *testing.T) {
	b := newTab(t, "")
	b.activated()
	b.with(func() { b.ahead = 5 * time.Minute })
	b.open("")
	b.reads("The clock of this device is slow by 300 s")
	b.ask(request{ID: "one", Application: "vpn"}) // and it serves all the same
	b.reads("vpn")
	b.click("article form button")
	b.reads("Approved")
	b.with(func() { b.ahead = 0; b.down = true })
	b.reads("The server cannot be reached")
	b.with(func() { b.down = false })
	b.eval("look()")
	b.await("that it is there again", func() bool {
		return !strings.Contains(b.text(), "The server cannot be reached") && !strings.Contains(b.text(), "is slow")
	})

	b.eval("await (async () => { const [a] = await store.all('accounts'); const k = await crypto.subtle.generateKey({name: 'HMAC', hash: 'SHA-256'}, false, ['sign']); await store.put('accounts', {...a, key: k}) })()")
	b.open("")
	b.reads("cannot be used any more")
	b.eval("await (async () => { (await store.open()).close(); await new Promise(d => { const q = indexedDB.deleteDatabase('countersign'); q.onsuccess = q.onerror = q.onblocked = d }) })()")
	b.open("")
	b.reads("has lost the keys of this device (ada1)")
	b.noPolicyBroken()
}

// Codes by the clock are right, and are shown without a server, by the app that the service
// worker keeps.
func TestAppOffline(t *testing.T) {
	b := newTab(t, fakeScanner)
	b.open("")
	for _, c := range []struct {
		link string
		at   int64 // RFC 6238 appendix B
		want string
	}{
		{"otpauth://totp/x?digits=8&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59, "94287082"},
		{"otpauth://totp/x?digits=8&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 20000000000, "65353130"},
		{"otpauth://totp/x?digits=8&algorithm=SHA256&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA", 1111111109, "68084774"},
		{"otpauth://totp/x?digits=8&algorithm=SHA512&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA", 1234567890, "93441116"},
		{"gezd gnbv-gy3tqojqgezdgnbvgy3tqojq", 59, "287082"},
	} {
		if got := b.eval(fmt.Sprintf("await totp.code(await totp.parse(%q), %d)", c.link, c.at*1000)); got != c.want {
			t.Errorf("%s at %d: %q, want %s", c.link, c.at, got, c.want)
		}
	}
	for link, want := range map[string]string{"otpauth://hotp/x?secret=GEZDGNBVGY3TQOJQ&counter=1": "codes.bad.kind", "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ&digits=10": "codes.bad.kind",
		"otpauth://totp/x": "codes.bad.secret", "1111111111": "codes.bad.secret", "ABC": "codes.bad.secret", "otpauth://totp/%zz?secret=GEZDGNBVGY3TQOJQ": "codes.bad.link"} {
		if got := b.eval(fmt.Sprintf("await totp.parse(%q).then(JSON.stringify, e => e.message)", link)); got != want {
			t.Errorf("%s: %q, want %s", link, got, want)
		}
	}
	b.click("#add-code summary")
	b.fill("#secret", "otpauth://totp/Example:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example")
	b.click("[data-do=add-code] button")
	b.reads("Example · ada@example.com")
	b.eval("window.scans = 'otpauth://totp/Scanned?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'")
	b.click("#add-code [data-scan]")
	b.reads("Scanned")
	b.eval("window.scans = location.href + '#from-a-scan'")
	b.click("#add [data-scan]")
	b.await("what was scanned", func() bool { return strings.HasSuffix(b.eval("$('code').value"), "#from-a-scan") })
	if b.eval("await crypto.subtle.exportKey('raw', (await store.all('codes'))[0].key).catch(e => e.name)") != "InvalidAccessError" {
		t.Error("a script reads the secret")
	}
	b.await("the service worker", func() bool {
		return b.eval("(await navigator.serviceWorker.ready).active.state") == "activated" && b.eval("navigator.serviceWorker.controller !== null") == "true"
	})
	said, err := chromedp.Call(b.ctx, page.GetAppManifest, page.GetAppManifestParams{})
	if err != nil || len(said.Errors) > 0 || said.Data == "" {
		t.Errorf("the manifest: %v, %+v", err, said.Errors)
	}
	wrong, err := chromedp.Call(b.ctx, page.GetInstallabilityErrors, cdp.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range wrong.InstallabilityErrors {
		t.Errorf("the app cannot be installed: %s", e.ErrorID)
	}
	b.closeSite()
	b.open("")
	b.reads("Example · ada@example.com")
	now := time.Now()
	code := strings.ReplaceAll(b.eval("document.querySelector('.digits').textContent"), " ", "")
	if want := b.eval(fmt.Sprintf("await totp.code((await store.all('codes'))[0], %d)", now.UnixMilli())); len(code) != 6 || code != want && time.Now().Unix()/30 == now.Unix()/30 {
		t.Errorf("shows %q, want %s", code, want)
	}
	b.click("#codes [data-do=remove]")
	b.reads("Removed.")
	b.noPolicyBroken()
}

// fakeScanner sees what the test has put into window.scans.
const fakeScanner = `window.BarcodeDetector = class {
	static async getSupportedFormats() { return ["qr_code"]; }
	async detect() { return window.scans ? [{ rawValue: window.scans }] : []; }
};`

// The app is fit for those who cannot see it, or not well: every state of it, in German, whose
// words are longer.
func TestAppAccessible(t *testing.T) {
	axe, err := os.ReadFile("../../../e2e/testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	b := newTab(t, fakeScanner)
	check := func(state string) {
		t.Helper()
		b.do("load axe", chromedp.Evaluate[chromedp.Void](string(axe)+";undefined"))
		for _, width := range []int64{1280, 360} {
			b.do("resize", chromedp.EmulateViewport(width, 800))
			for _, scheme := range []string{"light", "dark"} {
				if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}); err != nil {
					t.Fatal(err)
				}
				b.eval("new Promise(r => requestAnimationFrame(() => setTimeout(r)))")
				said := b.eval(`JSON.stringify((await axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}, rules: {'target-size': {enabled: true}}, resultTypes: ['violations']})).violations.map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 200)).join(' | ')))`)
				if said != "[]" {
					t.Errorf("%s, %d, %s: %s", state, width, scheme, said)
				}
				if b.eval("document.documentElement.scrollWidth > document.documentElement.clientWidth") != "false" {
					t.Errorf("%s, %d: it has to be scrolled sideways", state, width)
				}
				b.picture(fmt.Sprintf("%s-%d-%s", state, width, scheme))
			}
		}
	}
	b.open("")
	b.do("choose German", chromedp.Evaluate[chromedp.Void]("document.querySelector('[value=de]').click()"))
	b.await("German", func() bool { return b.eval("document.documentElement.lang + document.body.dataset.ready") == "deyes" })
	check("empty")
	b.with(func() { b.codes["q4cr-94qx"] = true })
	b.open("#q4cr-94qx")
	b.click("[data-do=activate] button")
	b.reads("Dieses Gerät bestätigt")
	b.click("#add-code summary")
	b.fill("#secret", "otpauth://totp/Example:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example")
	b.click("[data-do=add-code] button")
	b.reads("Example · ada@example.com")
	b.ask(request{ID: "one", Application: "VPN of the head office", Source: "203.0.113.7", Place: "PT", Text: "Pay 100 € to Bob", Number: true})
	b.reads("VPN of the head office")
	check("request")
	b.eval("document.querySelectorAll('details').forEach(e => e.open = true)")
	check("open")
	if at := b.eval("document.querySelector('article input').labels[0].textContent"); !strings.Contains(at, "Zahl") {
		t.Errorf("the field is called %q", at)
	}
	b.noPolicyBroken()
}

// picture keeps one of the page in the folder that SCREENSHOTS names, if it names one.
func (b *tab) picture(name string) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/authenticator-"+name+".png", shot, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
