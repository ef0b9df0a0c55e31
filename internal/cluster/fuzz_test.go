package cluster

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The mark of a parked copy names that copy and no other folder.
func FuzzParkedMark(f *testing.F) {
	good, err := json.Marshal(Parked{V: 1, Copy: "epoch-1.2", Group: "main", Epoch: 1, ClusterID: "00000000deadbeef", Next: 2, Time: time.Unix(1, 0).UTC()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("epoch-1.2", good)
	f.Add("epoch-2.1", []byte(`{"v":1,"copy":"epoch-2.1","epoch":7}`))
	f.Add("../x", []byte(`{"v":1,"copy":"../x"}`))
	f.Add("", []byte(`{}`))
	f.Fuzz(func(t *testing.T, copy string, b []byte) {
		p, err := parseParked(copy, b)
		if err != nil {
			return
		}
		if p.Copy != copy || filepath.Base(p.Copy) != p.Copy || filepath.Dir(p.Path("data")) != filepath.Join("data", dbDirName) {
			t.Errorf("%q of %q leaves the folder", p.Copy, copy)
		}
		if !strings.HasPrefix(copy, "epoch-"+strconv.FormatUint(p.Epoch, 10)+".") || p.Epoch == 0 {
			t.Errorf("%q is taken for a copy of epoch %d", copy, p.Epoch)
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseParked(copy, out)
		if back, _ := json.Marshal(again); err != nil || string(back) != string(out) {
			t.Errorf("%s came back as %s, %v", out, back, err)
		}
	})
}
