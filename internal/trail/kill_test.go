package trail

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"countersign/internal/mfa"
)

const (
	childDir = "COUNTERSIGN_TEST_TRAIL"
	childTag = "COUNTERSIGN_TEST_ROUND"
)

// childMain is the process that TestKill kills: it appends without end and says on
// standard output what was acknowledged.
func childMain() {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	tr, err := Open(Options{Dir: dir, Server: "nyc1", Log: slog.New(slog.DiscardHandler), MaxSegment: 64 << 10})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var out sync.Mutex
	for c := range 16 {
		go func() {
			for n := 0; ; n++ {
				r := mfa.Record{Act: &mfa.Act{By: os.Getenv(childTag), Verb: fmt.Sprint(c), Object: fmt.Sprint(n)}}
				if err := tr.Append(context.Background(), r); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				head := tr.Head()
				out.Lock()
				fmt.Println(c, n, head.Segment, head.Seq, head.Hash)
				out.Unlock()
			}
		}()
	}
	fmt.Fprintln(os.Stderr, tr.Run(context.Background()))
	os.Exit(1)
}

// TestKill kills a process that appends from 16 goroutines, again and again on the same
// trail: every acknowledged record is there, in order, and the trail verifies against
// the last head that was told.
func TestKill(t *testing.T) {
	const rounds = 5
	dir := filepath.Join(t.TempDir(), "trail")
	acked := map[string]int{} // "round caller": last number acknowledged
	var head Position
	for round := range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir, childTag+"="+fmt.Sprint(round))
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for left := 200 + rand.IntN(800); lines.Scan(); left-- {
			var c, n int
			var p Position
			var hash string
			if _, err := fmt.Sscan(lines.Text(), &c, &n, &p.Segment, &p.Seq, &hash); err != nil || p.Hash.UnmarshalText([]byte(hash)) != nil {
				continue // the last line, cut off
			}
			acked[fmt.Sprint(round, " ", c)] = n
			if p.Seq > head.Seq {
				head = p
			}
			if left == 0 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended with %v, want to have been killed", err)
		}
		sound(t, nil, dir, head)

		tr, err := Open(Options{Dir: dir, Server: "nyc1", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		next := map[string]int{}
		if err := tr.Replay(Position{}, func(_ Position, r mfa.Record) error {
			key := r.Act.By + " " + r.Act.Verb
			if n, _ := strconv.Atoi(r.Act.Object); n != next[key] {
				t.Errorf("round and caller %s: record %d, want %d", key, n, next[key])
			}
			next[key]++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for key, n := range acked {
			if next[key] <= n {
				t.Errorf("round and caller %s: record %d was acknowledged, %d are there", key, n, next[key])
			}
		}
		if err := tr.closeSegment(false); err != nil {
			t.Fatal(err)
		}
	}
}
