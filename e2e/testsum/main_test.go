package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSums(t *testing.T) {
	const head = `{"Action":"start","Package":"countersign/a"}
{"Action":"output","Package":"countersign/a","Test":"T1","Output":"noise\n"}
{"Action":"pass","Package":"countersign/a","Test":"T1","Elapsed":0.1}
{"Action":"output","Package":"countersign/a","Test":"T2","Output":"    need.go:12: rig: slapd is not installed\n"}
{"Action":"output","Package":"countersign/a","Test":"T2","Output":"--- SKIP: T2 (0.00s)\n"}
{"Action":"skip","Package":"countersign/a","Test":"T2"}
`
	for _, c := range []struct {
		name, in, want string
		ok             bool
	}{
		{"all well", head + `{"Action":"pass","Package":"countersign/a","Elapsed":1.5}`,
			"ok  \tcountersign/a\t1.5s\nskipped: a T2: rig: slapd is not installed\n1 passed, 0 failed, 1 skipped\n", true},
		{"one fails", head + `{"Action":"output","Package":"countersign/a","Test":"T3","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"countersign/a","Test":"T3"}
{"Action":"fail","Package":"countersign/a","Elapsed":2}`,
			"got 1, want 2\nFAIL\tcountersign/a\t2.0s\nskipped: a T2: rig: slapd is not installed\nfailed: countersign/a\n1 passed, 1 failed, 1 skipped\n", false},
		{"it says why", `{"Action":"output","Package":"countersign/a","Test":"T3","Output":"    x_test.go:9: got 1, want 2\n"}
{"Action":"output","Package":"countersign/a","Test":"T3","Output":"    server_test.go:7: the server said:\n"}
{"Action":"output","Package":"countersign/a","Test":"T3","Output":"        time=x msg=\"a.go:1: no\"\n"}
{"Action":"fail","Package":"countersign/a","Test":"T3"}
{"Action":"fail","Package":"countersign/a","Elapsed":2}`,
			"    x_test.go:9: got 1, want 2\n    server_test.go:7: the server said:\n        time=x msg=\"a.go:1: no\"\nFAIL\tcountersign/a\t2.0s\nwrong: T3: x_test.go:9: got 1, want 2\nfailed: countersign/a\n0 passed, 1 failed, 0 skipped\n", false},
		{"a crash", `{"Action":"output","Package":"countersign/a","Test":"T3","Output":"panic: x\n"}
{"Action":"fail","Package":"countersign/a","Elapsed":2}`,
			"panic: x\nFAIL\tcountersign/a\t2.0s\nfailed: countersign/a\n0 passed, 1 failed, 0 skipped\n", false},
		{"does not build", `{"ImportPath":"countersign/a","Action":"build-output","Output":"a.go:1: syntax error\n"}
{"Action":"fail","Package":"countersign/a","Elapsed":0}`,
			"a.go:1: syntax error\nFAIL\tcountersign/a\t0.0s\nfailed: countersign/a\n0 passed, 1 failed, 0 skipped\n", false},
		{"nothing", "not json\n", "not json\n0 passed, 0 failed, 0 skipped\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			s := sums{out: &out, output: map[[2]string][]string{}}
			if err := s.read(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			ok := s.end()
			if got := out.String(); got != c.want || ok != c.ok {
				t.Errorf("ok %v\ngot  %q\nwant %q", ok, got, c.want)
			}
		})
	}
}

// Only a wait that ran out is tried again, and only if nothing else failed.
func TestLate(t *testing.T) {
	failure := func(pkg, test, output string) string {
		return `{"Action":"output","Package":"` + pkg + `","Test":"` + test + `","Output":"` + output + `\n"}
{"Action":"fail","Package":"` + pkg + `","Test":"` + test + `"}
`
	}
	const end = `{"Action":"pass","Package":"countersign/e2e","Test":"T0"}
{"Action":"fail","Package":"countersign/e2e","Elapsed":2}
`
	wait := "x_test.go:1: the epoch: not within 1m0s, " + inVain
	for _, c := range []struct{ name, in, want string }{
		{"a wait", failure("countersign/e2e", "T1", wait) + end, `{"Passed":1,"Skipped":0,"Tests":["T1"]}`},
		{"a wrong answer", failure("countersign/e2e", "T1", "got 1, want 2") + end, ""},
		{"a wait after a wrong answer", failure("countersign/e2e", "T1", "got 1, want 2\\nx_test.go:1: the epoch: not within 1m0s") + end, ""},
		{"both", failure("countersign/e2e", "T1", wait) + failure("countersign/e2e", "T2", "got 1, want 2") + end, ""},
		{"a race besides", failure("countersign/e2e", "T1", wait+"\\nthe server raced or panicked") + end, ""},
		{"too many", failure("countersign/e2e", "T1", wait) + failure("countersign/e2e", "T2", wait) + failure("countersign/e2e", "T3", wait) + end, ""},
		{"another package too", failure("countersign/e2e", "T1", wait) + end + `{"Action":"fail","Package":"countersign/a","Elapsed":2}`, ""},
		{"all well", `{"Action":"pass","Package":"countersign/e2e","Test":"T0"}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "late")
			s := sums{out: io.Discard, output: map[[2]string][]string{}}
			if _, err := s.run(strings.NewReader(c.in), file, ""); err != nil {
				t.Fatal(err)
			}
			if b, _ := os.ReadFile(file); string(b) != c.want {
				t.Errorf("late: %q, want %q", b, c.want)
			}
			if c.want == "" {
				return
			}
			var out strings.Builder
			again := sums{out: &out, output: map[[2]string][]string{}}
			ok, err := again.run(strings.NewReader(`{"Action":"pass","Package":"countersign/e2e","Test":"T1"}`), "", file)
			if err != nil || !ok || out.String() != "2 passed, 0 failed, 0 skipped\n" {
				t.Errorf("run again: ok %v, %v: %s", ok, err, out.String())
			}
		})
	}
}
