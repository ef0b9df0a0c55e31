package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestJournaled(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	device, inode, ok := fileID(f)
	if !ok {
		t.Skip("this system has no journal")
	}
	stream := fmt.Sprintf("%d:%d", device, inode)
	for name, one := range map[string]struct{ got, want bool }{
		"the journal":           {journaled(f, stream), true},
		"a file":                {journaled(f, "8:1"), false},
		"no service":            {journaled(f, ""), false},
		"a pipe of the program": {journaled(&bytes.Buffer{}, stream), false},
	} {
		if one.got != one.want {
			t.Errorf("%s: %t", name, one.got)
		}
	}
}
