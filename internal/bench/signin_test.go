package bench

import (
	"context"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/internal/cli"
	"countersign/internal/config"
	"countersign/internal/node"
)

// BenchmarkSignIn is one sign-in over RADIUS against a whole server in this process, 64
// at a time, by users who have signed in before: the load generator's share of time and
// allocations is in it. For profiles; the benchmark command compares.
// COUNTERSIGN_BENCH_USERS sets the number of users, COUNTERSIGN_BENCH_PROFILE is a file for
// a profile of the sign-ins alone.
func BenchmarkSignIn(b *testing.B) {
	users := population(10_000)
	if s := os.Getenv("COUNTERSIGN_BENCH_USERS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		users = population(n)
	}
	in := &installation{dir: b.TempDir()}
	in.config = filepath.Join(in.dir, "countersign.yaml")
	file := "name: bench\ndata_dir: " + in.dir + "/data\nlisten: {radius: [\"127.0.0.1:0\"]}\nlog: {level: warn}\n"
	if err := os.WriteFile(in.config, []byte(file), 0o600); err != nil {
		b.Fatal(err)
	}
	c, err := config.Load(in.config, config.Overrides{})
	if err != nil {
		b.Fatal(err)
	}
	ready := make(chan node.Addresses, 1)
	o := node.Options{Config: c, Version: "bench", Stdout: io.Discard, Stderr: os.Stderr, Now: time.Now, Ready: func(a node.Addresses) { ready <- a }}
	if err := node.Init(b.Context(), o, "bench"); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx, o) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	var addr node.Addresses
	select {
	case addr = <-ready:
	case err := <-ended:
		b.Fatal(err)
	}
	verb := func(stdin string, args ...string) {
		d := cli.OS("bench")
		d.Stdin, d.Stdout, d.Stderr, d.Prompt = strings.NewReader(stdin), io.Discard, os.Stderr, nil
		d.DataDir = func(string) (string, error) { return c.DataDir, nil }
		if cli.Run(b.Context(), args, d) != 0 {
			b.Fatalf("%v failed", args)
		}
	}
	verb(sharedSecret, in.application()...)
	path, err := in.writeUsers(users)
	if err != nil {
		b.Fatal(err)
	}
	verb("", "user", "import", path, "--format", "csv")

	s := &system{name: "countersign"}
	if s.codes, err = newSupply(users, 0, false); err != nil {
		b.Fatal(err)
	}
	radius := netip.MustParseAddrPort(addr.RADIUS[0])
	dl := radiusDialect(users, true)
	s.closed = func(c []passcode, n int) (volley, error) { return newClosedVolley(radius, dl, c, n) }
	s.server = &process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
	if err := s.once(b.Context(), reference); err != nil {
		b.Fatal(err)
	}
	if path := os.Getenv("COUNTERSIGN_BENCH_PROFILE"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			b.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.StopTimer()
	for done := 0; done < b.N; {
		now, left := step(time.Now())
		codes := s.codes.take(min(b.N-done, int(users)), now)
		if len(codes) == 0 || left < time.Second {
			for _, c := range codes {
				s.codes.giveBack(c)
			}
			time.Sleep(left + margin) // for codes of the next time step, with the timer stopped
			continue
		}
		v, err := s.closed(codes, reference)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		t, unsent := v.fire(left - margin)
		b.StopTimer()
		v.close()
		for _, c := range unsent {
			s.codes.giveBack(c)
		}
		if done += t.OK; t.OK == 0 || newRound(t, 0, 0).Bad() != 0 {
			b.Fatalf("%d accepts, %d rejects, %d without proof, %d time-outs", t.OK, t.Rejected, t.Unproven, t.TimedOut)
		}
	}
}
