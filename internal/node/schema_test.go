package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/mfa"
	"countersign/internal/store"
)

// A group that has gone on to a later schema is too new for this program: a server that
// runs ends, one that starts is refused, before it opens anything if it was told, and a
// backup of that group is refused.
func TestTooOld(t *testing.T) {
	o := options(folder(t))
	if err := Init(t.Context(), o, "corp"); err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	told := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, mfa.ErrOutdated) || !strings.Contains(err.Error(), "install version v9") {
			t.Errorf("%s: %v", what, err)
		}
	}
	s := &server{Options: o, small: true, work: 10}
	told("a server that runs", s.run(t.Context(), func(ctx context.Context) error {
		later := store.GroupSchema{Schema: store.Schema + 1, Program: "v9", Since: time.Now()}
		return errors.Join(s.store.RaiseSchema(ctx, later, nil), s.admin.Backup(ctx, "test", passphrase, &backup))
	}))
	opened := func() time.Time {
		info, err := os.Stat(filepath.Join(o.Config.DataDir, "db", "epoch-1.1", "member", "wal"))
		must(t, err)
		return info.ModTime()
	}
	before := opened()
	told("a server that starts", Run(t.Context(), o))
	if !opened().Equal(before) {
		t.Error("it opened the database")
	}
	must(t, os.Remove(filepath.Join(o.Config.DataDir, schemaName)))
	told("a server that starts, in a folder that tells nothing", Run(t.Context(), o))

	other := options(folder(t))
	told("a backup", RestoreBackup(t.Context(), other, bytes.NewReader(backup.Bytes()), passphrase, ""))
	if left := listing(t, other.Config.DataDir); left != "" {
		t.Errorf("a refused restore left %s", left)
	}
}

// A witness keeps a parked copy for a while, and never the one that counts.
func TestWitnessDropsParkedCopies(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().UTC()
	for copy, at := range map[string]time.Time{"epoch-1.1": now.Add(-parkedKeep - time.Hour), "epoch-2.1": now.Add(-time.Hour), "epoch-3.1": now.Add(-2 * parkedKeep)} {
		must(t, os.MkdirAll(filepath.Join(dir, "db", copy), 0o700))
		b, err := json.Marshal(cluster.Parked{V: 1, Copy: copy, Epoch: uint64(copy[len("epoch-")] - '0'), Time: at})
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "db", copy+".parked"), b, 0o600))
	}
	dropParked(dir, "epoch-3.1", now, slog.New(slog.DiscardHandler))
	for copy, want := range map[string]bool{"epoch-1.1": false, "epoch-2.1": true, "epoch-3.1": true} {
		if _, err := os.Stat(filepath.Join(dir, "db", copy)); (err == nil) != want {
			t.Errorf("%s is there: %v", copy, err == nil)
		}
	}
}

// At a start one refusal counts at once. Others have a moment to refuse; while nobody has
// answered at all, the start waits longer, for they may be busy.
func TestOutdated(t *testing.T) {
	type said struct {
		after time.Duration // 0: never
		err   error
	}
	refusal, down := mfa.ErrOutdated, errors.New("connection refused")
	for _, c := range []struct {
		name string
		say  []said
		want error
		took time.Duration
	}{
		{"nobody else", nil, nil, 0},
		{"all agree", []said{{time.Second, nil}, {time.Millisecond, nil}}, nil, time.Second},
		{"one refuses", []said{{time.Millisecond, refusal}, {}}, refusal, time.Millisecond},
		{"all are down", []said{{time.Millisecond, down}, {time.Millisecond, down}}, nil, time.Millisecond},
		{"one is silent", []said{{time.Millisecond, nil}, {}}, nil, currentWithin},
		{"one refuses after another agreed", []said{{time.Millisecond, nil}, {time.Second, refusal}}, refusal, time.Second},
		{"all are silent", []said{{}, {}}, nil, currentAtMost},
		{"all are busy, one refuses", []said{{3 * time.Second, refusal}, {}}, refusal, 3 * time.Second},
		{"all are busy, one agrees", []said{{3 * time.Second, nil}, {}}, nil, 3 * time.Second},
		{"one is down, one busy", []said{{time.Millisecond, down}, {4 * time.Second, refusal}}, refusal, 4 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var others []mfa.Member
				for i := range c.say {
					others = append(others, mfa.Member{Name: strconv.Itoa(i)})
				}
				began := time.Now()
				err := outdated(t.Context(), others, func(ctx context.Context, m mfa.Member) error {
					i, _ := strconv.Atoi(m.Name)
					var answer <-chan time.Time
					if c.say[i].after > 0 {
						answer = time.After(c.say[i].after)
					}
					select {
					case <-answer:
						return c.say[i].err
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				if took := time.Since(began); !errors.Is(err, c.want) || took != c.took {
					t.Errorf("%v after %s, want %v after %s", err, took, c.want, c.took)
				}
			})
		})
	}
}
