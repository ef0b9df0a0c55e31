package cluster

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("CLUSTER_TEST_CHILD"); role != "" {
		child(role, os.Getenv("CLUSTER_TEST_DIR"))
		return
	}
	goleak.VerifyTestMain(m)
}

// testKey is fixed so that a child process signs and verifies with the same.
var testKey = ed25519.NewKeyFromSeed([]byte("cluster test seed, 32 bytes long"))

// testOptions returns options for a node in dir, with a small ballast.
func testOptions(dir string) Options {
	return Options{
		DataDir: dir, Name: "nyc1", Group: "main", Now: time.Now,
		Log:     slog.New(slog.DiscardHandler),
		Sign:    func(m []byte) ([]byte, error) { return ed25519.Sign(testKey, m), nil },
		Verify:  verifyTestKey,
		Ballast: 1 << 20,
	}
}

func verifyTestKey(m, sig []byte) error {
	if !ed25519.Verify(testKey.Public().(ed25519.PublicKey), m, sig) {
		return errors.New("wrong signature")
	}
	return nil
}

// newNode founds a group in a fresh folder; the test closes it.
func newNode(t testing.TB, change ...func(*Options)) *Node {
	t.Helper()
	o := testOptions(filepath.Join(t.TempDir(), "data"))
	for _, c := range change {
		c(&o)
	}
	n, err := Found(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// reopen closes n and opens its folder again.
func reopen(t testing.TB, n *Node) *Node {
	t.Helper()
	n.Close()
	m, err := Open(t.Context(), n.o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if _, err := m.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// put writes one key unconditionally and returns its revision.
func put(t testing.TB, n *Node, key, value string) int64 {
	t.Helper()
	rev, ok, err := n.Commit(t.Context(), nil, map[string][]byte{key: []byte(value)}, nil)
	if err != nil || !ok {
		t.Fatalf("put %s: %v, %v", key, ok, err)
	}
	return rev
}

func get(t testing.TB, n *Node, key string) (string, int64) {
	t.Helper()
	v, rev, err := n.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return string(v), rev
}

func TestFoundWriteReopen(t *testing.T) {
	n := newNode(t)
	rev := put(t, n, "u/1", "alice")
	id := n.ClusterID()
	n = reopen(t, n)
	if v, got := get(t, n, "u/1"); v != "alice" || got != rev {
		t.Errorf("after reopen: %q at %d, want alice at %d", v, got, rev)
	}
	if n.ClusterID() != id || n.Epoch() != 1 || n.Group() != "main" {
		t.Errorf("got cluster %s epoch %d group %s, want %s, 1, main", n.ClusterID(), n.Epoch(), n.Group(), id)
	}
	s, err := n.Status()
	if err != nil || s.Role != "master" || !s.Voter || !s.Quorum || s.Revision != rev || s.ReadOnly != nil || s.DBSize == 0 {
		t.Errorf("status %+v, %v", s, err)
	}
}

// messages is a log that hands over what it is told.
type messages struct {
	slog.Handler
	c chan string
}

func (m messages) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (m messages) WithAttrs([]slog.Attr) slog.Handler           { return m }
func (m messages) Handle(_ context.Context, r slog.Record) error {
	select {
	case m.c <- r.Message:
	default:
	}
	return nil
}

// await returns once the log has said text.
func (m messages) await(t *testing.T, text string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case s := <-m.c:
			if strings.Contains(s, text) {
				return
			}
		case <-late:
			t.Fatalf("the log never said %q", text)
		}
	}
}
