package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/peer"
)

// paper is a trail of acts, newest first.
type paper []peer.TrailEntry

func (p paper) page(q peer.TrailQuery) (out peer.TrailPage) {
	for _, e := range p {
		switch {
		case q.Before != 0 && e.Seq >= q.Before:
		case len(out.Entries) == q.Limit:
			out.More = true
			return out
		default:
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// Page by page, every record of every trail is listed once, by time, however the servers' clocks
// and trails are; that of a silent server is missing on all pages, and it is named.
func TestGather(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trails := map[string]paper{}
		names := []string{"a", "b.example", "c-1"}[:rapid.IntRange(1, 3).Draw(t, "servers")]
		want := map[string]bool{}
		silent := ""
		for _, name := range names {
			at, seq := int64(1000), uint64(0)
			for range rapid.IntRange(0, 12).Draw(t, "records") {
				seq += uint64(rapid.IntRange(1, 3).Draw(t, "gap"))
				at += int64(rapid.IntRange(0, 5).Draw(t, "later"))
				object := fmt.Sprintf("%s/%d", name, seq)
				trails[name] = append(trails[name], peer.TrailEntry{Seq: seq, Record: mfa.Record{Act: &mfa.Act{Time: time.Unix(at, 0), Object: object}}})
				want[object] = true
			}
			slices.Reverse(trails[name])
			if name != "a" && silent == "" && rapid.IntRange(0, 3).Draw(t, "silent") == 0 {
				silent = name
				for _, e := range trails[name] {
					delete(want, e.Record.Act.Object)
				}
			}
		}
		pages := 0
		var last time.Time
		var got []mfa.Act
		q := admin.AuditQuery{Limit: rapid.IntRange(1, 7).Draw(t, "limit")}
		for {
			from, err := parseCursor(q.After, "a")
			if err != nil {
				t.Fatal(err)
			}
			var all []*source
			for _, name := range names {
				s := &source{name: name, before: from.before[name]}
				if name == silent && pages == 0 || slices.Contains(from.silent, name) { // it is back on the second page, and stays out
					s.err = errors.New("away")
				} else {
					s.page = trails[name].page(peer.TrailQuery{Before: s.before, Limit: q.Limit})
				}
				all = append(all, s)
			}
			page := merge(all, q.Limit, len(names) == 1, func(r mfa.Record) *mfa.Act { return r.Act }, func(a mfa.Act) time.Time { return a.Time })
			if named := len(page.Silent) == 1 && page.Silent[0].Server == silent; named != (silent != "") {
				t.Fatalf("silent %q, named %+v", silent, page.Silent)
			}
			got = append(got, page.Records...)
			if pages++; page.Next == "" || pages > 50 {
				break
			}
			q.After = page.Next
		}
		for _, a := range got {
			if !last.IsZero() && a.Time.After(last) {
				t.Fatalf("%s of %s after one of %s", a.Object, a.Time, last)
			}
			if last = a.Time; !want[a.Object] {
				t.Fatalf("%s twice, or of a silent server", a.Object)
			}
			delete(want, a.Object)
		}
		if len(want) > 0 {
			t.Fatalf("missing %v after %d pages", want, pages)
		}
	})
}

func TestCursorOfTrails(t *testing.T) {
	for _, bad := range []string{"x", "a:1,b", ":1", "a:x", "-1", "a:1,,b:2"} {
		if _, err := parseCursor(bad, "a"); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if c, err := parseCursor("17", "a"); err != nil || !c.own || c.before["a"] != 17 {
		t.Errorf("of one trail: %+v, %v", c, err)
	}
}

// The audit of any server has what was done at all of them, and names those that are silent.
func TestAuditOfAGroup(t *testing.T) {
	n1, two := pair(t)
	defer n1.stop()
	n2 := startInner(t, two)
	for i, s := range []inner{n1, n2} {
		until(t, "user", func() bool {
			return onSocket(t, s.Config.DataDir, "POST", "/users", fmt.Sprintf(`{"login":"user%d"}`, i), nil)/100 == 2
		})
	}
	added := func(dir, query string) (by string, silent []admin.SilentServer) {
		var acts admin.ActList
		if s := onSocket(t, dir, "GET", "/audit/acts?limit=100"+query, "", &acts); s != http.StatusOK {
			t.Fatalf("acts: %d", s)
		}
		for _, a := range slices.Backward(acts.Acts) {
			if a.Verb == "user add" {
				by += a.Server + " "
			}
		}
		return by, acts.Silent
	}
	for _, s := range []inner{n1, n2} {
		until(t, "contact", func() bool { _, silent := added(s.Config.DataDir, ""); return len(silent) == 0 })
		if by, _ := added(s.Config.DataDir, ""); by != "nyc1 nyc2 " {
			t.Errorf("%s lists what was done at %q", s.Config.Name, by)
		}
		if by, _ := added(s.Config.DataDir, "&here=true"); by != s.Config.Name+" " {
			t.Errorf("%s lists of its own %q", s.Config.Name, by)
		}
	}
	if page, err := n1.admin.Audit.Acts(context.Background(), admin.AuditQuery{Limit: 2}); err != nil || len(page.Records) != 2 || !strings.Contains(page.Next, "nyc2:") {
		t.Errorf("a page: %+v, %v", page, err)
	}
	n2.stop()
	must(t, <-n2.done)
	var silent []admin.SilentServer
	until(t, "silence", func() bool { _, silent = added(n1.Config.DataDir, ""); return len(silent) == 1 })
	if silent[0].Server != "nyc2" || silent[0].Error == "" {
		t.Errorf("silent: %+v", silent)
	}
	if by, _ := added(n1.Config.DataDir, ""); by != "nyc1 " {
		t.Errorf("without nyc2: %q", by)
	}
}
