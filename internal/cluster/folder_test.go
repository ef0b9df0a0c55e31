package cluster

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// tree returns every file below dir with mode, time and content digest.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%v %v", st.Mode(), st.ModTime())
		if st.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(b))
		}
		all[path] = text
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

// closedFolder returns the options of a folder with a database of one key, closed.
func closedFolder(t *testing.T) Options {
	t.Helper()
	n := newNode(t)
	put(t, n, "u/1", "alice-value")
	n.Close()
	return n.o
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefusedFolders(t *testing.T) {
	db := func(o Options) string { return copyDir(o.DataDir, "epoch-1.1") }
	wals := func(o Options) []string {
		names, _ := filepath.Glob(filepath.Join(db(o), "member", "wal", "*.wal"))
		return names
	}
	flip := func(t *testing.T, path, at string) {
		b, err := os.ReadFile(path)
		must(t, err)
		i := bytes.Index(b, []byte(at))
		if i < 0 {
			t.Fatalf("%s does not hold %q", path, at)
		}
		b[i] ^= 1
		must(t, os.WriteFile(path, b, 0o600))
	}
	cases := []struct {
		name   string
		change func(t *testing.T, o *Options)
		want   []string // parts of the message: what was found, what to do
	}{
		{"not there", func(t *testing.T, o *Options) { must(t, os.RemoveAll(o.DataDir)) }, []string{"does not exist"}},
		{"empty", func(t *testing.T, o *Options) { must(t, os.RemoveAll(o.DataDir)); must(t, os.Mkdir(o.DataDir, 0o700)) }, []string{"is empty"}},
		{"foreign files", func(t *testing.T, o *Options) {
			o.DataDir = t.TempDir()
			for _, n := range []string{"a", "b", "c", "d", "e"} {
				must(t, os.WriteFile(filepath.Join(o.DataDir, n), nil, 0o600))
			}
		}, []string{"not a data folder", "a, b, c and 2 more", "empty folder"}},
		{"database without epoch file", func(t *testing.T, o *Options) { must(t, os.Remove(filepath.Join(o.DataDir, epochFileName))) },
			[]string{"no epoch.json", "backup", "remove the folder"}},
		{"only snapshots", func(t *testing.T, o *Options) {
			must(t, os.Remove(filepath.Join(o.DataDir, epochFileName)))
			must(t, os.RemoveAll(filepath.Join(o.DataDir, dbDirName)))
			must(t, os.Mkdir(filepath.Join(o.DataDir, snapshotDirName), 0o700))
		}, []string{"snapshots of an earlier database", "restore"}},
		{"epoch file damaged", func(t *testing.T, o *Options) {
			must(t, os.WriteFile(filepath.Join(o.DataDir, epochFileName), []byte("{"), 0o600))
		}, []string{"damaged", "backup"}},
		{"epoch file changed", func(t *testing.T, o *Options) { flip(t, filepath.Join(o.DataDir, epochFileName), "init") },
			[]string{"not signed"}},
		{"epoch file is a folder", func(t *testing.T, o *Options) {
			must(t, os.Remove(filepath.Join(o.DataDir, epochFileName)))
			must(t, os.Mkdir(filepath.Join(o.DataDir, epochFileName), 0o700))
		}, []string{epochFileName}},
		{"other group", func(t *testing.T, o *Options) { o.Group = "other" }, []string{`belongs to group "main"`, `"other"`, "data_dir"}},
		{"other server", func(t *testing.T, o *Options) { o.Name = "lon1" }, []string{`belongs to server "nyc1"`, "name: nyc1"}},
		{"database folder missing", func(t *testing.T, o *Options) { must(t, os.RemoveAll(db(*o))) }, []string{"not there", "restore"}},
		{"log missing", func(t *testing.T, o *Options) { must(t, os.RemoveAll(filepath.Join(db(*o), "member", "wal"))) },
			[]string{"no write-ahead log", "restore"}},
		{"database file missing", func(t *testing.T, o *Options) { must(t, os.Remove(filepath.Join(db(*o), "member", "snap", "db"))) },
			[]string{"snap/db is not there", "restore"}},
		{"database file damaged", func(t *testing.T, o *Options) {
			must(t, os.WriteFile(filepath.Join(db(*o), "member", "snap", "db"), make([]byte, 1<<16), 0o600))
		}, []string{"damaged", "restore"}},
		{"database file cut off", func(t *testing.T, o *Options) {
			must(t, os.Truncate(filepath.Join(db(*o), "member", "snap", "db"), 100))
		}, []string{"damaged", "restore"}},
		{"log record changed", func(t *testing.T, o *Options) { flip(t, wals(*o)[0], "alice-value") },
			[]string{"write-ahead log is damaged", "crc", "restore"}},
		{"log broken in its middle", func(t *testing.T, o *Options) {
			b, err := os.ReadFile(wals(*o)[0])
			must(t, err)
			copy(b[200:], bytes.Repeat([]byte("garbage!"), 1000))
			must(t, os.WriteFile(wals(*o)[0], b, 0o600))
		}, []string{"write-ahead log is damaged", "breaks off after entry", "restore"}},
		{"log is not one", func(t *testing.T, o *Options) {
			must(t, os.WriteFile(wals(*o)[0], bytes.Repeat([]byte("garbage!"), 1000), 0o600))
		}, []string{"write-ahead log is damaged", "restore"}},
		{"log is empty", func(t *testing.T, o *Options) { must(t, os.Truncate(wals(*o)[0], 0)) },
			[]string{"write-ahead log is damaged", "restore"}},
		{"database of another cluster", func(t *testing.T, o *Options) {
			other := closedFolder(t)
			must(t, os.RemoveAll(db(*o)))
			must(t, os.Rename(db(other), db(*o)))
		}, []string{"is of cluster", "epoch.json says", "one backup"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := closedFolder(t)
			c.change(t, &o)
			before := tree(t, o.DataDir)
			n, err := Open(t.Context(), o)
			if err == nil {
				n.Close()
				t.Fatal("the folder was opened")
			}
			for _, want := range append(c.want, o.DataDir) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("message of several lines: %q", err)
			}
			if after := tree(t, o.DataDir); !maps.Equal(before, after) {
				t.Errorf("the folder was touched:\n%v\n%v", before, after)
			}
			if empty := c.name == "not there" || c.name == "empty"; errors.Is(err, ErrEmpty) != empty {
				t.Errorf("errors.Is(%v, ErrEmpty) = %v, want %v", err, !empty, empty)
			}
			if c.name == "not there" || c.name == "empty" {
				return
			}
			if n, err := Found(t.Context(), o); err == nil {
				n.Close()
				t.Error("a group was founded in it")
			}
			if after := tree(t, o.DataDir); !maps.Equal(before, after) {
				t.Errorf("founding touched the folder:\n%v\n%v", before, after)
			}
		})
	}
}

