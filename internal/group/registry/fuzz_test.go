package registry

import (
	"encoding/json"
	"testing"
	"time"

	"countersign/internal/store/storetest"
)

// A record of a coordinator is read as it was written, by this version, or not at all: one
// at a time as all of them.
func FuzzRecords(f *testing.F) {
	for _, r := range []any{
		Group{V: schema, Name: "corp", Epoch: 3, Highest: 4, Master: "n1", Granted: &Grant{Group: "corp", From: 2, Epoch: 3, Candidate: "n1"}, Created: time.Unix(1, 0).UTC()},
		Server{V: schema, Group: "corp", Name: "n1", Role: "server", Hosts: []string{"n1"}, Addresses: []string{"10.0.0.1"}},
		Group{V: schema + 1, Name: "corp"},
	} {
		b, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`null`))
	f.Add([]byte(`{"v":1,"epoch":18446744073709551615}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > 1<<20 {
			return // no database holds that
		}
		ctx := t.Context()
		s := &Service{KV: &storetest.Memory{}}
		put := func(key string, value []byte) {
			t.Helper()
			_, rev, err := s.KV.Get(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok, err := s.KV.Commit(ctx, map[string]int64{key: rev}, map[string][]byte{key: value}, nil); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
		put(groupKey("corp"), b)
		put(serverKey("corp", "n1"), b)
		g, _, err := s.group(ctx, "corp")
		all, scanned := s.Groups(ctx)
		if (err == nil) != (scanned == nil) {
			t.Errorf("%q: read one by one %v, all %v", b, err, scanned)
		}
		if err == nil {
			out, err := json.Marshal(g)
			if err != nil {
				t.Fatal(err)
			}
			put(groupKey("corp"), out)
			again, _, err := s.group(ctx, "corp")
			if back, _ := json.Marshal(again); err != nil || string(back) != string(out) || g.V != schema || len(all) != 1 {
				t.Errorf("%s came back as %s, %v", out, back, err)
			}
		}
		m, _, err := s.server(ctx, "corp", "n1")
		if servers, scanned := s.Servers(ctx, "corp"); (err == nil) != (scanned == nil) || err == nil && len(servers) != 1 {
			t.Errorf("%q: read one by one %v, all %v", b, err, scanned)
		}
		if err == nil {
			out, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			put(serverKey("corp", "n1"), out)
			again, _, err := s.server(ctx, "corp", "n1")
			if back, _ := json.Marshal(again); err != nil || string(back) != string(out) || m.V != schema {
				t.Errorf("%s came back as %s, %v", out, back, err)
			}
		}
	})
}
