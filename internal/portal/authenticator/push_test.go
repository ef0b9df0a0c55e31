package authenticator

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"

	"countersign/internal/webpush"
	"countersign/internal/webpush/webpushtest"
)

// fakePush stands for the push service of the browser's maker, which no test reaches: it subscribes
// at the test's own. Everything else is Chromium's.
const fakePush = `{
	let subscription = null;
	PushManager.prototype.getSubscription = async () => subscription;
	PushManager.prototype.subscribe = async (options) => {
		if (!options.userVisibleOnly || Notification.permission !== "granted") throw new DOMException("no", "NotAllowedError");
		const key = Uint8Array.from(atob(options.applicationServerKey.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
		return subscription = { options: { applicationServerKey: key.buffer }, unsubscribe: async () => { subscription = null; return true; },
			toJSON: () => ({ endpoint: %q, keys: { p256dh: %q, auth: %q } }) };
	};
}`

// From the server through a push service to the service worker, which shows a notification while
// nobody looks; what is sent is encrypted for this browser alone, and says nothing but an id.
func TestAppIsPushed(t *testing.T) {
	phone := webpushtest.NewBrowser(t)
	key, err := webpush.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	b := newTab(t, fmt.Sprintf(fakePush, phone.Endpoint, phone.P256DH, phone.Auth))
	if b.vapid, err = webpush.PublicKey(&key.PublicKey); err != nil {
		t.Fatal(err)
	}
	registered := make(chan serviceworker.RegistrationID, 1)
	go func() {
		for e, err := range chromedp.Events(b.ctx, serviceworker.WorkerRegistrationUpdated) {
			if err != nil {
				return
			}
			for _, r := range e.Registrations {
				select {
				case registered <- r.RegistrationID:
				default:
				}
			}
		}
	}()
	go func() {
		for e, err := range chromedp.Events(b.ctx, serviceworker.WorkerErrorReported) {
			if err != nil {
				return
			}
			t.Errorf("the service worker: %+v", e.ErrorMessage)
		}
	}()
	if _, err := chromedp.Call(b.ctx, serviceworker.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	b.activated()
	b.await("a subscription", func() bool {
		b.server.mu.Lock()
		defer b.server.mu.Unlock()
		return len(b.places) == 1
	})
	if got, want := b.places[0], (place{phone.Endpoint, phone.P256DH, phone.Auth}); got != want {
		t.Fatalf("subscribed at %+v, want %+v", got, want)
	}
	to, err := webpush.Parse(b.places[0].Endpoint, b.places[0].P256DH, b.places[0].Auth)
	if err != nil {
		t.Fatal(err)
	}
	sender := webpush.New(webpush.Options{Key: func(context.Context) (*ecdsa.PrivateKey, error) { return key, nil }, Subject: func() string { return b.base }, Private: true, Roots: phone.Roots, Now: time.Now})
	defer sender.Close()
	if err := sender.Send(t.Context(), to, []byte(`{"id":"abc234"}`), time.Minute, "abc234"); err != nil {
		t.Fatal(err)
	}
	sent := phone.Got()[0]
	if sent.Payload != `{"id":"abc234"}` || sent.Key != b.vapid {
		t.Fatalf("sent %+v", sent)
	}
	b.await("that the service worker runs", func() bool { return b.eval("(await navigator.serviceWorker.ready).active.state") == "activated" })
	push := func() {
		t.Helper()
		select {
		case id := <-registered:
			if _, err := chromedp.Call(b.ctx, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{Origin: b.base, RegistrationID: id, Data: sent.Payload}); err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("the browser tells of no registration")
		}
	}
	b.do("look elsewhere", chromedp.Navigate(b.base+Base+"assets/none")) // the app is closed
	notes := func() string {
		return b.eval("JSON.stringify((await (await navigator.serviceWorker.getRegistration('" + Base + "')).getNotifications()).map(n => [n.tag, n.title, n.body]))")
	}
	if got := notes(); got != "[]" { // it also has Chromium read its list, which it does beside what is shown meanwhile
		t.Fatalf("notifications %s", got)
	}
	push()
	b.await("a notification", func() bool { return strings.Contains(notes(), "abc234") })
	if got := notes(); got != `[["abc234","Is that you?","Somebody is signing in as you. Open to answer."]]` {
		t.Errorf("notifications %s", got)
	}
	b.ask(request{ID: "abc234", Application: "vpn", Number: true})
	b.open("")
	b.reads("vpn")
	b.fill("article input", "42")
	b.click("article form button")
	b.reads("Approved: vpn")
	b.await("that the notification is gone", func() bool { return notes() == "[]" })
	b.noPolicyBroken()
}
