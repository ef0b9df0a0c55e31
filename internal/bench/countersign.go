package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// installation is a founded Countersign server in a folder of its own.
type installation struct {
	binary, dir, config string

	radius, metrics, https netip.AddrPort // those that its node file names
}

// Of a node file: %[1]s is the folder, %[2]s, %[3]s and %[4]s are the addresses of radius, metrics and https.
const nodeConf = `name: bench
data_dir: %[1]s/data
listen:
  radius: ["%[2]s"]
  metrics: "%[3]s"
log: {level: warn}
`

// found founds a group in dir, with a node file like conf.
func found(ctx context.Context, binary, dir, conf string) (in *installation, err error) {
	in = &installation{binary: binary, dir: dir, config: filepath.Join(dir, "countersign.yaml")}
	for _, a := range []*netip.AddrPort{&in.radius, &in.metrics, &in.https} {
		if *a, err = freePort(); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(in.config, fmt.Appendf(nil, conf, dir, in.radius, in.metrics, in.https), 0o600); err != nil {
		return nil, err
	}
	return in, in.do(ctx, "", "init", "--group", "bench")
}

// do runs a verb.
func (in *installation) do(ctx context.Context, stdin string, args ...string) error {
	return run(ctx, stdin, in.binary, append(args, "--config", in.config)...)
}

// serve starts the server and returns the time from there to its first answer.
func (in *installation) serve(ctx context.Context, ready func() bool, env ...string) (*process, time.Duration, error) {
	p, err := launch(env, in.binary, "server", "--config", in.config)
	if err != nil {
		return nil, 0, err
	}
	took, err := p.await(ctx, ready)
	return p, took, err
}

// alive reports whether the server says that it is ready.
func (in *installation) alive() bool {
	ctx, cancel := context.WithTimeout(context.Background(), readyWait)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+in.metrics.String()+"/health/ready", nil)
	if err != nil {
		return false
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer a.Body.Close()
	return a.StatusCode == http.StatusOK
}

// answers reports whether the server answers RADIUS, which it does when it can decide.
func (in *installation) answers() bool { return statusServer(in.radius, readyWait) }

// application is the verb that adds the RADIUS client that the benchmark is: the code
// alone, as a client sends it that has checked the password. Standard input is the secret.
func (*installation) application() []string {
	return []string{"application", "add", "bench", "--kind", "radius", "--address", "127.0.0.0/8", "--secret-stdin",
		"--first-factor", "none", "--methods", "totp", "--rate", "1000000"}
}

func (in *installation) addApplication(ctx context.Context) error {
	return in.do(ctx, sharedSecret, in.application()...)
}

// writeUsers writes the population to a file for `user import`.
func (in *installation) writeUsers(p population) (path string, err error) {
	path = filepath.Join(in.dir, "users.csv")
	return path, writeLines(path, int(p)+1, func(w *bufio.Writer, i int) {
		if i == 0 {
			fmt.Fprintln(w, "login,totp_secret")
			return
		}
		fmt.Fprintf(w, "%s,%s\n", p.login(i-1), p.base32(i-1))
	})
}

// importUsers adds the population, and returns how long that took.
func (in *installation) importUsers(ctx context.Context, p population) (time.Duration, error) {
	path, err := in.writeUsers(p)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	err = in.do(ctx, "", "user", "import", path, "--format", "csv")
	return time.Since(start), err
}

// countersign starts a server with the population, and reports how the import went.
func countersign(ctx context.Context, binary, dir string, p population) (s *system, im Import, err error) {
	in, err := found(ctx, binary, dir, nodeConf)
	if err != nil {
		return nil, im, err
	}
	s = &system{name: "countersign", about: "first factor none, TOTP; each accept settled durably and in the trail before the answer"}
	if s.codes, err = newSupply(p, 1, false); err != nil {
		return nil, im, err
	}
	if s.server, _, err = in.serve(ctx, in.alive); err != nil {
		return nil, im, err
	}
	if err = in.addApplication(ctx); err != nil {
		return nil, im, errors.Join(err, s.server.stop())
	}
	took, err := in.importUsers(ctx, p)
	if err != nil {
		return nil, im, errors.Join(err, s.server.stop())
	}
	im = Import{Rows: int(p), Seconds: took.Seconds(), RowsPerSecond: float64(p) / took.Seconds()}
	dl := radiusDialect(p, true)
	s.closed = func(c []passcode, n int) (volley, error) { return newClosedVolley(in.radius, dl, c, n) }
	s.open = func(c []passcode, rate float64) (volley, error) { return newOpenVolley(in.radius, dl, c, rate) }
	return s, im, nil
}

// Import is how a bulk import went.
type Import struct {
	Rows          int     `json:"rows"`
	Seconds       float64 `json:"seconds"`
	RowsPerSecond float64 `json:"rows_per_second"`
}
