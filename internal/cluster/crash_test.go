package cluster

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const fatalHookRan = "the fatal hook heard:"

// child is what this program does when a test starts it again: "open" tries to open the
// folder, "write" writes until it is killed and prints what was acknowledged.
func child(role, dir string) {
	o := testOptions(dir)
	o.Fatal = func(reason string) { fmt.Fprintln(os.Stderr, fatalHookRan, reason) }
	n, err := Open(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer n.Close()
	switch role {
	case "full": // sees no shortage
		n.disk.low.Store(nil)
		n.disk.space = func(string) (int64, int64, error) { return 1 << 40, 1 << 40, nil }
		err = childWrites(n, 4000)
	case "write":
		err = childWrites(n, 1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const childWriters = 16

// childWrites has each writer raise its own counter, each time conditionally on the last
// revision, together with a key of its own for each step. It prints "writer step" after
// each acknowledgement, in one write to the pipe, which survives this process. What it
// writes for a step has the given size.
func childWrites(n *Node, size int) error {
	ctx := context.Background()
	if _, err := n.Barrier(ctx); err != nil {
		return err
	}
	errs := make(chan error, childWriters)
	for w := range childWriters {
		go func() {
			counter := fmt.Sprintf("counter/%d", w)
			value, rev, err := n.Get(ctx, counter)
			step, _ := strconv.Atoi(string(value))
			for err == nil {
				step++
				var ok bool
				rev, ok, err = n.Commit(ctx, map[string]int64{counter: rev}, map[string][]byte{
					counter: []byte(strconv.Itoa(step)), fmt.Sprintf("step/%d/%d", w, step): make([]byte, size),
				}, nil)
				if err == nil && !ok {
					err = fmt.Errorf("writer %d lost its own condition at step %d", w, step)
				}
				if err == nil {
					_, err = fmt.Fprintf(os.Stdout, "%d %d\n", w, step)
				}
			}
			errs <- err
		}()
	}
	return <-errs
}

func TestKillUnderLoad(t *testing.T) {
	o := closedFolder(t)
	acked := make([]int, childWriters) // per writer, the last step that was acknowledged
	total := 0
	for round := range 5 {
		kill := 1 + rand.IntN(3000)
		total += runAndKill(t, o.DataDir, kill, acked)
		n, err := Open(t.Context(), o)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		rev, err := n.Barrier(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		steps := make([]map[int]bool, childWriters)
		for w := range steps {
			steps[w] = map[int]bool{}
		}
		at, err := n.Scan(t.Context(), "step/", func(key string, _ []byte, _ int64) bool {
			var w, s int
			fmt.Sscanf(key, "step/%d/%d", &w, &s)
			steps[w][s] = true
			return true
		})
		if err != nil || at < rev {
			t.Fatalf("scan at %d after barrier at %d: %v", at, rev, err)
		}
		for w := range childWriters {
			value, _ := get(t, n, fmt.Sprintf("counter/%d", w))
			got, _ := strconv.Atoi(value)
			if got < acked[w] || got > acked[w]+1 {
				t.Errorf("round %d: writer %d was acknowledged %d, the database says %d", round, w, acked[w], got)
			}
			for s := 1; s <= got; s++ {
				if !steps[w][s] {
					t.Errorf("round %d: step %d of writer %d is gone", round, s, w)
				}
			}
			if len(steps[w]) != got {
				t.Errorf("round %d: writer %d has %d steps, its counter says %d", round, w, len(steps[w]), got)
			}
			acked[w] = got // unacknowledged but written: the next child goes on from there
		}
		n.Close()
	}
	t.Logf("%d acknowledged commits over 5 kills", total)
}

// runAndKill starts a writing child on dir, kills it after so many acknowledgements, and
// notes every one that came out. It returns their number.
func runAndKill(t *testing.T, dir string, after int, acked []int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CLUSTER_TEST_CHILD=write", "CLUSTER_TEST_DIR="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	n := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var w, s int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &s); err != nil {
			t.Fatalf("child says %q", lines.Text())
		}
		acked[w] = max(acked[w], s)
		if n++; n == after {
			must(t, cmd.Process.Kill())
		}
	}
	cmd.Wait()
	if n < after {
		t.Fatalf("the child ended by itself after %d acknowledgements: %s", n, stderr.String())
	}
	return n
}
