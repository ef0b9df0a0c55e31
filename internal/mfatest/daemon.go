package mfatest

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Daemon is a program of a rig that runs until the test ends.
type Daemon struct {
	cmd  *exec.Cmd
	out  Output
	done chan struct{} // closed when it has ended
	stop sync.Once
}

// Start starts program in a process group of its own and stops it when the test ends. If
// the test fails, the log gets what it wrote.
func Start(t testing.TB, program string, args ...string) *Daemon {
	t.Helper()
	d := &Daemon{cmd: exec.Command(program, args...), done: make(chan struct{})} //nolint:gosec // a rig's own words
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	d.cmd.SysProcAttr = own()
	d.cmd.WaitDelay = time.Second
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("rig: start %s: %v", program, err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		d.Stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, d.out.String())
		}
	})
	return d
}

// Stop ends the daemon and everything that it started, and waits for it.
func (d *Daemon) Stop() {
	d.stop.Do(func() {
		end(d.cmd.Process, false)
		select {
		case <-d.done:
		case <-time.After(5 * time.Second):
		}
		end(d.cmd.Process, true)
		<-d.done
	})
}

// AwaitTCP waits until something accepts connections on each address, or fails the test.
func (d *Daemon) AwaitTCP(t testing.TB, addresses ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, a := range addresses {
		for {
			c, err := net.DialTimeout("tcp", a, time.Second)
			if err == nil {
				_ = c.Close()
				break
			}
			select {
			case <-d.done:
				t.Fatalf("rig: %s ended before it listened on %s:\n%s", d.cmd.Path, a, d.out.String())
			case <-ctx.Done():
				t.Fatalf("rig: %s does not listen on %s: %v", d.cmd.Path, a, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// Output returns what the daemon wrote so far.
func (d *Daemon) Output() string { return d.out.String() }

// AwaitOutput waits until the daemon has written a text, or fails the test.
func (d *Daemon) AwaitOutput(t testing.TB, text string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(d.Output(), text) {
		select {
		case <-d.done:
			t.Fatalf("rig: %s ended before it said %q:\n%s", d.cmd.Path, text, d.Output())
		case <-deadline:
			t.Fatalf("rig: %s does not say %q", d.cmd.Path, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// FreePort returns a TCP port that nobody listens on at 127.0.0.1 at the moment.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// run runs a program of a rig to its end, or fails the test.
func run(t testing.TB, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil { //nolint:gosec // a rig's own words
		t.Fatalf("rig: %s: %v\n%s", program, err, out)
	}
}
