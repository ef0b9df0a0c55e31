package node

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/config"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

func TestAdvertised(t *testing.T) {
	for _, c := range []struct{ said, listen, want string }{
		{"", "10.0.0.1:7443", "10.0.0.1:7443"},
		{"", "n1.example.net:7443", "n1.example.net:7443"},
		{"n1.example.net:443", ":7443", "n1.example.net:443"},
		{"", ":7443", ""},
		{"", "0.0.0.0:7443", ""},
		{"", "[::]:7443", ""},
		{"", "10.0.0.1:0", ""},
	} {
		got, err := advertised("peer", c.said, c.listen)
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), "advertise.peer") {
			t.Errorf("advertise %q, listen %q: %q, %v; want %q", c.said, c.listen, got, err, c.want)
		}
	}
}

// The copy of the member records is believed only with this server's signature.
func TestRoster(t *testing.T) {
	dir := t.TempDir()
	id, err := makeIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := loadRoster(dir, id); err != nil || len(r.Members) != 0 {
		t.Errorf("none: %+v, %v", r, err)
	}
	want := roster{"corp", []mfa.Member{{Name: "n1", Role: mfa.RoleServer, Peer: "n1:7443", Key: strings.Repeat("ab", 32), Sign: []byte("k"), Joined: time.Unix(1e9, 0).UTC()}, {Name: "n2"}}}
	if err := want.write(dir, id); err != nil {
		t.Fatal(err)
	}
	if got, err := loadRoster(dir, id); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read back %+v, %v", got, err)
	}
	path := filepath.Join(dir, rosterName)
	good, _ := os.ReadFile(path)
	other, err := makeIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loadRoster(dir, other); err == nil {
		t.Error("another server's copy is believed")
	}
	for name, bad := range map[string][]byte{
		"another key":  bytes.Replace(good, []byte("abab"), []byte("abac"), 1),
		"cut off":      good[:len(good)/2],
		"empty":        nil,
		"other format": bytes.Replace(good, []byte(`"v":1`), []byte(`"v":2`), 1),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadRoster(dir, id); err == nil || !strings.Contains(err.Error(), rosterName) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The certificate is renewed for the same key, when it is old or lacks a name.
func TestPeerCertificate(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	if _, err := makeIdentity(dir); err != nil {
		t.Fatal(err)
	}
	ca, err := pki.NewCA("corp", now)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config{Name: "n1", DataDir: dir, Listen: config.Listen{Peer: "10.0.0.1:7443", Coordinator: "10.0.0.2:7444"}}
	p := &peering{dir: dir, address: "10.0.0.1:7443", coordinator: "10.0.0.2:7444"}
	if p.spki, err = makePeerKey(dir); err != nil {
		t.Fatal(err)
	}
	if err := p.load(); err == nil {
		t.Error("a certificate is there that nobody has issued")
	}
	if err := p.issue(t.Context(), ownCA{ca, "n1", func() time.Time { return now }}, c); err != nil {
		t.Fatal(err)
	}
	if err := p.load(); err != nil {
		t.Fatal(err)
	}
	if p.due(c, now) || !p.due(c, now.AddDate(0, 0, 70)) {
		t.Error("due at once, or not after 70 days")
	}
	p.address = "10.0.0.3:7443"
	if !p.due(c, now) {
		t.Error("not due though it lacks the new address")
	}
	again, err := makePeerKey(dir)
	if err != nil || !bytes.Equal(again, p.spki) || p.digest() != pki.KeyDigest(p.cert.Load().Leaf.RawSubjectPublicKeyInfo) {
		t.Errorf("the key changed, or the certificate is for another: %v", err)
	}
	if info, err := os.Stat(peerTLS(dir).KeyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
}
