package webpush

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/internal/internet"
	"countersign/internal/webpush/webpushtest"
)

func b64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 8291 appendix A.
func TestEncryptionVector(t *testing.T) {
	own, err := ecdh.P256().NewPrivateKey(b64(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse("https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV", "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "BTBZMqHH6r4Tts7J_aSIgg")
	if err != nil {
		t.Fatal(err)
	}
	const text = "When I grow up, I want to be a watermelon"
	got, err := seal(s, []byte(text), 0, own, b64(t, "DGv6ra1nlYgDCS1FRnbzlw"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if base64.RawURLEncoding.EncodeToString(got) != want {
		t.Errorf("got %s", base64.RawURLEncoding.EncodeToString(got))
	}
	browser, err := ecdh.P256().NewPrivateKey(b64(t, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
	if err != nil {
		t.Fatal(err)
	}
	if read, err := webpushtest.Decrypt(b64(t, want), browser, s.Auth); read != text {
		t.Errorf("the vector reads %q, %v", read, err)
	}
}

// RFC 8292 section 2.4: what the tests take for a good header is one.
func TestAuthorizationVector(t *testing.T) {
	claims, _, err := webpushtest.Authorization("vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA, " +
		"k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs")
	if want := (webpushtest.Claims{Aud: "https://push.example.net", Sub: "mailto:push@example.com", Exp: 1453523768}); err != nil || claims != want {
		t.Errorf("%+v, %v", claims, err)
	}
}

// newBrowser is a browser, and its subscription.
func newBrowser(t *testing.T) (*webpushtest.Browser, Subscription) {
	t.Helper()
	b := webpushtest.NewBrowser(t)
	s, err := Parse(b.Endpoint, b.P256DH, b.Auth)
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

func newSender(t *testing.T, o Options) (*Sender, string) {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := PublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	o.Key = func(context.Context) (*ecdsa.PrivateKey, error) { return key, nil }
	o.Subject = func() string { return "https://portal.example/" }
	o.Now = time.Now
	s := New(o)
	t.Cleanup(s.Close)
	return s, public
}

func TestSend(t *testing.T) {
	b, to := newBrowser(t)
	s, public := newSender(t, Options{Private: true, Roots: b.Roots})
	last := func() webpushtest.Message {
		t.Helper()
		all := b.Got()
		if len(all) == 0 {
			t.Fatal("nothing came")
		}
		return all[len(all)-1]
	}
	for payload, size := range map[string]int{`{"id":"a"}`: 256, `{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`: 256, strings.Repeat("x", 255): 256, strings.Repeat("x", 256): 512, strings.Repeat("x", maxPayload): maxPayload + 1} {
		if err := s.Send(t.Context(), to, []byte(payload), 59*time.Second+1, "abc234"); err != nil {
			t.Fatal(err)
		}
		if m := last(); m.Payload != payload || m.Size != size {
			t.Errorf("the browser reads %q of %d bytes, want %d", m.Payload, m.Size, size)
		}
	}
	m := last()
	for name, want := range map[string]string{"TTL": "60", "Urgency": "high", "Topic": "abc234", "Cookie": ""} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if life := time.Until(time.Unix(m.Claims.Exp, 0)); m.Claims.Sub != "https://portal.example/" || m.Key != public || life > 24*time.Hour || life < time.Hour {
		t.Errorf("%+v, key %s", m.Claims, m.Key)
	}
	if m.Path != "/wpush/v2/secret-path" {
		t.Errorf("sent to %s", m.Path)
	}
	if err := s.Send(t.Context(), to, nil, -time.Second, ""); err != nil || last().Payload != "" {
		t.Errorf("an empty message: %v", err)
	}
	if _, there := last().Header["Topic"]; there || last().Header.Get("TTL") != "0" {
		t.Errorf("header %v", last().Header)
	}
	if last().Salt == m.Salt {
		t.Error("salt and key are used twice")
	}
}

func TestSendFails(t *testing.T) {
	b, to := newBrowser(t)
	s, _ := newSender(t, Options{Private: true, Roots: b.Roots})
	for code, want := range map[int]error{404: ErrGone, 410: ErrGone, 403: ErrRefused, 413: ErrRefused, 429: ErrRefused, 500: ErrRefused, 302: ErrRefused, 201: nil, 202: nil, 204: nil} {
		b.Answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(code)
			if code > 204 {
				fmt.Fprint(w, strings.Repeat("no\n", 100_000))
			}
		})
		err := s.Send(t.Context(), to, []byte("x"), time.Minute, "")
		if !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", code, err, want)
		}
		if err != nil && (len(err.Error()) > 600 || strings.Contains(err.Error(), "secret-path") || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "push to 127.0.0.1:")) {
			t.Errorf("%d: %v", code, err)
		}
	}
	before := len(b.Got())
	if err := s.Send(t.Context(), to, make([]byte, maxPayload+1), time.Minute, ""); err == nil {
		t.Error("a message that is too long is sent")
	}
	if err := s.Send(t.Context(), to, nil, time.Minute, "not a topic"); err == nil {
		t.Error("a topic that is none is sent")
	}
	strange, _ := newSender(t, Options{Private: true})
	if err := strange.Send(t.Context(), to, nil, time.Minute, ""); err == nil || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("a service whose certificate is of nobody: %v", err)
	}
	if n := len(b.Got()); n != before {
		t.Errorf("%d of them came", n-before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.Answer(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	if err := s.Send(ctx, to, nil, time.Minute, ""); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("a service that does not answer: %v", err)
	}
}

// Nothing is sent to where a browser should not lead us.
func TestSendStaysOutside(t *testing.T) {
	b, to := newBrowser(t)
	s, _ := newSender(t, Options{Roots: b.Roots})
	for endpoint, want := range map[string]error{
		b.Endpoint:                   ErrSubscription, // by its port
		"https://127.0.0.1/x":        internet.ErrPrivate,
		"https://[::1]/x":            internet.ErrPrivate,
		"https://localhost/x":        internet.ErrPrivate,
		"https://169.254.169.254/x":  internet.ErrPrivate,
		"https://[::ffff:10.0.0.1]/": internet.ErrPrivate,
		"https://[fe80::1%25lo]/x":   ErrSubscription,
	} {
		to.Endpoint = endpoint
		if err := s.Send(t.Context(), to, nil, time.Minute, ""); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", endpoint, err, want)
		}
	}
	if len(b.Got()) != 0 {
		t.Error("it was reached")
	}
}

func TestParse(t *testing.T) {
	b, _ := newBrowser(t)
	if s, err := Parse("https://push.example/x?y", b.P256DH+"=", b.Auth+"=="); err != nil || s.Endpoint != "https://push.example/x?y" {
		t.Errorf("%v, %v", s, err)
	} else if said := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(said, "/x") || !strings.Contains(said, "push.example") {
		t.Errorf("it prints as %s", said)
	}
	off := append([]byte{4}, make([]byte, 64)...)
	for name, c := range map[string][3]string{
		"http":             {"http://push.example/x", b.P256DH, b.Auth},
		"no host":          {"https:///x", b.P256DH, b.Auth},
		"opaque":           {"https:push.example", b.P256DH, b.Auth},
		"with a password":  {"https://u:p@push.example/x", b.P256DH, b.Auth},
		"with a fragment":  {"https://push.example/x#y", b.P256DH, b.Auth},
		"too long":         {"https://push.example/" + strings.Repeat("x", maxEndpoint), b.P256DH, b.Auth},
		"no URL":           {"https://push example/x", b.P256DH, b.Auth},
		"nothing":          {"", "", ""},
		"not on the curve": {"https://push.example/x", base64.RawURLEncoding.EncodeToString(off), b.Auth},
		"short key":        {"https://push.example/x", b.P256DH[:80], b.Auth},
		"no base64":        {"https://push.example/x", "!!", b.Auth},
		"short auth":       {"https://push.example/x", b.P256DH, b.Auth[:20]},
		"long auth":        {"https://push.example/x", b.P256DH, strings.Repeat("A", 1000)},
	} {
		if s, err := Parse(c[0], c[1], c[2]); !errors.Is(err, ErrSubscription) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
