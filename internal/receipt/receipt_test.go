package receipt

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/provider"
	"countersign/internal/web"
)

func TestReceipts(t *testing.T) {
	now := time.Date(2026, 11, 30, 4, 0, 0, 0, time.UTC)
	twilio, err := provider.ByName("twilio")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	a := &API{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
		Open: func(token string) (Message, error) {
			switch token {
			case "good":
				return Message{"provider", "m1", now.Add(time.Minute)}, nil
			case "late":
				return Message{"provider", "m1", now}, nil
			case "removed":
				return Message{"gone", "m1", now.Add(time.Minute)}, nil
			}
			return Message{}, errors.New("not ours")
		},
		Gateway: func(name string) (mfa.Gateway, error) {
			if name != "provider" {
				return mfa.Gateway{}, mfa.ErrNotFound
			}
			return mfa.Gateway{Name: name, HTTP: twilio.HTTPTemplate}, nil
		},
		Told: func(gateway, message string, s provider.Said) {
			told = append(told, fmt.Sprintf("%s %s %v %v %s", gateway, message, s.Arrived, s.Lost, s.Why))
		}}
	h := a.Handler()
	ask := func(method, path, body string) int {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Body.Len() > 40 {
			t.Errorf("%s %s is told %q", method, path, w.Body)
		}
		return w.Code
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		told               string
	}{
		{"POST", "/receipts/good", "MessageStatus=delivered", 204, "provider m1 true false "},
		{"POST", "/receipts/good", "MessageStatus=undelivered&ErrorCode=30003", 204, "provider m1 false true undelivered, error 30003"},
		{"GET", "/receipts/good?MessageStatus=failed", "", 204, "provider m1 false true failed"},
		{"POST", "/receipts/good", "MessageStatus=sent", 204, "provider m1 false false "},
		{"POST", "/receipts/good", "a=%zz", 400, ""},
		{"POST", "/receipts/good", strings.Repeat("x", 17<<10), 413, ""},
		{"POST", "/receipts/late", "MessageStatus=delivered", 204, ""},
		{"POST", "/receipts/removed", "MessageStatus=delivered", 204, ""},
		{"POST", "/receipts/guessed", "MessageStatus=delivered", 404, ""},
		{"POST", "/receipts/" + strings.Repeat("x", 600), "", 404, ""},
		{"POST", "/receipts/", "", 404, ""},
		{"POST", "/receipts/good/more", "", 404, ""},
		{"DELETE", "/receipts/good", "", 404, ""},
	} {
		told = nil
		if got := ask(tt.method, tt.path, tt.body); got != tt.status || strings.Join(told, "|") != tt.told {
			t.Errorf("%s %.40s: %d, told %q; want %d, %q", tt.method, tt.path, got, told, tt.status, tt.told)
		}
	}
	for range web.Burst {
		ask("POST", "/receipts/guessed", "")
	}
	if got := ask("POST", "/receipts/guessed", ""); got != http.StatusTooManyRequests {
		t.Errorf("one guess after the other: %d", got)
	}
	told = nil
	if got := ask("POST", "/receipts/good", "MessageStatus=delivered"); got != 204 || len(told) != 1 {
		t.Errorf("a provider at the same address: %d, %q", got, told)
	}
}
