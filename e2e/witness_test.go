package e2e_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/oath"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

// newWitness writes the node file of a witness: of a server's listeners it keeps metrics.
func newWitness(t testing.TB, name string) *server {
	t.Helper()
	s := newMember(t, name)
	fronts := regexp.MustCompile(`(?m)^  (radius|radius_accounting|https): .*\n`)
	s.write(s.config, fronts.ReplaceAllString(readText(t, s.config), ""))
	return s
}

// holds looks for a text in every file of the server's data folder, and returns the first
// that has it.
func (s *server) holds(text []byte) (file string) {
	s.t.Helper()
	err := filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "ballast" {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, text) {
			file = path
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return file
}

// Two servers and a witness: the witness needs no more than a vote, the other server
// becomes the master by itself when the first one is killed, and the last one left goes on
// signing in.
func TestWitness(t *testing.T) {
	t.Parallel()
	n1, n2, w := newMember(t, "n1"), newMember(t, "n2"), newWitness(t, "w1")
	n1.found()
	n1.start()
	n2.activate(n1.code())
	n2.start()
	n1.application("none", atNone, "--first-factor", "none")
	const people, seed, phone = 8, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "+4915112345678"
	tokens := make([]*token, people)
	for i := range tokens {
		login := fmt.Sprintf("u%d", i)
		n2.user(login, "")
		tokens[i] = n1.hotp(login)
	}
	n1.user("erika", "a good long password", "--name", "Erika Mustermann", "--phone", phone)
	n1.cliIn(seed, "credential", "add", "erika", "--method", "totp", "--secret-stdin")

	// A code is for one role, and a witness has no front-ends.
	code := n1.code("--role", "witness")
	wrong := newMember(t, "w1")
	if r := countersign(t, nil, code, "activate", "-", "--yes", "--config", wrong.config); r.code != 1 || !strings.Contains(r.oneLine(t), "take listen.https, listen.radius, listen.radius_accounting out of") {
		t.Errorf("a witness with front-ends: exit %d: %s", r.code, r.stderr)
	}
	w.activate(code)
	plain := readText(t, w.config)
	w.write(w.config, plain+"  radius: ["+freeAddress(t)+"]\n")
	if r := countersign(t, nil, "", "server", "--config", w.config); r.code != 1 || !strings.Contains(r.oneLine(t), "take listen.radius out of") {
		t.Errorf("a witness started with RADIUS: exit %d: %s", r.code, r.stderr)
	}
	w.write(w.config, plain)
	w.start()
	w.settled(3)

	// It says what it is, does what it can, and refuses the rest.
	var st admin.Status
	w.answer(&st, "status")
	if st.Role != "witness" || st.Master != "n1" || st.Users != 0 {
		t.Errorf("status of the witness: %+v", st)
	}
	for _, m := range n2.members() {
		if want := map[string]string{"n1": "master", "n2": "replica", "w1": "witness"}[m.Name]; m.Role != want || !m.Voter {
			t.Errorf("member %s: %+v", m.Name, m)
		}
	}
	if r := w.try("", "doctor"); !strings.Contains(r.stdout, "database") || !strings.Contains(r.stdout, "sign-ins are not for this server: a witness votes") {
		t.Errorf("doctor at the witness: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	w.cli("log", "level", "group=debug", "--for", "1m")
	if acts := w.cli("audit", "list", "--acts"); !strings.Contains(acts, "log level") {
		t.Errorf("the witness's trail of acts: %s", acts)
	}
	w.verify()
	for _, verb := range [][]string{{"user", "list"}, {"user", "add", "x"}, {"group", "activation", "create"}, {"backup", "create", filepath.Join(w.dir, "b"), "--passphrase-file", w.config}} {
		if r := w.try("", verb...); r.code != 1 || !strings.Contains(r.oneLine(t), "this server is a witness") {
			t.Errorf("%v at a witness: exit %d: %s", verb, r.code, r.stderr)
		}
	}
	if r := n1.try("", "group", "promote", "--to", "w1", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "it is a witness") {
		t.Errorf("a witness promoted: exit %d: %s", r.code, r.stderr)
	}
	raw, err := oath.ParseSecret(secret.FromString(seed))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{"seed": raw.Expose(), "seed in base32": []byte(seed), "phone number": []byte(phone), "name": []byte("Mustermann"),
		"login": []byte("erika")} {
		if file := w.holds(text); file != "" {
			t.Errorf("%s of the witness holds the %s", file, what)
		}
	}
	if w.holds([]byte("k/keyset/n1")) == "" {
		t.Error("the look into the witness's folder finds nothing at all")
	}

	// The master is killed under load.
	var stop atomic.Bool
	var wg sync.WaitGroup
	var signed, wrote, killed atomic.Int64
	for i, k := range tokens {
		at := newNAS(t, atNone, n2.radius)
		wg.Go(func() {
			for !stop.Load() {
				if r, err := at.exchange(at.request(fmt.Sprintf("u%d", i), k.press(), nil)); err != nil || r.code != radius.AccessAccept {
					t.Errorf("a valid sign-in at the other server: %v %v", r, err)
				}
				signed.Add(1)
				time.Sleep(300 * time.Millisecond) // a record keeps so many legs a minute
			}
		})
	}
	var written []string
	var before, after time.Time // the last write acknowledged before the kill, the first after it
	wg.Go(func() {
		for n := 0; !stop.Load(); n++ {
			login := fmt.Sprintf("w%d", n)
			began := time.Now().UnixNano()
			if r := n2.try("", "user", "add", login); r.code == 0 {
				written = append(written, login)
				switch at := killed.Load(); {
				case at == 0:
					before = time.Now()
				case began > at && after.IsZero():
					after = time.Now()
				}
				wrote.Add(1)
			}
		}
	})
	await(t, "sign-ins and changes with a master", func() bool { return signed.Load() >= 2*people && wrote.Load() >= 3 })
	killed.Store(time.Now().UnixNano())
	n1.kill9()
	enough, more := signed.Load()+8*people, wrote.Load()+3
	await(t, "sign-ins and changes without it", func() bool { return signed.Load() >= enough && wrote.Load() >= more })
	stop.Store(true)
	wg.Wait()
	n2.merged()
	await(t, "the other server as the master, if the witness was elected", func() bool {
		n2.answer(&st, "status")
		return st.Role == "master" && st.Master == "n2"
	})
	list := n2.cli("user", "list", "--limit", "0")
	for _, login := range written {
		if !strings.Contains(list, login+" ") {
			t.Errorf("user %s was acknowledged and is lost", login)
		}
	}
	t.Logf("master of a pair with a witness killed under load: %d sign-ins at the other server; writes: gap %s", signed.Load(), after.Sub(before).Round(time.Millisecond))

	// The witness is gone too: the last server goes on alone.
	w.kill9()
	if r := newNAS(t, atNone, n2.radius).ask("u0", tokens[0].press(), nil); r.code != radius.AccessAccept {
		t.Errorf("sign-in at the last server: %v", r)
	}
	n2.refusesChanges()
	w.start()
	n1.start()
	n2.settled(3)
	n2.merged()

	// A witness leaves as any server does.
	w.cli("group", "leave", "--yes")
	await(t, "the end of the witness that left", func() bool { return !w.proc.alive() })
	n2.settled(2)
}
