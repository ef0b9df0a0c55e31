package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func TestDrawer(t *testing.T) {
	var d Drawer
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	form := url.Values{"name": {"Bob"}}
	name := d.Put("alice", Kept{Form: form}, now)
	if _, ok := d.Take("eve", name, now); ok {
		t.Error("somebody else's form")
	}
	if k, ok := d.Take("alice", name, now); !ok || k.Form.Get("name") != "Bob" {
		t.Errorf("got %+v, %t", k, ok)
	}
	if _, ok := d.Take("alice", name, now); ok {
		t.Error("taken twice")
	}
	name = d.Put("alice", Kept{Form: form}, now)
	if _, ok := d.Take("alice", name, now.Add(KeptFor)); ok {
		t.Error("kept for ever")
	}
	if d.Put("alice", Kept{File: make([]byte, keptSize)}, now) != "" {
		t.Error("a file of any size is kept")
	}
}

func TestDrawerIsBounded(t *testing.T) {
	var d Drawer
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	big := Kept{File: []byte(strings.Repeat("x", keptSize-1024))}
	for i := range 40 {
		last := d.Put(mfa.UserID(rune('a'+i)), big, now)
		if _, ok := d.all[last]; !ok || d.size > keptAll {
			t.Fatalf("%d bytes are kept, the last one: %t", d.size, ok)
		}
	}
	d = Drawer{}
	first := d.Put("alice", Kept{}, now)
	for range keptOfPerson {
		now = now.Add(time.Second)
		d.Put("alice", Kept{}, now)
	}
	if _, ok := d.Take("alice", first, now); ok || len(d.all) != keptOfPerson {
		t.Errorf("one person has %d things; the first is there: %t", len(d.all), ok)
	}
	d.Put("bob", Kept{}, now.Add(KeptFor))
	if len(d.all) != 1 || d.size != (Kept{}).size() {
		t.Errorf("%d things, %d bytes of time past", len(d.all), d.size)
	}
}
