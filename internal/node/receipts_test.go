package node

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
)

// telling is an HTTP provider that has been given an address for each message.
type telling struct {
	mu    sync.Mutex
	at    []string // paths of the addresses
	texts []string
}

func (p *telling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var got struct{ Text, Callback string }
	b, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(b, &got)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.texts = append(p.at, strings.TrimPrefix(got.Callback, "https://mfa.corp.example/outside")), append(p.texts, got.Text)
	_, _ = io.WriteString(w, `{"id":"theirs"}`)
}

// last is the address and the code of the last message.
func (p *telling) last() (path, code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[len(p.at)-1], code6.FindString(p.texts[len(p.texts)-1])
}

// What a provider sends to the address of a message is what a receipt of SMPP is: the same code goes by
// the next gateway, and an attempt without one ends in that reason.
func TestReceiptsOverHTTP(t *testing.T) {
	t.Parallel()
	o := options(folder(t))
	must(t, Init(t.Context(), o, "corp"))
	s := &server{small: true, work: 10}
	run := start(t, o, func(ctx context.Context, o Options) error {
		s.Options = o
		return s.run(ctx, nil)
	})
	ctx := t.Context()
	x := newTexting(t, ctx, s)
	var p telling
	web := httptest.NewServer(&p)
	t.Cleanup(web.Close)
	smsc := mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "DELIVRD"})
	first := gatewayAt("first", 1, mfa.GatewaySMS, mfa.GatewayHTTP, web.URL)
	profile, private, outside := "json", true, "https://mfa.corp.example/outside/"
	first.Profile, first.PrivateAddresses, first.ReceiptsURL, first.Countries = &profile, &private, &outside, &[]string{"DE"}
	_, err := s.admin.AddGateway(ctx, "test", first)
	must(t, err)
	b := newBrowser(t, run.at.HTTPS)
	tell := func(path, body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.at+path, strings.NewReader(body))
		must(t, err)
		r.Header.Set("Content-Type", "application/json")
		return b.do(r)
	}

	d := x.begin()
	path, code := p.last()
	if status := tell(path, `{"status":"delivered"}`); status != http.StatusNoContent {
		t.Fatalf("%s: %d", path, status)
	}
	x.until("it is counted", func() bool { return x.health("first").Delivered == 1 })
	if status := tell(path+"x", `{"status":"failed"}`); status != http.StatusNotFound {
		t.Errorf("another address: %d", status)
	}
	if d = x.answer(d, code); d.Verdict != mfa.Accept {
		t.Errorf("the code: %s, %s", d.Verdict, d.Reason)
	}

	// It is lost, and there is no other gateway.
	d = x.begin()
	path, _ = p.last()
	tell(path, `{"status":"undelivered","error":"30003"}`)
	x.until("it is known to be lost", func() bool { return x.fate(d) == mfa.MessageUndelivered })
	if d = x.answer(d, ""); d.Reason != mfa.MessageUndelivered {
		t.Errorf("lost, and no answer: %s, %s", d.Verdict, d.Reason)
	}

	// It is lost, and the same code comes by another one.
	x.gateway("second", 2, smsc)
	d = x.begin()
	path, code = p.last()
	tell(path, `{"status":"failed"}`)
	if again := codeOf(t, smsc, 1); again != code {
		t.Errorf("sent again: %s, was %s", again, code)
	}
	if d = x.answer(d, code); d.Verdict != mfa.Accept {
		t.Errorf("the code by the second: %s, %s", d.Verdict, d.Reason)
	}
}

// Where a provider tells what becomes of messages has to be an address of ours, and the provider has to
// be asked for it.
func TestReceiptsURLIsChecked(t *testing.T) {
	t.Parallel()
	o := options(folder(t))
	must(t, Init(t.Context(), o, "corp"))
	inside(t, o, func(ctx context.Context, s *server) {
		for at, bad := range map[string]string{"http://mfa.corp.example": "https://HOST", "mfa.corp.example": "https://HOST", "https://a:b@mfa.corp.example": "https://HOST",
			"https://mfa.corp.example?x=1": "https://HOST", "https://mfa.corp.example": ""} {
			for profile, missing := range map[string]string{"twilio": "", "plivo": "{callback}"} {
				want := bad
				if want == "" {
					want = missing
				}
				g := gatewayAt("g", 1, mfa.GatewaySMS, mfa.GatewayHTTP, "")
				g.Address, g.Profile, g.ReceiptsURL, g.Countries = nil, &profile, &at, &[]string{"DE"}
				_, err := s.admin.AddGateway(ctx, "test", g)
				if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("%s at %s: %v, want %q", profile, at, err, want)
				}
			}
		}
		shown, err := s.admin.Gateway(ctx, "g")
		if must(t, err); shown.ReceiptsURL != "https://mfa.corp.example" || shown.HTTP.Receipt == nil || shown.HTTP.Receipt.State != "MessageStatus" {
			t.Errorf("shown: %+v", shown)
		}
		again := *shown.HTTP // as it was shown, and given back
		if shown, err = s.admin.SetGateway(ctx, "test", "g", admin.GatewayChange{HTTP: &again}); err != nil || shown.HTTP.Receipt == nil {
			t.Errorf("given back: %+v, %v", shown, err)
		}
		mail, none := gatewayAt("m", 1, mfa.GatewayMail, mfa.GatewaySMTP, "127.0.0.1:25"), "https://mfa.corp.example"
		mail.ReceiptsURL = &none
		if _, err := s.admin.AddGateway(ctx, "test", mail); err == nil {
			t.Error("a mail gateway has them")
		}
	})
}