func TestRefusedLockFileIsNotLeftBehind(t *testing.T) {
	o := closedFolder(t)
	must(t, os.Remove(filepath.Join(o.DataDir, lockFileName)))
	must(t, os.RemoveAll(copyDir(o.DataDir, "epoch-1.1")))
	if _, err := Open(t.Context(), o); err == nil {
		t.Fatal("opened")
	}
	if _, err := os.Stat(filepath.Join(o.DataDir, lockFileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lock file: %v, want none", err)
	}
}

func TestFoundRefusesAnExistingDatabase(t *testing.T) {
	o := closedFolder(t)
	before := tree(t, o.DataDir)
	if _, err := Found(t.Context(), o); !errors.Is(err, mfa.ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	if after := tree(t, o.DataDir); !maps.Equal(before, after) {
		t.Error("the folder was touched")
	}
}

func TestFoundBesideFilesOfOtherParts(t *testing.T) {
	o := testOptions(t.TempDir())
	for _, name := range []string{"keys", "trail", "lost+found"} {
		must(t, os.Mkdir(filepath.Join(o.DataDir, name), 0o700))
	}
	o.Known = []string{"keys", "trail"}
	n, err := Found(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
}

func TestFoundThatFailsLeavesTheFolderEmpty(t *testing.T) {
	o := testOptions(t.TempDir())
	o.Sign = func([]byte) ([]byte, error) { return nil, errors.New("no key") }
	if _, err := Found(t.Context(), o); err == nil {
		t.Fatal("founded without a key")
	}
	if left := slices.Collect(maps.Keys(tree(t, o.DataDir))); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	o.Sign = testOptions("").Sign
	n, err := Found(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
}

func TestOptionsRefused(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no folder":         func(o *Options) { o.DataDir = "" },
		"no name":           func(o *Options) { o.Name = "" },
		"name with a comma": func(o *Options) { o.Name = "a,b" },
		"name with a slash": func(o *Options) { o.Name = "../a" },
		"group with space":  func(o *Options) { o.Group = "a b" },
		"peer without port": func(o *Options) { o.Peer = "https://a" },
		"peer in the clear": func(o *Options) { o.Peer = "http://a:1" },
		"no verifier":       func(o *Options) { o.Verify = nil },
		"no signer":         func(o *Options) { o.Sign = nil },
		"founded nameless":  func(o *Options) { o.Group = "" },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(t.TempDir())
			change(&o)
			if _, err := Found(t.Context(), o); !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

func TestSecondOpenInTheProcess(t *testing.T) {
	n := newNode(t)
	_, err := Open(t.Context(), n.o)
	want := fmt.Sprintf("%s: data folder is in use by process %d", n.o.DataDir, os.Getpid())
	if !errors.Is(err, ErrLocked) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	put(t, n, "u/1", "still works")
}

func TestSecondOpenByAnotherProcess(t *testing.T) {
	n := newNode(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "CLUSTER_TEST_CHILD=open", "CLUSTER_TEST_DIR="+n.o.DataDir)
	out, err := cmd.CombinedOutput()
	want := fmt.Sprintf("%s: data folder is in use by process %d", n.o.DataDir, os.Getpid())
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("the second process said %q (%v), want %q and exit 1", out, err, want)
	}
}

func TestStaleLockFileDoesNotMatter(t *testing.T) {
	o := closedFolder(t)
	must(t, os.WriteFile(filepath.Join(o.DataDir, lockFileName), []byte("1\n"), 0o600))
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
}
