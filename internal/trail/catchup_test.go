package trail

import (
	"strings"
	"testing"
	"time"
)

// The log says that an index is far behind, how it comes on, and that it is there; of one that
// keeps up it says nothing.
func TestCatchingUpIsTold(t *testing.T) {
	o, log := onDisk(t), &logs{}
	o.Log = log.logger()
	tr, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	x, err := OpenIndex(tr)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	at := func(seq, head uint64, after time.Duration) (said string) {
		before := len(log.String())
		x.at.pos.Seq = seq
		x.tell(head, start.Add(after))
		return log.String()[before:]
	}
	for _, tt := range []struct {
		seq, head uint64
		after     time.Duration
		want      []string
	}{
		{0, indexFar - 1, 0, nil},
		{0, 100_000, 0, []string{"far behind", "records=100000"}},
		{500, 100_000, time.Second, nil},
		{20_000, 100_000, 10 * time.Second, []string{"done=20000", "left=80000", "ready_in=40s"}},
		{40_000, 100_000, 15 * time.Second, nil},
		{100_000, 100_500, 50 * time.Second, []string{"caught up", "took=50s"}},
		{100_500, 100_501, 60 * time.Second, nil},
	} {
		said := at(tt.seq, tt.head, tt.after)
		if (said == "") != (tt.want == nil) {
			t.Errorf("at %d of %d: %q", tt.seq, tt.head, said)
		}
		for _, w := range tt.want {
			if !strings.Contains(said, w) {
				t.Errorf("at %d of %d: %q, want %q", tt.seq, tt.head, said, w)
			}
		}
	}
}
