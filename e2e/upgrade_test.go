package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/radius"
)

// nextBuild builds the program with a schema of records that there is not yet, once.
var nextBuild = sync.OnceValues(func() (string, error) {
	out := filepath.Join(filepath.Dir(racer), "next")
	return out, build(out, "-tags", "nextschema", "-ldflags", "-X main.version=v0.0.1-next")
})

// restartAs ends the server as systemd does, and starts another build of the program.
func (s *server) restartAs(program string) {
	s.t.Helper()
	s.stop()
	s.binary = program
	s.start()
}

// content is a digest of every file in the data folder, by name.
func (s *server) content() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// writesNext reports whether the database holds a profile of the next schema.
func (s *server) writesNext() bool { return s.holds([]byte(`{"v":2,"state"`)) != "" }

func (s *server) schema() int {
	s.t.Helper()
	var st admin.Status
	s.answer(&st, "status")
	return st.Schema
}

// Three servers are upgraded one by one under load. While one of them is old, nobody writes
// what it cannot read, and the way back is open; then the new schema is written, and an old
// program is refused before it touches anything.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	next, err := nextBuild()
	if err != nil {
		t.Fatal(err)
	}
	all := newGroup(t, 3)
	all[0].application("none", atNone, "--first-factor", "none")
	const people = 6
	tokens := make([]*token, people)
	for i := range tokens {
		all[0].user(fmt.Sprintf("u%d", i), "")
		tokens[i] = all[0].hotp(fmt.Sprintf("u%d", i))
	}

	// The load: a client turns to the next server if one does not answer, as a NAS does.
	var stop atomic.Bool
	var wg sync.WaitGroup
	var signed atomic.Int64
	for i, k := range tokens {
		var clients []*nas
		for _, s := range all {
			n := newNAS(t, atNone, s.radius)
			n.wait = 5 * time.Second
			clients = append(clients, n)
		}
		wg.Go(func() {
			for at := 0; !stop.Load(); {
				code := k.press()
				var r reply
				var err error
				for range 2 * len(clients) { // a server that is restarted may have settled it and not answered: the next code then
					n := clients[at%len(clients)]
					if r, err = n.exchange(n.request(fmt.Sprintf("u%d", i), code, nil)); err == nil && r.code == radius.AccessAccept {
						break
					}
					at++
					code = k.press()
				}
				if err != nil || r.code != radius.AccessAccept {
					t.Errorf("u%d gets in nowhere: %v %v", i, r, err)
					return
				}
				signed.Add(1)
				time.Sleep(500 * time.Millisecond) // a record keeps so many legs a minute
			}
		})
	}
	defer func() { stop.Store(true); wg.Wait() }()
	more := func(what string) {
		t.Helper()
		enough := signed.Load() + people
		await(t, what, func() bool { return signed.Load() >= enough })
	}
	added := 0
	mixed := func(what string) {
		t.Helper()
		all[2].settled(3)
		for _, pair := range [][2]*server{{all[0], all[2]}, {all[2], all[0]}} { // the newest and the oldest
			writer, reader := pair[0], pair[1]
			login := fmt.Sprintf("w%d", added)
			added++
			await(t, what, func() bool { return writer.try("", "user", "add", login).code == 0 })
			await(t, what+": "+login+" elsewhere", func() bool { return reader.try("", "user", "show", login).code == 0 })
			if n := writer.schema(); n != 1 {
				t.Errorf("%s: the group writes schema %d", what, n)
			}
		}
		more(what)
	}
	more("sign-ins before")
	all[0].restartAs(next)
	mixed("one is new")
	all[1].restartAs(next)
	mixed("two are new")
	all[1].restartAs(racer)
	mixed("one went back")
	for _, s := range all {
		if s.writesNext() {
			t.Error("the next schema was written while a server was old")
		}
	}
	all[1].restartAs(next)
	all[2].restartAs(next)
	all[0].settled(3)
	for _, s := range all {
		await(t, "the next schema", func() bool { return s.schema() == 2 })
		await(t, "a note of it beside the database", func() bool {
			_, err := os.Stat(filepath.Join(s.data, "schema.json"))
			return err == nil
		})
	}
	all[1].cli("user", "add", "last")
	for _, s := range all {
		await(t, "a profile of the next schema", func() bool { return s.try("", "user", "show", "last").code == 0 && s.writesNext() })
	}
	more("sign-ins after")
	stop.Store(true)
	wg.Wait()
	t.Logf("%d sign-ins during the upgrade", signed.Load())

	// The old program: refused by the folder alone, and by the others if the folder tells nothing.
	old := all[2]
	old.stop()
	refused := func(how, want string) {
		t.Helper()
		before := old.content()
		r := countersign(t, nil, "", "server", "--config", old.config)
		if r.code != 1 || !strings.Contains(r.oneLine(t), want) || !strings.Contains(r.stderr, "install version v0.0.1-next") {
			t.Errorf("the old program, %s: exit %d: %s", how, r.code, r.stderr)
		}
		after := old.content()
		for path, digest := range before {
			if after[path] != digest {
				t.Errorf("the old program, %s, changed %s", how, path)
			}
		}
		if len(after) != len(before) {
			t.Errorf("the old program, %s: %d files, before %d", how, len(after), len(before))
		}
	}
	refused("in a folder that says so", "was left as it is")
	if err := os.Remove(filepath.Join(old.data, "schema.json")); err != nil {
		t.Fatal(err)
	}
	refused("in a folder that tells nothing", "says: ")
	stranger := newMember(t, "n4")
	if r := countersign(t, nil, all[0].code(), "activate", "-", "--yes", "--config", stranger.config); r.code != 1 || !strings.Contains(r.stderr, "install version v0.0.1-next") {
		t.Errorf("an old program joins: exit %d: %s", r.code, r.stderr)
	}
	old.start() // the new one
	old.settled(3)
}
