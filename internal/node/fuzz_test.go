package node

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/coordinator"
	"countersign/internal/mfa"
	"countersign/internal/store"
)

// What a server keeps beside its database is read as it was written, or not at all; whoever
// has changed a file has a server start without it, or not start, and not with nonsense.
func FuzzKeptFiles(f *testing.F) {
	dir := f.TempDir()
	id, err := makeIdentity(f.TempDir())
	must(f, err)
	key := func(string) ed25519.PublicKey { return id.public() }
	for _, v := range []any{
		coordinator.Standing{Group: "corp", Epoch: 3, Name: "n1", By: "n1"}, coordinator.Standing{Group: "corp", Epoch: ^uint64(0), By: "n1"},
		roster{"corp", []mfa.Member{{Name: "n1", Peer: "n1:7443"}}}, store.GroupSchema{Schema: 2, Program: "v2"}, parkedState{V: 1, Tries: 1, Done: time.Unix(1, 0).UTC()},
	} {
		b, err := json.Marshal(v)
		must(f, err)
		f.Add(b)
	}
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"schema":-1}`))
	f.Add([]byte(`{"v":1,"tries":-9000000000000000000}`))
	put := func(t *testing.T, name string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Skip("no JSON, and so never signed")
		}
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		must(t, os.WriteFile(filepath.Join(dir, schemaName), b, 0o600))
		if g, err := loadSchema(dir); err == nil && g.Schema < 1 {
			t.Errorf("%s: the group's schema is %d", b, g.Schema)
		}

		copies := &parkedCopies{dataDir: dir, log: slog.New(slog.DiscardHandler)}
		p := cluster.Parked{Copy: "epoch-1.1"}
		must(t, os.MkdirAll(filepath.Dir(copies.statePath(p)), 0o700))
		must(t, os.WriteFile(copies.statePath(p), b, 0o600))
		st, err := copies.state(p)
		must(t, err)
		if st.Tries < 0 {
			t.Errorf("%s: a copy was opened %d times", b, st.Tries)
		}
		must(t, copies.keep(p, st))
		if again, err := copies.state(p); err != nil || again.Tries != st.Tries || !again.Done.Equal(st.Done) || again.Given != st.Given || again.From != st.From {
			t.Errorf("%+v came back as %+v, %v", st, again, err)
		}

		sig, err := id.signMessage(append([]byte("countersign standing 1\n"), b...))
		must(t, err)
		put(t, standingName, standingFile{1, time.Unix(1, 0), coordinator.Signed{Standing: b, Signature: sig}})
		var k standing
		if err := k.load(dir, "corp", 7, key); err == nil && (k.last.Group != "corp" || k.last.Epoch > 7+maxEpochStep) {
			t.Errorf("%+v is believed", k.last)
		}

		sig, err = id.signMessage(append([]byte(rosterContext), b...))
		must(t, err)
		put(t, rosterName, rosterFile{1, b, sig})
		if r, err := loadRoster(dir, id); err == nil {
			must(t, r.write(dir, id))
			again, err := loadRoster(dir, id)
			a, _ := json.Marshal(r)
			if back, _ := json.Marshal(again); err != nil || !bytes.Equal(a, back) {
				t.Errorf("%s came back as %s, %v", a, back, err)
			}
		}
	})
}
