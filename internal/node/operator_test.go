package node

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/config"
	"countersign/internal/pki"
)

func TestOperator(t *testing.T) {
	o := options(folder(t))
	if err := Init(t.Context(), o, "corp"); err != nil {
		t.Fatal(err)
	}
	inside(t, o, func(ctx context.Context, s *server) {
		st, err := s.admin.Status(ctx)
		must(t, err)
		if st.Name != "nyc1" || st.Group != "corp" || st.Role != "master" || st.Master != "nyc1" || st.Degraded || st.Epoch != 1 || len(st.Members) != 1 || !st.Members[0].Voter {
			t.Errorf("status %+v", st)
		}
		list, err := s.admin.Doctor(ctx)
		must(t, err)
		seen := map[string]bool{}
		for _, c := range list.Checks {
			seen[c.Name] = true
			if !c.OK && c.Name != "clock" || !c.OK && c.NextStep == "" {
				t.Errorf("check %+v", c)
			}
		}
		for _, want := range []string{"database", "writes", "trail", "clock"} {
			if !seen[want] {
				t.Errorf("doctor tries no %s: %+v", want, list)
			}
		}
		must(t, s.admin.SetLogLevel(ctx, "test", admin.LogLevel{Component: "radius", Level: "debug", Seconds: 60}))
		if err := s.admin.SetLogLevel(ctx, "test", admin.LogLevel{Component: "radus", Level: "debug"}); err == nil || !strings.Contains(err.Error(), "radius") {
			t.Errorf("unknown component: %v", err)
		}
	})
}

func TestOfflineDoctor(t *testing.T) {
	o := options(folder(t))
	failed := func(c config.Config) (names []string) {
		for _, one := range OfflineDoctor(t.Context(), c) {
			if !one.OK {
				if one.NextStep == "" || one.Detail == "" {
					t.Errorf("no help in %+v", one)
				}
				names = append(names, one.Name)
			}
		}
		return names
	}
	if got := failed(o.Config); strings.Join(got, " ") != "data folder" {
		t.Errorf("no folder: %v", got)
	}
	if err := Init(t.Context(), o, "corp"); err != nil {
		t.Fatal(err)
	}
	if got := failed(o.Config); len(got) != 0 {
		t.Errorf("good: %v", got)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := o.Config
	c.Listen.HTTPS = l.Addr().String()
	os.Remove(filepath.Join(c.DataDir, keysDir, signFile))
	if got := failed(c); strings.Join(got, ", ") != "keys, listen.https" {
		t.Errorf("no key and a taken port: %v", got)
	}
}

// The operator's own certificate is used, and a renewed one as soon as its file is new.
func TestOwnCertificate(t *testing.T) {
	now := time.Now()
	ca, err := pki.NewCA("other", now)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := &certificates{now: func() time.Time { return now }, config: config.Config{TLS: config.TLS{
		CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}}}
	write := func(at time.Time) {
		pair, err := ca.Issue(pki.Subject{Name: "x", DNS: []string{"x.example.net"}}, at)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{c.config.TLS.CertFile: pair.CertPEM, c.config.TLS.KeyFile: pair.KeyPEM.Expose()} {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(name, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(now.AddDate(0, 0, -80))
	if err := c.renew(); err != nil {
		t.Fatal(err)
	}
	if w := c.warnings(); len(w) != 1 || !strings.Contains(w[0], "expires on") {
		t.Errorf("ten days left: %v", w)
	}
	before := c.expiry()
	write(now)
	if err := c.renew(); err != nil || !c.expiry().After(before) || len(c.warnings()) != 0 {
		t.Errorf("renewed: %v, expires %v, %v", err, c.expiry(), c.warnings())
	}
	os.WriteFile(c.config.TLS.CertFile, []byte("rubbish"), 0o600)
	kept := c.expiry()
	if err := c.renew(); err == nil || !c.expiry().Equal(kept) {
		t.Errorf("rubbish: %v, expires %v", err, c.expiry())
	}
}

// Our own certificate is renewed before it expires.
func TestIssuedCertificate(t *testing.T) {
	now := time.Now()
	ca, err := pki.NewCA("corp", now)
	if err != nil {
		t.Fatal(err)
	}
	c := &certificates{ca: ca, now: func() time.Time { return now }, config: config.Config{Name: "nyc1", Listen: config.Listen{HTTPS: "0.0.0.0:8443"},
		Advertise: config.Advertise{HTTPS: "mfa.example.net:8443"}}}
	for day := range 200 {
		if err := c.renew(); err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"localhost", "nyc1", "mfa.example.net", "127.0.0.1", "::1"} {
			if err := ca.Verify(c.current.Load().Leaf, host, now); err != nil {
				t.Fatalf("day %d: %v", day, err)
			}
		}
		now = now.AddDate(0, 0, 1)
	}
}
