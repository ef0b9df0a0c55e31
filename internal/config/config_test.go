package config

import (
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// full is the node file of the documentation.
const full = `# a comment
name: nyc1
data_dir: /srv/countersign
listen:
  peer: 10.0.0.11:7443
  https: 10.0.0.11:8443
  console: 10.0.0.11:8444
  portal: 203.0.113.5:443
  radius: [10.0.0.11:1812, "[2001:db8::11]:1812"]
  radius_accounting: 10.0.0.11:1813
  ldap: [10.0.0.11:636]
  coordinator: 10.0.0.11:9443
  metrics: :9464
advertise: {peer: nyc1.example.net:7443, https: nyc1.example.net:8443, console: admin.example.net:443, portal: my.example.net:443, coordinator: nyc1.example.net:9443}
coordinator: {urls: [https://coordinator.example.net]}
log: {format: json, level: warn, file: "", components: {radius: debug}}
tls: {cert_file: /etc/tls/c.pem, key_file: /etc/tls/k.pem, console_cert_file: /a, console_key_file: /b, portal_cert_file: /c, portal_key_file: /d}
trusted_proxies: [10.0.0.5, 10.1.2.3/16, "2001:db8::/32"]
`

func TestParse(t *testing.T) {
	want := Config{
		Path: "f.yaml", Name: "nyc1", DataDir: "/srv/countersign",
		Listen: Listen{Peer: "10.0.0.11:7443", HTTPS: "10.0.0.11:8443", Console: "10.0.0.11:8444", Portal: "203.0.113.5:443", RADIUS: []string{"10.0.0.11:1812", "[2001:db8::11]:1812"},
			Accounting: []string{"10.0.0.11:1813"}, LDAP: []string{"10.0.0.11:636"}, Coordinator: "10.0.0.11:9443", Metrics: "127.0.0.1:9464"},
		Advertise:      Advertise{Peer: "nyc1.example.net:7443", HTTPS: "nyc1.example.net:8443", Console: "admin.example.net:443", Portal: "my.example.net:443", Coordinator: "nyc1.example.net:9443"},
		Coordinator:    []string{"https://coordinator.example.net"},
		Log:            Log{Format: "json", Level: slog.LevelWarn, Components: map[string]slog.Level{"radius": slog.LevelDebug}},
		TLS:            TLS{CertFile: "/etc/tls/c.pem", KeyFile: "/etc/tls/k.pem", Console: Pair{"/a", "/b"}, Portal: Pair{"/c", "/d"}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")},
	}
	got, err := Parse("f.yaml", []byte(full), Overrides{Host: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseDefaults(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "spaces": " \n\n", "comments": "# nothing\n", "nulls": "name:\nlisten:\ndata_dir: ~\nlog: {file: }\n"} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse("f.yaml", []byte(text), Overrides{Host: "box"})
			want := Config{Path: "f.yaml", Name: "box", DataDir: DefaultDataDir, Log: Log{Format: "text"}}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func TestOverrides(t *testing.T) {
	env := map[string]string{
		"COUNTERSIGN_NAME": "fromenv", "COUNTERSIGN_DATA": "/env", "COUNTERSIGN_LISTEN_RADIUS": "127.0.0.1:1,127.0.0.1:2",
		"COUNTERSIGN_LOG_COMPONENTS": "radius=debug store=warn", "COUNTERSIGN_LOG_LEVEL": "", "COUNTERSIGN_TOKEN": "not ours",
	}
	look := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	got, err := Parse("f.yaml", []byte("name: fromfile\ndata_dir: /file\nlog: {level: error}\n"),
		Overrides{Env: look, Set: map[string]string{"data_dir": "/flag", "listen.https": "localhost:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "fromenv" || got.DataDir != "/flag" || got.Listen.HTTPS != "localhost:0" || got.Log.Level != slog.LevelError ||
		!reflect.DeepEqual(got.Listen.RADIUS, []string{"127.0.0.1:1", "127.0.0.1:2"}) ||
		got.Log.Components["store"] != slog.LevelWarn || len(got.Log.Components) != 2 {
		t.Errorf("got %+v", got)
	}

	env = map[string]string{"COUNTERSIGN_LISTEN_RADIUS": "1812", "COUNTERSIGN_LOG_LEVEL": "loud"}
	_, err = Parse("f.yaml", nil, Overrides{Env: look, Host: "box", Set: map[string]string{"listen.htps": ":1"}})
	for _, want := range []string{"COUNTERSIGN_LISTEN_RADIUS: listen.radius \"1812\": must be host:port", "COUNTERSIGN_LOG_LEVEL", "listen.htps"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestRelativeDataDirOfAFlagIsMadeAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	wd, _ := os.Getwd()
	got, err := Parse("", nil, Overrides{Host: "box", Set: map[string]string{"data_dir": "./var"}})
	if err != nil || got.DataDir != filepath.Join(wd, "var") {
		t.Errorf("got %q, %v", got.DataDir, err)
	}
}

// Every setting has its own environment variable and can be set by it.
func TestSettingsTable(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range settings {
		if !strings.HasPrefix(s.env, "COUNTERSIGN_") || seen[s.env] || seen[s.key] {
			t.Errorf("%s: variable %q", s.key, s.env)
		}
		seen[s.env], seen[s.key] = true, true
	}
	for prefix, want := range map[string]int{"": 9, "listen": 9, "log": 4, "log.components": 0} {
		if got := children(prefix); len(got) != want {
			t.Errorf("children(%q) = %v, want %d", prefix, got, want)
		}
	}
}

// TestBad runs every file of testdata/bad: a node file and the lines that it gets.
func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(files) < 10 {
		t.Fatalf("only %d golden files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil || len(ar.Files) == 0 {
				t.Fatal(err, "no file in it")
			}
			_, err = Parse("node.yaml", ar.Files[0].Data, Overrides{Host: "box"})
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error() + "\n"
			if *update {
				ar.Files = append(ar.Files[:1], txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(ar.Files[1].Data); got != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "node.yaml")
	if _, err := Load(file, Overrides{}); err == nil || !strings.Contains(err.Error(), file+": no such file") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(dir, Overrides{}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("folder: %v", err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("# long\n", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, Overrides{Host: "b"}); err == nil || !strings.Contains(err.Error(), "64 KiB") {
		t.Errorf("huge file: %v", err)
	}
	if err := os.WriteFile(file, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(file, Overrides{}); err != nil || c.Name != "nyc1" || c.Path != file {
		t.Errorf("good file: %+v, %v", c, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("a: &a [*a]\n? {a: b}\n: c\n"))
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	for _, file := range files {
		if ar, err := txtar.ParseFile(file); err == nil && len(ar.Files) > 0 {
			f.Add(ar.Files[0].Data)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<12 {
			return
		}
		c, err := Parse("f.yaml", text, Overrides{Host: "box"})
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "f.yaml:") || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
					t.Errorf("error line %q does not begin with the file", line)
				}
			}
			return
		}
		// What it accepts holds only checked values, so that giving them again as overrides is accepted too.
		set := map[string]string{"name": c.Name, "data_dir": c.DataDir}
		if len(c.Listen.RADIUS) > 0 {
			set["listen.radius"] = strings.Join(c.Listen.RADIUS, ",")
		}
		again, err := Parse("f.yaml", nil, Overrides{Set: set})
		if err != nil || again.Name != c.Name || !reflect.DeepEqual(again.Listen.RADIUS, c.Listen.RADIUS) {
			t.Errorf("again: %+v, %v; want %+v", again, err, c)
		}
	})
}
