// Testsum reads the output of `go test -json` and prints what a person wants of it: a line
// for each package, all output of what failed, the tests that were skipped with their
// reasons, and the sums. It exits 1 if something failed or if there was no test.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

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
}

func main() {
	s := sums{out: os.Stdout, output: map[[2]string][]string{}}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	if !s.end() {
		os.Exit(1)
	}
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
			fmt.Fprint(s.out, strings.Join(s.output[key], ""))
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

// end prints skips and sums, and reports whether all is well.
func (s *sums) end() bool {
	for _, skip := range s.skips {
		fmt.Fprintln(s.out, "skipped:", skip)
	}
	for _, p := range s.packagesFailed {
		fmt.Fprintln(s.out, "failed:", p)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, max(s.failed, len(s.packagesFailed)), s.skipped)
	return s.failed == 0 && len(s.packagesFailed) == 0 && s.passed > 0
}
