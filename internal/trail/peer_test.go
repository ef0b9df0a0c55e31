package trail

import (
	"encoding/hex"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/mfatest"
)

// TestOtherProgramsReadIt: jq reads the segment in use, fill and all, and sha256sum
// computes the chain from what doc.go says.
func TestOtherProgramsReadIt(t *testing.T) {
	paths := mfatest.Need(t, "jq", "sha256sum")
	o := onDisk(t)
	tr, _ := run(t, o)
	for n := 1; n <= 3; n++ {
		if err := tr.Append(t.Context(), signIn(n, 3)...); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(o.Dir, segmentName(1))
	out, err := exec.CommandContext(t.Context(), paths[0], "-r", `select(.attempt) | "\(.seq) \(.attempt.login) \(.attempt.reason)"`, name).CombinedOutput()
	if err != nil {
		t.Fatalf("jq: %v: %s", err, out)
	}
	if want := "3 Alice1 ok\n5 Alice2 ok\n7 Alice0 ok\n"; string(out) != want {
		t.Errorf("jq: got %q, want %q", out, want)
	}
	hashes, err := exec.CommandContext(t.Context(), paths[0], "-r", ".hash", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	prev := make([]byte, 32)
	for i, want := range strings.Fields(string(hashes)) {
		sum := exec.CommandContext(t.Context(), paths[1])
		line, err := exec.CommandContext(t.Context(), "sed", "-n", fmt.Sprintf("%dp", i+1), name).Output()
		if err != nil {
			t.Fatal(err)
		}
		sum.Stdin = strings.NewReader(string(prev) + strings.TrimSuffix(string(line[75:]), "\n"))
		got, err := sum.Output()
		if err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("line %d: sha256sum says %s, the line %s (%v)", i+1, got, want, err)
		}
		if prev, err = hex.DecodeString(want); err != nil {
			t.Fatal(err)
		}
	}
}
