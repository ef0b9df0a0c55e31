package web_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// A form is carried out by any server of the group, for its author and no one else, while it
// is good, and once at each.
func TestFormsAreKeptForTheGroup(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	keys, err := keyring.New(nil, now)
	if err != nil {
		t.Fatal(err)
	}
	strangers, err := keyring.New(nil, now)
	if err != nil {
		t.Fatal(err)
	}
	server := func(k keyring.Keyset) *web.Forms { return &web.Forms{Seals: keyring.NewRing(k), Drawer: &web.Drawer{}} }
	one, two, other := server(keys), server(keys), server(strangers)
	form := web.Kept{URL: &url.URL{Path: "/users/x/password", RawQuery: "a=b"}, Form: url.Values{"password": {"correct horse", "ä&="}}}
	name := one.Put("alice", form, now)
	if strings.Contains(name, "correct") || name != url.QueryEscape(name) && !strings.HasPrefix(name, "~") {
		t.Errorf("named %q", name)
	}
	for _, who := range []struct {
		f     *web.Forms
		owner string
		at    time.Time
	}{{two, "eve", now}, {other, "alice", now}, {two, "alice", now.Add(web.KeptFor)}} {
		if _, ok := who.f.Take(mfa.UserID(who.owner), name, who.at); ok {
			t.Errorf("%s has taken it", who.owner)
		}
	}
	for i := range 2 { // each server once
		f := []*web.Forms{two, one}[i]
		k, ok := f.Take("alice", name, now.Add(web.KeptFor-time.Second))
		if !ok || k.URL.RequestURI() != "/users/x/password?a=b" || k.Form.Encode() != form.Form.Encode() {
			t.Fatalf("got %+v, %t", k, ok)
		}
		if _, ok = f.Take("alice", name, now); ok {
			t.Error("taken twice")
		}
	}
	for _, bad := range []string{"", "~", "~x", name[:len(name)-2], "~" + strings.Repeat("A", 9000), "~" + strings.Repeat("A", 200)} {
		if _, ok := one.Take("alice", bad, now); ok {
			t.Errorf("%.20q is taken for a form", bad)
		}
	}
	form.Form.Set("text", strings.Repeat("x", 20_000)) // too large for an address: it stays here
	name = one.Put("alice", form, now)
	if _, ok := two.Take("alice", name, now); ok || len(name) > 100 {
		t.Errorf("a name of %d bytes; another server has it: %t", len(name), ok)
	}
	if _, ok := one.Take("alice", name, now); !ok {
		t.Error("a large form is lost")
	}
}
