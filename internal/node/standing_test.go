package node

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/coordinator"
)

// The coordinator's last answer is kept over a start, and believed only as it was signed.
func TestStandingIsKept(t *testing.T) {
	dir := t.TempDir()
	id, err := makeIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := func(server string) ed25519.PublicKey {
		if server == "n1" {
			return id.public()
		}
		return nil
	}
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	say := func(k *standing, by, master string, epoch uint64, at time.Time) error {
		t.Helper()
		s, err := coordinator.Sign(coordinator.Standing{Group: "corp", Epoch: epoch, Name: master, By: by}, id.signMessage)
		if err != nil {
			t.Fatal(err)
		}
		return k.heard(dir, s, key, 1, at)
	}
	again := func(group string) (*standing, error) {
		var k standing
		return &k, k.load(dir, group, 1, key)
	}

	if k, err := again("corp"); err != nil || !k.at.IsZero() {
		t.Errorf("none yet: %+v, %v", k.at, err)
	}
	var k standing
	if err := say(&k, "n9", "n9", 3, now); err == nil {
		t.Error("an answer of somebody unknown is believed")
	}
	for i, step := range []struct {
		master string
		epoch  uint64
		after  time.Duration
		file   time.Duration // time in the file then
	}{{"n1", 3, 0, 0}, {"n1", 3, 30 * time.Second, 0}, {"n1", 3, 60 * time.Second, 60 * time.Second}, {"n2", 3, 61 * time.Second, 61 * time.Second}, {"n1", 4, 62 * time.Second, 62 * time.Second}} {
		if err := say(&k, "n1", step.master, step.epoch, now.Add(step.after)); err != nil {
			t.Fatal(err)
		}
		st, at := k.Last()
		kept, err := again("corp")
		if err != nil || st.Name != step.master || !at.Equal(now.Add(step.after)) || kept.last.Name != step.master || !kept.at.Equal(now.Add(step.file)) || !kept.since().IsZero() {
			t.Errorf("step %d: %+v at %s, kept %+v of %s, %v", i, st, at, kept.last, kept.at, err)
		}
	}
	if err := say(&k, "n1", "n1", 3, now.Add(time.Hour)); err == nil {
		t.Error("an epoch that has ended is believed")
	}
	if err := say(&k, "n1", "n1", 2+maxEpochStep, now.Add(time.Hour)); err == nil {
		t.Error("an epoch that cannot be is believed")
	}
	if err := say(&k, "n1", "n1", 4, now.Add(time.Hour)); err != nil {
		t.Errorf("after one that cannot be: %v", err)
	}
	if _, err := again("lab"); err == nil {
		t.Error("another group's is believed")
	}
	path := filepath.Join(dir, standingName)
	good, _ := os.ReadFile(path)
	for name, bad := range map[string][]byte{
		"another master": bytes.Replace(good, []byte(`"master":"n1"`), []byte(`"master":"n2"`), 1), "cut off": good[:len(good)/2], "empty": nil,
		"another format": bytes.Replace(good, []byte(`"v":1`), []byte(`"v":2`), 1), "large": bytes.Repeat([]byte(" "), maxStanding+1),
	} {
		if bytes.Equal(bad, good) {
			t.Fatalf("%s: nothing was changed in %s", name, good)
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if k, err := again("corp"); err == nil || !strings.Contains(err.Error(), standingName) || !k.at.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
}
