package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/internal/gateway"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/provider"
)

// provides is an HTTP provider that tells what becomes of messages, as said says.
func provides(t *testing.T, w **world, said provider.Said, early bool) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var got struct{ Callback string }
		b, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(b, &got)
		tell := func() {
			if p := strings.Split(strings.TrimPrefix(got.Callback, "https://mfa.corp.example/"), "/"); len(p) == 2 {
				(*w).Told(p[0], p[1], said)
			}
		}
		if early { // the answer comes after what becomes of the message
			tell()
		}
		_, _ = io.WriteString(rw, `{"id":"theirs"}`)
		if !early {
			go tell()
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// What a provider says at the address of a message counts as a receipt of SMPP does.
func TestReceiptsOverHTTP(t *testing.T) {
	for _, tt := range []struct {
		name  string
		said  provider.Said
		early bool
		want  gateway.Fate
	}{
		{"arrived", provider.Said{Arrived: true}, false, gateway.Arrived},
		{"arrived before it was taken", provider.Said{Arrived: true}, true, gateway.Arrived},
		{"lost, and by another gateway after all", provider.Said{Lost: true, Why: "undelivered, error 30003"}, false, gateway.Arrived},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var w *world
			s := provides(t, &w, tt.said, tt.early)
			smsc := mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "DELIVRD"})
			g := smsGateway(t, "first", s.URL)
			g.Receipts = "https://mfa.corp.example"
			w = run(t, g, smppGateway("second", smsc))
			m := textTo("Code 123456")
			m.ID = mfa.NewID(nil)
			r := send(t, w, m)
			if r.Gateway != "first" || r.Ref != "theirs" || !r.Followed() {
				t.Fatalf("sent: %+v", r)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if f := w.Await(ctx, r.Tag()); f != tt.want {
				t.Errorf("fate %d, want %d", f, tt.want)
			}
			h := w.Health(g)
			if tt.said.Lost && (h.Undelivered != 1 || h.Vanished != tt.said.Why || len(smsc.Seen().Texts) != 1) || tt.said.Arrived && h.Delivered != 1 {
				t.Errorf("health %+v, by the second %+v", h, smsc.Seen().Texts)
			}
		})
	}
}

// A provider that tells nothing is not asked to, and nothing is missed.
func TestNoReceiptsOverHTTP(t *testing.T) {
	var w *world
	s := provides(t, &w, provider.Said{Lost: true}, false)
	w = run(t, smsGateway(t, "first", s.URL))
	if r := send(t, w, textTo("Code 123456")); r.Followed() {
		t.Errorf("followed: %+v", r)
	}
}

// What is said of a message that another server has sent is told to the group.
func TestReceiptsOverHTTPAtAnotherServer(t *testing.T) {
	var here *world
	s := provides(t, &here, provider.Said{}, false)
	g := smsGateway(t, "provider", s.URL)
	g.Receipts = "https://mfa.corp.example"
	here = run(t, g)
	there := run(t, g)
	m := textTo("Code 123456")
	m.ID = mfa.NewID(nil)
	r := send(t, here, m)
	there.Told("provider", m.ID, provider.Said{Lost: true, Why: "failed"})
	there.hears(t)
	there.mu.Lock()
	f := there.tags[r.Tag()]
	there.mu.Unlock()
	if f != gateway.Lost {
		t.Fatalf("told %v, want %v lost", there.tags, r.Tag())
	}
	here.Learn(r.Tag(), gateway.Lost, "failed")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if f := here.Await(ctx, r.Tag()); f != gateway.Lost {
		t.Errorf("fate %d", f)
	}
}
