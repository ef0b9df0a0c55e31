package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"countersign/internal/config"
	"countersign/internal/mfatest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// buffer is written by many.
type buffer = mfatest.Output

// options are those of a server on free ports of the loopback, in dir.
func options(dir string) Options {
	return Options{
		Config: config.Config{Name: "nyc1", DataDir: dir, Log: config.Log{Level: slog.LevelWarn},
			Listen: config.Listen{HTTPS: "127.0.0.1:0", Metrics: "127.0.0.1:0", RADIUS: []string{"127.0.0.1:0"}, Accounting: []string{"127.0.0.1:0"}}},
		Version: "test", Stdout: io.Discard, Stderr: &buffer{}, Now: time.Now,
	}
}

// folder is a data folder with a path short enough for a unix socket.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "data")
}

// running is a server that answers.
type running struct {
	t    *testing.T
	at   Addresses
	stop context.CancelFunc
	done chan error
}

// start runs a server and waits until it answers.
func start(t *testing.T, o Options, run func(context.Context, Options) error) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan Addresses, 1)
	o.Ready = func(a Addresses) { ready <- a }
	r := &running{t: t, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- run(ctx, o) }()
	t.Cleanup(stop)
	select {
	case r.at = <-ready:
	case err := <-r.done:
		t.Fatalf("server: %v\n%s", err, o.Stderr)
	}
	return r
}

// end stops it and checks that it went well.
func (r *running) end() {
	r.t.Helper()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("stop: %v", err)
	}
}

func demo(ctx context.Context, o Options) error { return RunDemo(ctx, o, "countersign") }

// The whole way: a demo in an empty folder, a sign-in over RADIUS, and again after a
// restart, with the figures and the health that it shows.
func TestDemo(t *testing.T) {
	o := options(folder(t))
	var told buffer
	o.Stdout = &told
	var first string
	for _, round := range []string{"founded", "started again"} {
		t.Run(round, func(t *testing.T) {
			r := start(t, o, demo)
			defer r.end()
			d, err := ReadDemo(o.Config.DataDir)
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = d.Password
			}
			if d.Password != first {
				t.Errorf("password %q, before %q", d.Password, first)
			}
			if info, _ := os.Stat(filepath.Join(o.Config.DataDir, demoName)); info.Mode().Perm() != 0o600 {
				t.Errorf("mode of demo.json: %v", info.Mode())
			}
			for _, want := range []string{d.Password, d.TOTPSecret, d.Secret, r.at.RADIUS[0], "countersign demo sign-in"} {
				if !strings.Contains(told.String(), want) {
					t.Errorf("%q was not told in\n%s", want, told.String())
				}
			}

			var out buffer
			if err := SignIn(t.Context(), o.Config.DataDir, &out, time.Now); err != nil {
				t.Fatalf("%v\n%s\n%s", err, &out, o.Stderr)
			}
			for _, want := range []string{"< Access-Challenge", "< Access-Accept", "Message-Authenticator verified"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, &out)
				}
			}

			var h health
			get(t, "http://"+r.at.Metrics+"/health/ready", http.StatusOK, &h)
			if !h.Ready || len(h.Reasons) != 0 || h.Warnings == nil {
				t.Errorf("health %+v", h)
			}
			get(t, "http://"+r.at.Metrics+"/health/live", http.StatusOK, nil)
			body := get(t, "http://"+r.at.Metrics+"/metrics", http.StatusOK, nil)
			for _, want := range []string{
				`countersign_attempts_total{application="demo",front_end="radius",method="totp",reason="ok",verdict="accept"} 1`,
				`countersign_radius_packets_total{outcome="challenge"} 1`, "countersign_ready 1", "countersign_users 1", "etcd_server_has_leader 1", "go_goroutines"} {
				if !strings.Contains(body, want) {
					t.Errorf("metrics lack %s", want)
				}
			}
			if strings.Contains(body, "demo-") || strings.Contains(body, `"demo User"`) {
				t.Error("metrics name the user")
			}
		})
	}
}

// get reads a URL; into v if it is not nil.
func get(t *testing.T, url string, status int, v any) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		t.Fatalf("%s: status %d, want %d: %v %s", url, resp.StatusCode, status, err, b)
	}
	if v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	return string(b)
}

