package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/mfatest"
)

// patience bounds every wait for something that has to come. It is no measure of speed:
// two busy cores and the race detector may take their time.
const patience = 60 * time.Second

// result is what a program that has ended said.
type result struct {
	stdout, stderr string
	code           int
}

// oneLine returns standard error, which must be one line that begins as our errors do; a
// server's log may stand before it.
func (r result) oneLine(t testing.TB) string {
	t.Helper()
	text := r.stderr
	for strings.HasPrefix(text, "time=") {
		_, text, _ = strings.Cut(text, "\n")
	}
	line, more, _ := strings.Cut(text, "\n")
	if !strings.HasPrefix(line, "countersign: ") || more != "" {
		t.Errorf("standard error is not one line of an error:\n%s", r.stderr)
	}
	return line
}

// countersign runs the program to its end, with so much time to end by itself.
func countersign(t testing.TB, env []string, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(os.Environ(), env...)
	c.Stdin = strings.NewReader(stdin)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("countersign %q: %v %v\n%s", args, err, ctx.Err(), stderr.String())
	}
	return result{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// process is a running program.
type process struct {
	cmd  *exec.Cmd
	out  *log
	done chan struct{} // closed when it has ended
}

// launch starts the program that serves; what it writes goes to out.
func launch(t testing.TB, out *log, args ...string) *process {
	t.Helper()
	return launchAs(t, racer, nil, out, args...)
}

// launchAs is launch with another build of the program and more environment.
func launchAs(t testing.TB, binary string, env []string, out *log, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), out: out, done: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=50"), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p
}

// signal sends a signal and waits for the end.
func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	_ = syscall.Kill(-p.cmd.Process.Pid, s)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGABRT) // its goroutines go to the log
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		}
		<-p.done
		t.Errorf("the program did not end after %s", s)
	}
}

// alive reports whether the program still runs.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// log is what a program wrote so far.
type log = mfatest.Output

// inVain ends the message of a wait that ran out where nothing else was wrong: tools/test.sh
// runs such a test once more, alone, as this machine may have been too busy.
const inVain = "and nothing else was wrong"

// await waits until ok holds.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			if t.Failed() {
				t.Fatalf("%s: not within %s", what, patience)
			}
			t.Fatalf("%s: not within %s, %s", what, patience, inVain)
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}
