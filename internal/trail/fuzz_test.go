package trail

import (
	"bytes"
	"testing"

	"countersign/internal/mfa"
)

// FuzzOpen gives a trail any bytes as its newest segment. Open must not fail, what is
// appended then must be there after another start, and Replay must yield no record that
// is not in the bytes.
func FuzzOpen(f *testing.F) {
	m, _ := filled(f)
	good := bytes.TrimRight(file(m, 3).view, " ")
	f.Add(good)
	f.Add(good[:len(good)-20])
	f.Add(append(bytes.Clone(good), "{\"hash\":\"   \x00\x00"...))
	f.Add(bytes.Replace(good, []byte("test"), []byte("best"), 1))
	f.Add([]byte("\n"))
	f.Add([]byte(nil))
	f.Add(bytes.Repeat([]byte(" "), 5000))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _ := filled(t)
		file(m, 3).view = bytes.Clone(b)
		tr, stop := run(t, options(m))
		written := recordsIn(b)
		if err := tr.Replay(Position{}, func(p Position, r mfa.Record) error {
			body, err := appendRecord(nil, r)
			if p.Segment == 3 && !written[string(body)] {
				t.Errorf("invented: %s", body)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := tr.Append(t.Context(), act(5000)); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		head := tr.Head()
		tr, stop = run(t, options(m))
		if tr.Broken() != nil || tr.Head() != head {
			t.Errorf("second start: broken %+v, head %v, want %v", tr.Broken(), tr.Head(), head)
		}
		if got := objects(t, tr, Position{}); len(got) == 0 || got[len(got)-1] != "5000" {
			t.Errorf("what was appended is gone: %v", got)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(t.Context(), "/trail", VerifyOptions{FS: m, Head: head}); err != nil {
			t.Errorf("Verify: %v", err)
		}
	})
}

// recordsIn returns what the lines of b hold, right or wrong.
func recordsIn(b []byte) map[string]bool {
	found := map[string]bool{}
	for l := range bytes.SplitSeq(b, []byte("\n")) {
		parsed, err := parseLine(l)
		if err != nil {
			continue
		}
		if rec, ok, err := parsed.record(); ok && err == nil {
			body, _ := appendRecord(nil, rec)
			found[string(body)] = true
		}
	}
	return found
}