// The https listener's certificate is one of the group's CA, which lies in the folder.
func TestHTTPS(t *testing.T) {
	o := options(folder(t))
	if err := Init(t.Context(), o, "corp"); err != nil {
		t.Fatal(err)
	}
	r := start(t, o, Run)
	defer r.end()
	pem, err := os.ReadFile(filepath.Join(o.Config.DataDir, caName))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for _, host := range []string{"localhost", "127.0.0.1", "nyc1"} {
		c, err := tls.Dial("tcp", r.at.HTTPS, &tls.Config{RootCAs: pool, ServerName: host})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		c.Close()
	}
}

func TestInit(t *testing.T) {
	dir := folder(t)
	o := options(dir)
	if err := Init(t.Context(), o, "no such/name"); err == nil || !strings.Contains(err.Error(), "group name") {
		t.Errorf("bad name: %v", err)
	}
	if err := Init(t.Context(), o, "corp"); err != nil {
		t.Fatal(err)
	}
	long := options(filepath.Join(dir, strings.Repeat("long", 30)))
	if err := Init(t.Context(), long, "corp"); err == nil || !strings.Contains(err.Error(), "choose a shorter data_dir") {
		t.Errorf("a folder whose socket has too long a path: %v", err)
	}
	before := listing(t, dir)
	err := Init(t.Context(), o, "corp")
	if err == nil || !strings.Contains(err.Error(), "countersign server") || strings.Contains(err.Error(), "\n") {
		t.Errorf("second init: %v", err)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("a refused init changed the folder:\n%s\nwas\n%s", after, before)
	}
	for _, name := range []string{"keys/wrap.key", "keys/sign.key", "epoch.json"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, err, info.Mode())
		}
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("data folder: %v", info.Mode())
	}

	foreign := folder(t)
	os.MkdirAll(foreign, 0o700)
	os.WriteFile(filepath.Join(foreign, "thesis.tex"), nil, 0o600)
	o.Config.DataDir = foreign
	if err := Init(t.Context(), o, "corp"); err == nil || !strings.Contains(err.Error(), "not empty") || listing(t, foreign) != "thesis.tex\n" {
		t.Errorf("foreign folder: %v, now\n%s", err, listing(t, foreign))
	}
}

// listing names what a folder holds, but for the lock, with sizes of files outside the database.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			b.WriteString(e.Name() + "\n")
		}
	}
	return b.String()
}

