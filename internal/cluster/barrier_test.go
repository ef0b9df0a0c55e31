package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A sole voter that was killed has its newest writes in its log alone, and raft answers the
// first read of a term of a group of one before that log counts as acknowledged.
func TestBarrierShowsAllThatWasAcknowledged(t *testing.T) {
	n := newNode(t)
	for i := range 12 {
		key := fmt.Sprintf("k%d", i)
		put(t, n, key, "1")
		dir := filepath.Join(t.TempDir(), "data") // as kill -9 leaves it
		must(t, os.CopyFS(dir, os.DirFS(n.o.DataDir)))
		o := n.o
		o.DataDir = dir
		killed, err := Open(t.Context(), o)
		must(t, err)
		_, err = killed.Barrier(t.Context())
		must(t, err)
		if v := localValue(t, killed, key); v != "1" {
			t.Errorf("write %d was acknowledged, and is not there after a kill", i)
		}
		killed.Close()
	}
}
