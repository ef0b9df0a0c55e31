package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/radius"
)

// Whoever changes what the trail says is found, with the server stopped or running.
func TestAuditTampering(t *testing.T) {
	s := newServer(t)
	s.application("none", "127.0.0.1", "--first-factor", "none")
	s.user("ann", "")
	k := s.hotp("ann")
	n := newNAS(t, "127.0.0.1", s.radius)
	for range 20 {
		if r := n.ask("ann", k.press(), nil); r.code != radius.AccessAccept {
			t.Fatal(r)
		}
	}
	s.verify()
	s.stop()
	pristine := filepath.Join(s.dir, "pristine")
	copyTree(t, s.data, pristine)
	untouched := func() {
		t.Helper()
		if err := os.RemoveAll(s.data); err != nil {
			t.Fatal(err)
		}
		copyTree(t, pristine, s.data)
	}
	files, err := filepath.Glob(filepath.Join(s.data, "trail", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files of the trail: %v, %v", files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	lines = lines[:len(lines)-1] // nothing stands behind the last line's end
	join := func(lines ...[]byte) []byte { return bytes.Join(lines, nil) }
	middle := len(lines) / 2
	for _, c := range []struct {
		name string
		bad  []byte
		want string
	}{
		{"a changed byte", bytes.Replace(good, []byte("accept"), []byte("reject"), 1), "line"},
		{"a removed line", join(append(append([][]byte{}, lines[:middle]...), lines[middle+1:]...)...), "line"},
		{"two lines exchanged", join(append(append([][]byte{}, lines[:middle]...), append([][]byte{lines[middle+1], lines[middle]}, lines[middle+2:]...)...)...), "line"},
		{"a cut tail", join(lines[:len(lines)-3]...), "cut"},
		{"nothing but the beginning", join(lines[:1]...), "cut"},
		{"a line more", append(append([]byte{}, good...), lines[len(lines)-1]...), "line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if bytes.Equal(c.bad, good) {
				t.Fatal("nothing was changed")
			}
			untouched()
			if err := os.WriteFile(files[0], c.bad, 0o600); err != nil {
				t.Fatal(err)
			}
			s.start()
			r := s.try("", "audit", "verify", "--json")
			var v admin.AuditVerification
			if err := document(r.stdout, &v); err != nil {
				t.Fatalf("%v\n%s%s", err, r.stdout, r.stderr)
			}
			if r.code != 1 || v.OK || !strings.Contains(strings.ToLower(v.Problem), c.want) {
				t.Errorf("audit verify: exit %d, %+v; want a problem that says %q", r.code, v, c.want)
			}
			r.oneLine(t)
			var status admin.Status
			s.answer(&status, "status")
			if !strings.Contains(strings.Join(status.Warnings, "\n"), "audit verify") {
				t.Errorf("status warns of %q", status.Warnings)
			}
			var list admin.CheckList
			if err := document(s.try("", "doctor", "--json").stdout, &list); err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(list.Checks, func(c admin.Check) bool { return c.Name == "trail" && !c.OK }) {
				t.Errorf("doctor finds nothing at the trail: %+v", list.Checks)
			}
			// Evidence is no reason to keep people out.
			if r := n.ask("ann", k.press(), nil); r.code != radius.AccessAccept {
				t.Errorf("a sign-in: %v", r)
			}
			s.stop()
			s.start() // which finds nothing new
			if r := s.try("", "audit", "verify"); r.code != 1 || !strings.Contains(strings.ToLower(r.stdout), c.want) {
				t.Errorf("audit verify after the next start: exit %d\n%s", r.code, r.stdout)
			}
			s.stop()
			k.next-- // the copy of the folder knows nothing of it
		})
	}
	untouched()
	s.start()
	s.verify()

	// And while it runs.
	if err := os.WriteFile(files[0], bytes.Replace(good, []byte("accept"), []byte("reject"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := s.try("", "audit", "verify"); r.code != 1 {
		t.Errorf("audit verify of a file changed under the running server: exit %d\n%s", r.code, r.stdout)
	}
}
