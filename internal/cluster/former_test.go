package cluster

import (
	"os"
	"path/filepath"
	"testing"
)

// What an epoch was made from is found, and nothing else.
func TestFormerCopies(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"epoch-1.1", "epoch-2.1", "epoch-2.2", "epoch-3.1", "epoch-3.2", "epoch-4.1", "epoch-1.7", "lost+found"} {
		must(t, os.MkdirAll(filepath.Join(dir, dbDirName, name, "member"), 0o700))
	}
	must(t, os.WriteFile(filepath.Join(dir, dbDirName, "epoch-2.1", "member", "db"), make([]byte, 1000), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, dbDirName, "epoch-2.2"+parkedSuffix), []byte("{}"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, joiningFileName), []byte("epoch-1.7\n"), 0o600))
	all, err := FormerCopies(dir, "epoch-3.1")
	must(t, err)
	if len(all) != 2 || all[0].Copy != "epoch-1.1" || all[1].Copy != "epoch-2.1" || all[1].Bytes != 1000 || all[1].Epoch != 2 {
		t.Fatalf("got %+v", all)
	}
	must(t, DropFormer(dir, all[1]))
	if all, err := FormerCopies(dir, "epoch-3.1"); err != nil || len(all) != 1 {
		t.Errorf("after one was removed: %+v, %v", all, err)
	}
	if err := DropFormer(dir, Former{Copy: "../keys"}); err == nil {
		t.Error("another folder was removed")
	}
	if _, err := FormerCopies(dir, ""); err == nil {
		t.Error("which copy counts is not known, and others are called former")
	}
}
