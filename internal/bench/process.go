package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tick is the kernel's unit of processor time in /proc, which is fixed for programs.
const tick = 10 * time.Millisecond

// process is a server with all that it starts.
type process struct {
	cmd  *exec.Cmd
	out  tail
	done chan struct{}
}

// launch starts a program in a process group of its own.
func launch(env []string, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})} //nolint:gosec // the benchmark's own words
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = own()
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// await calls ready until it says yes, and returns how long that took.
func (p *process) await(ctx context.Context, ready func() bool) (time.Duration, error) {
	start := time.Now()
	for {
		if ready() {
			return time.Since(start), nil
		}
		select {
		case <-p.done:
			return 0, fmt.Errorf("%s ended at once:\n%s", p.cmd.Path, p.out.String())
		case <-ctx.Done():
			return 0, errors.Join(ctx.Err(), p.stop())
		case <-time.After(time.Millisecond):
		}
		if time.Since(start) > 2*time.Minute {
			return 0, errors.Join(fmt.Errorf("%s does not answer after two minutes:\n%s", p.cmd.Path, p.out.String()), p.stop())
		}
	}
}

// stop ends the process and what it started.
func (p *process) stop() error {
	end(p.cmd.Process, false)
	select {
	case <-p.done:
		return nil
	case <-time.After(15 * time.Second):
	}
	end(p.cmd.Process, true)
	<-p.done
	return fmt.Errorf("%s did not end within 15 s of being asked to; killed", p.cmd.Path)
}

// cpu is the processor time used so far by every process of p's group, in user mode and
// in the kernel.
func (p *process) cpu() (sum time.Duration) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range all {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := bytes.Cut(b, []byte(") ")) // the name of the program may hold anything
		f := strings.Fields(string(rest))
		if len(f) < 13 || f[2] != strconv.Itoa(p.cmd.Process.Pid) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if d, ok := cpuOf(pid); ok { // exact; a short round has few ticks
			sum += d
			continue
		}
		for _, v := range f[11:13] {
			n, _ := strconv.ParseInt(v, 10, 64)
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// rss is the memory that p has resident, in bytes.
func (p *process) rss() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kb, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
	return kb << 10
}

// machineCPU is the processor time that the whole machine has used, time that the
// hypervisor took away included.
func machineCPU() (sum time.Duration) {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	for i, v := range strings.Fields(strings.TrimPrefix(line, "cpu")) {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && i != 3 && i != 4 && i < 8 { // idle, waiting for a disk; guests count twice
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// run runs a program to its end.
func run(ctx context.Context, stdin, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // the benchmark's own words
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

// tail keeps the last of what a program wrote.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 4096; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
