package main

import (
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