// What stops a start is one clear line.
func TestStartRefused(t *testing.T) {
	good := folder(t)
	if err := Init(t.Context(), options(good), "corp"); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	takenUDP, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer takenUDP.Close()
	for _, c := range []struct {
		name   string
		change func(o *Options)
		want   []string
	}{
		{"empty folder", func(o *Options) { o.Config.DataDir = t.TempDir() }, []string{"countersign init", "countersign activate"}},
		{"no folder", func(o *Options) { o.Config.DataDir += "/none" }, []string{"countersign init", "countersign activate"}},
		{"port of https taken", func(o *Options) { o.Config.Listen.HTTPS = taken.Addr().String() },
			[]string{"listen.https", taken.Addr().String(), "address already in use", "ss -lntup"}},
		{"port of metrics taken", func(o *Options) { o.Config.Listen.Metrics = taken.Addr().String() }, []string{"listen.metrics", taken.Addr().String()}},
		{"port of radius taken", func(o *Options) { o.Config.Listen.RADIUS = []string{takenUDP.LocalAddr().String()} },
			[]string{"listen.radius", takenUDP.LocalAddr().String()}},
		{"address of nobody", func(o *Options) { o.Config.Listen.HTTPS = "192.0.2.1:8443" }, []string{"listen.https", "no interface"}},
		{"another name", func(o *Options) { o.Config.Name = "nyc2" }, []string{"nyc1", "nyc2", "name"}},
		{"certificate missing", func(o *Options) { o.Config.TLS = config.TLS{CertFile: "/none.pem", KeyFile: "/none.key"} }, []string{"tls.cert_file", "/none.pem"}},
		{"a front-end that there is not", func(o *Options) { o.Config.Listen.LDAP = []string{"127.0.0.1:636"} }, []string{"listen.ldap", "127.0.0.1:636"}},
		{"log folder missing", func(o *Options) { o.Config.Log.File = "/none/x.log" }, []string{"log.file", "/none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(good)
			c.change(&o)
			err := Run(t.Context(), o)
			if err == nil || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
		})
	}

	t.Run("second server on one folder", func(t *testing.T) {
		r := start(t, options(good), Run)
		defer r.end()
		if err := Run(t.Context(), options(good)); err == nil || !strings.Contains(err.Error(), "in use") && !strings.Contains(err.Error(), "running") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("keys are gone", func(t *testing.T) {
		os.Rename(filepath.Join(good, keysDir), filepath.Join(good, "..", "kept"))
		defer os.Rename(filepath.Join(good, "..", "kept"), filepath.Join(good, keysDir))
		if err := Run(t.Context(), options(good)); err == nil || !strings.Contains(err.Error(), "keys") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("keys are for everybody", func(t *testing.T) {
		key := filepath.Join(good, keysDir, wrapFile)
		os.Chmod(key, 0o644)
		defer os.Chmod(key, 0o600)
		if err := Run(t.Context(), options(good)); err == nil || !strings.Contains(err.Error(), "chmod 600 "+key) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no demo's folder", func(t *testing.T) {
		if err := demo(t.Context(), options(good)); err == nil || !strings.Contains(err.Error(), "no demo's") {
			t.Errorf("got %v", err)
		}
	})
}

func TestDemoListensOnTheLoopbackOnly(t *testing.T) {
	for _, a := range []string{"0.0.0.0:1812", ":1812", "192.0.2.1:1812", "example.net:1812"} {
		o := config.Overrides{Host: "box", Set: map[string]string{"listen.radius": a}}
		if _, err := DemoConfig("", o); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", a, err)
		}
	}
	c, err := DemoConfig("", config.Overrides{Host: "box", Set: map[string]string{"listen.radius": "127.0.0.1:11812,[::1]:11812"}})
	if err != nil || len(c.Listen.RADIUS) != 2 || c.Listen.HTTPS != "127.0.0.1:8443" {
		t.Errorf("got %+v, %v", c.Listen, err)
	}
}

// A task that fails stops the server, and its error is the server's.
func TestStage(t *testing.T) {
	var mu sync.Mutex
	var order []string
	note := func(s string) { mu.Lock(); order = append(order, s); mu.Unlock() }
	ctx, fail := context.WithCancelCause(t.Context())
	var all stack
	task := func(name string) func(context.Context) error {
		return func(ctx context.Context) error { <-ctx.Done(); note(name); return ctx.Err() }
	}
	below := newStage(ctx, func(err error) { fail(err) })
	all.stage(below)
	below.run("database", task("database"))
	above := newStage(ctx, func(err error) { fail(err) })
	all.stage(above)
	above.run("edge", task("edge"))
	above.run("bad", func(context.Context) error { return errors.New("broke") })
	<-ctx.Done()
	if err := context.Cause(ctx); err == nil || err.Error() != "bad: broke" {
		t.Errorf("cause %v", err)
	}
	if err := all.unwind(time.Minute); err == nil || err.Error() != "bad: broke" {
		t.Errorf("unwind %v", err)
	}
	if strings.Join(order, " ") != "edge database" {
		t.Errorf("stopped in the order %v", order)
	}

	var stuck stack
	slow := newStage(t.Context(), func(err error) { t.Error(err) })
	slow.run("quick", func(ctx context.Context) error { <-ctx.Done(); return nil })
	slow.run("slow", func(ctx context.Context) error { <-t.Context().Done(); return nil })
	stuck.stage(slow)
	slow.cancel()
	for len(slow.running()) > 1 {
		runtime.Gosched()
	}
	if err := stuck.unwind(time.Millisecond); !errors.Is(err, errStuck) || !strings.Contains(err.Error(), "still: slow)") {
		t.Errorf("stuck: %v", err)
	}
}

func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "20000")
	read := func() string {
		b := make([]byte, 64)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	notify("READY=1")
	if got := read(); got != "READY=1" {
		t.Errorf("got %q", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- watchdog(ctx, func() error { return nil }) }()
	for range 2 {
		if got := read(); got != "WATCHDOG=1" {
			t.Errorf("got %q", got)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestClock(t *testing.T) {
	var log buffer
	ok, known := true, true
	c := &clockCheck{log: slog.New(slog.NewTextHandler(&log, nil)), synchronised: func() (bool, bool) { return ok, known }}
	now := time.Now()
	c.check()
	c.jumped(now.Add(time.Second), now)
	c.jumped(time.Time{}, now)
	if w := c.warnings(); len(w) != 0 || log.String() != "" {
		t.Errorf("a good clock warns: %v %s", w, &log)
	}
	ok = false
	c.check()
	c.jumped(now.Add(time.Hour), now)
	if w := c.warnings(); len(w) != 2 || !strings.Contains(log.String(), "not synchronised") || !strings.Contains(log.String(), "jumped back") {
		t.Errorf("a bad clock: %v %s", w, &log)
	}
	known = false
	c.check()
	if w := c.warnings(); len(w) != 1 {
		t.Errorf("not known: %v", w)
	}
}
