package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	cdp "github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"countersign/internal/mfatest"
)

// tab is one tab of a browser with cookies of its own.
type tab struct {
	t   testing.TB
	ctx context.Context

	mu   sync.Mutex
	said []string // by the browser's console: what a policy refused, what a script tripped over
}

// newTab starts Chromium and opens a tab. It takes any certificate: those of our servers are
// of an authority that no browser knows.
func newTab(t testing.TB) *tab {
	t.Helper()
	path := mfatest.Need(t, "chromium")[0]
	var out log
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.IgnoreCertErrors, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.CombinedOutput(&out), chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	b := &tab{t: t}
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(allocator)
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Logf("the browser said %q", b.console())
		}
	})
	if err := chromedp.Do(b.ctx); err != nil { // the first one starts the browser, which lives as long as its context
		t.Fatalf("chromium: %v\n%s", err, tail(out.String(), 4000))
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
	return b
}

// console is what the browser has said so far.
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

// open goes to a page, as soon as somebody listens there: a server that joins its group again
// opens its front-ends again.
func (b *tab) open(url string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	var err error
	await(b.t, "a listener at "+url, func() bool {
		err = chromedp.Do(ctx, chromedp.Navigate(url))
		return err == nil || !strings.Contains(err.Error(), "ERR_CONNECTION_REFUSED")
	})
	if err != nil {
		b.t.Fatalf("open %s: %v\n%s", url, err, b.text())
	}
}

// eval returns the value of an expression in the page, "" if it cannot be had, as while
// another page is coming.
func (b *tab) eval(expression string) string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		return ""
	}
	return v
}

// text is what a person reads.
func (b *tab) text() string { return b.eval("document.body ? document.body.innerText : ''") }

// reads waits until the page holds a text, whoever brings it there.
func (b *tab) reads(text string) {
	b.t.Helper()
	end := time.Now().Add(patience)
	for !strings.Contains(b.text(), text) {
		if time.Now().After(end) {
			b.t.Fatalf("the page never reads %q:\n%s\n%s", text, b.eval("location.href"), b.text())
		}
		time.Sleep(20 * time.Millisecond) // the page tells nobody that it has changed
	}
}

// fill types into the fields of the form that has them all, names and values in turn, and
// sends it by its first button. It waits until the page that the form was on is gone.
func (b *tab) fill(action string, fields ...string) {
	b.t.Helper()
	form := fmt.Sprintf("form[action=%q]", action)
	b.do("wait for "+form, chromedp.WaitReady(form))
	for i := 0; i < len(fields); i += 2 {
		name, value := form+fmt.Sprintf(" [name=%q]", fields[i]), fields[i+1]
		quoted, _ := json.Marshal(value)
		if b.eval("document.querySelector('"+name+"').tagName") == "SELECT" {
			b.eval("document.querySelector('" + name + "').value = " + string(quoted))
			continue
		}
		// As typed, at once: the value, and the event that typing makes.
		b.eval("(e => { e.focus(); e.value = " + string(quoted) + "; e.dispatchEvent(new Event('input', {bubbles: true})) })(document.querySelector('" + name + "'))")
	}
	b.eval("window.stillHere = true")
	b.do("send "+form, chromedp.Evaluate[chromedp.Void]("(f => { f.closest('details')?.setAttribute('open', ''); f.querySelector('button').click() })(document.querySelector('"+form+"'))"))
	await(b.t, "the answer to "+form, func() bool {
		return b.eval("document.readyState === 'complete' && window.stillHere !== true") == "true"
	})
}

// cookies returns the value of a cookie of the page, and whether a script may read it.
func (b *tab) cookie(name string) (value string, httpOnly bool) {
	b.t.Helper()
	all, err := chromedp.Call(b.ctx, cdp.GetCookies, cdp.GetCookiesParams{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range all.Cookies {
		if c.Name == name {
			return c.Value, c.HTTPOnly
		}
	}
	return "", false
}

// accessible lists what on a page a screen reader or a keyboard would trip over: fields and
// buttons without a name, pictures without a text, a page without its one heading or its
// language, ids that are there twice; "fine" if there is nothing.
const accessible = `(() => {
	const wrong = [];
	const named = e => e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim() || e.type === 'hidden';
	for (const e of document.querySelectorAll('input, select, textarea, button, a[href]'))
		if (!named(e) && !e.querySelector('img[alt]')) wrong.push('no name: ' + e.outerHTML);
	for (const e of document.querySelectorAll('img:not([alt])')) wrong.push('no text: ' + e.outerHTML);
	if (document.querySelectorAll('h1').length !== 1) wrong.push(document.querySelectorAll('h1').length + ' h1');
	if (!document.documentElement.lang || !document.title) wrong.push('no language or title');
	const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
	for (const id of ids.filter((id, i) => ids.indexOf(id) !== i)) wrong.push('id twice: ' + id);
	return wrong.join('\n') || 'fine';
})()`

// accessible checks the page that is open.
func (b *tab) accessible(name string) {
	b.t.Helper()
	if wrong := b.eval(accessible); wrong != "fine" {
		b.t.Errorf("%s: %s", name, wrong)
	}
}
