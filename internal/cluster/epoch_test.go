package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func goodEpochFile() epochFile {
	return epochFile{
		V: 1, Group: "main", Epoch: 3, ClusterID: "00000000deadbeef", Copy: "epoch-3.2", Server: "nyc1", Highest: 4,
		Since: time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC), DecidedBy: "init",
	}
}

func TestEpochFileRoundTrip(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(dir)
	want := goodEpochFile()
	for range 2 { // the second replaces the first
		if err := want.write(dir, o.Sign); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readEpochFile(dir, o.Verify)
	if err != nil {
		t.Fatal(err)
	}
	got.Signature = nil
	if a, b := mustMessage(t, got), mustMessage(t, want); !bytes.Equal(a, b) {
		t.Errorf("got %s, want %s", a, b)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("folder holds %v, want epoch.json alone", entries)
	}
	st, _ := os.Stat(filepath.Join(dir, epochFileName))
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode())
	}
}

func mustMessage(t *testing.T, f epochFile) []byte {
	m, err := f.message()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEpochFileFailedWriteKeepsTheOld(t *testing.T) {
	dir := t.TempDir()
	o := testOptions(dir)
	f := goodEpochFile()
	if err := f.write(dir, o.Sign); err != nil {
		t.Fatal(err)
	}
	f.DecidedBy = "somebody else"
	noKey := errors.New("no key")
	if err := f.write(dir, func([]byte) ([]byte, error) { return nil, noKey }); !errors.Is(err, noKey) {
		t.Errorf("got %v, want the signer's error", err)
	}
	if f, err := readEpochFile(dir, o.Verify); err != nil || f.DecidedBy != "init" {
		t.Errorf("got %q, %v, want the old file", f.DecidedBy, err)
	}
}

func TestEpochFileRefused(t *testing.T) {
	field := func(name string, value any) func(m map[string]any) {
		return func(m map[string]any) { m[name] = value }
	}
	cases := []struct {
		name   string
		change func(m map[string]any)
		want   string
	}{
		{"group changed", field("group", "other"), "not signed"},
		{"epoch seen raised", field("highest_epoch_seen", 9), "not signed"},
		{"signature gone", field("signature", nil), "not signed"},
		{"signature not base64", field("signature", "%%"), "damaged"},
		{"other version", field("v", 2), "version 2"},
		{"epoch 0", field("epoch", 0), "epoch 0"},
		{"epoch negative", field("epoch", -1), "damaged"},
		{"epoch above highest", field("highest_epoch_seen", 2), "highest"},
		{"copy leaves the folder", field("copy", "../../etc"), "copy"},
		{"copy of another epoch", field("copy", "epoch-2.1"), "copy"},
		{"cluster id too short", field("cluster_id", "beef"), "cluster_id"},
		{"no group", field("group", ""), "group"},
		{"no server", field("server", ""), "server"},
		{"since zero", field("since", time.Time{}), "since"},
		{"unknown field", field("extra", 1), "extra"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			o := testOptions(dir)
			if err := goodEpochFile().write(dir, o.Sign); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, epochFileName)
			b, _ := os.ReadFile(path)
			var m map[string]any
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			c.change(m)
			b, _ = json.Marshal(m)
			os.WriteFile(path, b, 0o600)
			_, err := readEpochFile(dir, o.Verify)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want an error with %q and the path", err, c.want)
			}
		})
	}
	for name, b := range map[string]string{
		"empty": "", "cut": `{"v":1,"gro`, "two documents": `{} {}`, "an array": `[]`, "huge": strings.Repeat(" ", maxEpochFile+1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			os.WriteFile(filepath.Join(dir, epochFileName), []byte(b), 0o600)
			if _, err := readEpochFile(dir, verifyTestKey); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("got %v, want damaged", err)
			}
		})
	}
	if _, err := readEpochFile(t.TempDir(), verifyTestKey); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want fs.ErrNotExist", err)
	}
}

func FuzzEpochFile(f *testing.F) {
	good, err := json.Marshal(goodEpochFile())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"v":1,"epoch":18446744073709551615,"copy":"epoch-18446744073709551615.1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := parseEpochFile(b)
		if err != nil {
			return
		}
		out, err := json.Marshal(parsed)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseEpochFile(out)
		if err != nil {
			t.Fatalf("what was accepted is refused when written: %v\n%s", err, out)
		}
		if a, b := mustMessage(t, parsed), mustMessage(t, again); !bytes.Equal(a, b) {
			t.Errorf("the signed message changed: %s, then %s", a, b)
		}
		if filepath.Base(parsed.Copy) != parsed.Copy {
			t.Errorf("copy %q leaves the folder", parsed.Copy)
		}
	})
}
