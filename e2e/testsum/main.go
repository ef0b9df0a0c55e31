// Testsum reads the output of `go test -json` and prints what a person wants of it: a line
// for each package, all output of what failed, the tests that were skipped with their
// reasons, and the sums. It exits 1 if something failed or if there was no test.
//
// With -late FILE it writes there the tests that may be run again, if those are all that
// failed: tests of the running program whose last wait ran out, nothing else being wrong.
// With -after FILE, of an earlier run, it counts that run's other tests in.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// inVain marks the failure of a wait that ran out; the same text is in e2e/process_test.go.
const inVain = "and nothing else was wrong"

// serverSaid precedes the log of a server; the same text is in e2e/server_test.go.
const serverSaid = "the server said:"

// How much of a failed test's own words is said again at the end: lines, and bytes of each.
const (
	complaintsAtMost = 10
	complaintAtMost  = 500
)

// lateAtMost is how many tests may be run again. More is no accident.
const lateAtMost = 2

// late is a run of which only waits that ran out failed.
type late struct {
	Passed, Skipped int
	Tests           []string
}

// event is one line of test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64 // s
	Output     string
}

// sums is what has been seen so far.
type sums struct {
	out                     io.Writer
	output                  map[[2]string][]string // by package and test; Test "" is the package's own
	skips                   []string
	passed, failed, skipped int
	packagesFailed          []string
	complaints              []string // of what failed: what its tests said was wrong
	late                    []string // of what failed: waits that ran out
}

func main() {
	lateFile, after := flag.String("late", "", "write here what may be run again"), flag.String("after", "", "count in what this file of -late says")
	flag.Parse()
	s := sums{out: os.Stdout, output: map[[2]string][]string{}}
	ok, err := s.run(os.Stdin, *lateFile, *after)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run reads all of in, prints, and reports whether all is well.
func (s *sums) run(in io.Reader, lateFile, after string) (bool, error) {
	if after != "" {
		var before late
		b, err := os.ReadFile(after) //nolint:gosec // a file that this program wrote
		if err == nil {
			err = json.Unmarshal(b, &before)
		}
		if err != nil {
			return false, err
		}
		s.passed, s.skipped = before.Passed, before.Skipped
	}
	if err := s.read(in); err != nil {
		return false, err
	}
	ok := s.end()
	if lateFile == "" || ok || len(s.late) != s.failed || s.failed > lateAtMost || len(s.packagesFailed) != 1 {
		return ok, nil
	}
	b, err := json.Marshal(late{s.passed, s.skipped, s.late})
	if err != nil {
		return false, err
	}
	return false, os.WriteFile(lateFile, b, 0o600)
}

// read takes events until r ends.
func (s *sums) read(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				s.take(e)
			} else {
				fmt.Fprintf(s.out, "%s", line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *sums) take(e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "pass", "skip", "fail":
		switch {
		case e.Test == "":
			s.finish(e)
		case e.Action == "skip":
			s.skipped++
			s.skips = append(s.skips, fmt.Sprintf("%s %s: %s", strings.TrimPrefix(e.Package, "countersign/"), e.Test, reason(s.output[key])))
		case e.Action == "fail":
			s.failed++
			if text := strings.Join(s.output[key], ""); strings.Contains(text, inVain) && !strings.Contains(text, "raced or panicked") && !strings.Contains(text, "DATA RACE") {
				s.late = append(s.late, e.Test)
			}
			fmt.Fprint(s.out, strings.Join(s.output[key], ""))
			s.complaints = append(s.complaints, complaints(e.Test, s.output[key])...)
		default:
			s.passed++
		}
		delete(s.output, key)
	}
}

// finish ends a package. What its tests wrote before a crash belongs to its failure.
func (s *sums) finish(e event) {
	if e.Action == "fail" {
		s.packagesFailed = append(s.packagesFailed, e.Package)
		for key, lines := range s.output {
			if key[0] == e.Package {
				fmt.Fprint(s.out, strings.Join(lines, ""))
				delete(s.output, key)
			}
		}
		fmt.Fprintf(s.out, "FAIL\t%s\t%.1fs\n", e.Package, e.Elapsed)
		return
	}
	if e.Action == "pass" {
		fmt.Fprintf(s.out, "ok  \t%s\t%.1fs\n", e.Package, e.Elapsed)
	}
}

// reason finds what t.Skip said in a test's output.
func reason(lines []string) string {
	for _, l := range slices.Backward(lines) {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "===") && !strings.HasPrefix(l, "---") {
			if _, after, ok := strings.Cut(l, ".go:"); ok {
				if _, what, ok := strings.Cut(after, ": "); ok {
					return what
				}
			}
			return l
		}
	}
	return "no reason given"
}

// complaints finds what a failed test said itself, without the logs of its servers: of a long
// output that alone may be kept.
func complaints(test string, lines []string) (all []string) {
	for _, l := range lines {
		l = strings.TrimSpace(l)
		file, rest, ok := strings.Cut(l, ".go:")
		if !ok || strings.ContainsAny(file, " =") || strings.Contains(rest, serverSaid) {
			continue
		}
		if len(l) > complaintAtMost {
			l = l[:complaintAtMost] + "..."
		}
		if all = append(all, test+": "+l); len(all) == complaintsAtMost {
			return all
		}
	}
	return all
}

// end prints skips, complaints and sums, and reports whether all is well.
func (s *sums) end() bool {
	for _, skip := range s.skips {
		fmt.Fprintln(s.out, "skipped:", skip)
	}
	for _, c := range s.complaints {
		fmt.Fprintln(s.out, "wrong:", c)
	}
	for _, p := range s.packagesFailed {
		fmt.Fprintln(s.out, "failed:", p)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, max(s.failed, len(s.packagesFailed)), s.skipped)
	return s.failed == 0 && len(s.packagesFailed) == 0 && s.passed > 0
}
