package e2e_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"countersign/internal/admin"
	"countersign/internal/radius"
)

// A list of users is imported: good rows are in, bad ones are named by their line, and a
// second run does nothing twice.
func TestImport(t *testing.T) {
	s := newServer(t)
	s.application("none", atNone, "--first-factor", "none")
	s.application("append", atAppend, "--passcode", "append")
	const users = 2000
	var csv strings.Builder
	csv.WriteString("login,name,email,phone,alias,totp_secret,hotp_secret,password_hash\n")
	wonder, err := bcrypt.GenerateFromPassword([]byte("wonder"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	seeds := make([]string, users)
	for i := range users {
		seeds[i] = rand.Text()[:26] + "AAAAAA"
		hash, totp, hotp := "", seeds[i], ""
		switch {
		case i == 8:
			hash = string(wonder)
		case i%2 == 1:
			totp, hotp = "", seeds[i]
		}
		fmt.Fprintf(&csv, "user%d,User Number %d,user%d@test.example,+4917000%05d,u%d@alias.example,%s,%s,%s\n", i, i, i, i, i, totp, hotp, hash)
	}
	csv.WriteString("bad name,,,,,,,\nuser1999x,,,12345,,,,\nuser3,,,,,,,\nbad2,,,,,not base32!,,\n") // lines 2002 to 2005
	file := filepath.Join(s.dir, "users.csv")
	s.write(file, csv.String())
	run := func(args ...string) (r admin.ImportReport) {
		t.Helper()
		out := s.try("", append([]string{"user", "import", file, "--format", "csv", "--json"}, args...)...)
		if err := document(out.stdout, &r); err != nil || out.code != 1 {
			t.Fatalf("exit %d, %v\n%s%s", out.code, err, out.stdout, out.stderr)
		}
		if line := out.oneLine(t); !strings.Contains(line, "4 of 2004 rows were refused") {
			t.Errorf("%q", line)
		}
		lines := map[int]string{}
		for _, e := range r.Errors {
			lines[e.Line] = e.Reason
		}
		for line, word := range map[int]string{2002: "login", 2003: "phone", 2004: "line 5 already", 2005: "totp_secret"} {
			if !strings.Contains(lines[line], word) {
				t.Errorf("line %d is refused for %q, want something about %s", line, lines[line], word)
			}
		}
		return r
	}
	if r := run("--dry-run"); r.Created != users || r.Failed != 4 || !r.DryRun {
		t.Errorf("dry run: %+v", r)
	}
	var list admin.UserList
	if s.json(&list, "user", "list"); len(list.Users) != 0 {
		t.Fatalf("a dry run made %d users", len(list.Users))
	}
	if r := run(); r.Created != users || r.Existing != 0 || r.Failed != 4 {
		t.Errorf("first run: %+v", r)
	}
	if r := run(); r.Created != 0 || r.Existing != users || r.Failed != 4 {
		t.Errorf("second run: %+v", r)
	}
	if s.json(&list, "user", "list"); len(list.Users) != users {
		t.Errorf("%d users, want %d", len(list.Users), users)
	}
	var creds struct{ Credentials []struct{ Method string } }
	if s.json(&creds, "credential", "list", "user5"); len(creds.Credentials) != 1 || creds.Credentials[0].Method != "hotp" {
		t.Errorf("credentials of user5 after two runs: %+v", creds)
	}
	n := newNAS(t, atNone, s.radius)
	for i := 0; i < users; i += 97 {
		method := map[int]string{0: "totp", 1: "hotp"}[i%2]
		k := newToken(t, method, seeds[i])
		code := k.at(0)
		if method == "totp" {
			code = k.now()
		}
		if r := n.ask(fmt.Sprintf("u%d@alias.example", i), code, nil); r.code != radius.AccessAccept {
			t.Errorf("user%d: %v", i, r)
		}
	}
	if r := newNAS(t, atAppend, s.radius).ask("user8", "wonder"+newToken(t, "totp", seeds[8]).now(), nil); r.code != radius.AccessAccept {
		t.Errorf("user8 with an imported password: %v", r)
	}
	s.kill9()
	s.start()
	if s.json(&list, "user", "list"); len(list.Users) != users {
		t.Errorf("after kill -9: %d users, want %d", len(list.Users), users)
	}
}

// A backup holds everything; a group restored from it signs users in and accepts nothing
// that was used before.
func TestBackup(t *testing.T) {
	s := newServer(t)
	s.application("none", atNone, "--first-factor", "none")
	s.application("append", atAppend, "--passcode", "append")
	s.user("ann", "wonder")
	s.user("bob", "wonder")
	seed := rand.Text()[:26] + "AAAAAA"
	s.cliIn(seed, "credential", "add", "ann", "--method", "totp", "--period", "2", "--secret-stdin")
	k := newToken(t, "totp", seed)
	k.period = 2
	h := s.hotp("bob")
	var codes struct{ Codes []string }
	s.json(&codes, "credential", "add", "bob", "--method", "recovery", "--codes", "3")
	used := k.now()
	if r := newNAS(t, atAppend, s.radius).ask("ann", "wonder"+used, nil); r.code != radius.AccessAccept {
		t.Fatalf("ann: %v", r)
	}
	usedStep := k.step()
	counter := h.press()
	if r := newNAS(t, atNone, s.radius).ask("bob", counter, nil); r.code != radius.AccessAccept {
		t.Fatalf("bob: %v", r)
	}

	phrase, file := filepath.Join(s.dir, "phrase"), filepath.Join(s.dir, "b.age")
	s.write(phrase, "correct horse battery staple\n")
	var made struct {
		Bytes, Records, Users int
		Group                 string
		Epoch                 uint64
	}
	s.json(&made, "backup", "create", file, "--passphrase-file", phrase)
	if made.Group != "test" || made.Epoch != 1 || made.Users != 2 || made.Records == 0 {
		t.Errorf("backup create: %+v", made)
	}
	b, err := os.ReadFile(file)
	if err != nil || bytes.Contains(b, []byte("ann")) || len(b) != made.Bytes {
		t.Errorf("the backup has %d bytes, or a name in it (%v)", len(b), err)
	}
	// What happens after the backup is not in it.
	late := h.press()
	if r := newNAS(t, atNone, s.radius).ask("bob", late, nil); r.code != radius.AccessAccept {
		t.Fatalf("bob: %v", r)
	}
	s.user("eve", "wonder")

	refuse := func(want, stdin string, args ...string) {
		t.Helper()
		if r := s.try(stdin, args...); r.code == 0 || !strings.Contains(r.oneLine(t), want) {
			t.Errorf("countersign %q: exit %d, %q; want %q", args, r.code, r.stderr, want)
		}
	}
	refuse("passphrase", "wrong horse battery staple", "backup", "verify", file, "--passphrase-stdin")
	bad := filepath.Join(s.dir, "bad.age")
	s.write(bad, string(append(append([]byte{}, b[:len(b)/2]...), b[len(b)/2+1:]...)))
	refuse("", "", "backup", "verify", bad, "--passphrase-file", phrase)
	s.write(bad, string(b[:len(b)-100]))
	refuse("", "", "backup", "verify", bad, "--passphrase-file", phrase)
	refuse("", "", "backup", "restore", file, "--config", s.config, "--passphrase-file", phrase) // it runs
	s.stop()
	before := digest(t, s.data)
	refuse("left as it is", "", "backup", "restore", file, "--config", s.config, "--passphrase-file", phrase)
	refuse("left as it is", "", "backup", "restore", file, "--config", s.config, "--passphrase-file", phrase, "--confirm", "test/1")
	if after := digest(t, s.data); after != before {
		t.Errorf("a refused restore changed the folder\n%s\n%s", before, after)
	}

	// The machine is lost.
	if err := os.RemoveAll(s.data); err != nil {
		t.Fatal(err)
	}
	refuse("", "", "backup", "restore", bad, "--config", s.config, "--passphrase-file", phrase, "--confirm", "test/1")
	refuse("test/1", "", "backup", "restore", file, "--config", s.config, "--passphrase-file", phrase, "--confirm", "test/9")
	s.cli("backup", "restore", file, "--config", s.config, "--passphrase-file", phrase, "--confirm", "test/1")
	s.start()
	var status admin.Status
	if s.answer(&status, "status"); status.Epoch <= 1 || status.Group != "test" || status.Users != 2 {
		t.Errorf("status after the restore: %+v", status)
	}
	n, a := newNAS(t, atNone, s.radius), newNAS(t, atAppend, s.radius)
	for _, c := range []struct {
		name, login, password string
		nas                   *nas
	}{
		{"the code used before the backup", "ann", "wonder" + used, a},
		{"its step", "ann", "wonder" + k.at(usedStep), a},
		{"the counter used before the backup", "bob", counter, n},
		{"the counter used after it", "bob", late, n},
		{"a counter not used, before a resync", "bob", h.press(), n},
		{"a recovery code", "bob", codes.Codes[0], n},
		{"a user added after it", "eve", "123456", n},
	} {
		if r := c.nas.ask(c.login, c.password, nil); r.code != radius.AccessReject {
			t.Errorf("%s: %v", c.name, r)
		}
	}
	await(t, "a code of ann that may be used", func() bool {
		return a.ask("ann", "wonder"+k.now(), nil).code == radius.AccessAccept
	})
	one, two := h.press(), h.press()
	s.cliIn(one+"\n"+two+"\n", "credential", "resync", "bob", "hotp", "--code-stdin")
	if r := n.ask("bob", two, nil); r.code != radius.AccessReject {
		t.Errorf("a code of the resync: %v", r)
	}
	if r := n.ask("bob", h.press(), nil); r.code != radius.AccessAccept {
		t.Errorf("bob after a resync: %v", r)
	}
	s.verify()
	s.kill9()
	s.start()
	s.verify()
}

// Keys are changed while users sign in; what is sealed under the new one opens after a
// restart.
func TestKeyRotate(t *testing.T) {
	s := newServer(t)
	s.application("none", "127.0.0.1", "--first-factor", "none")
	s.user("ann", "")
	k := s.hotp("ann")
	n := newNAS(t, "127.0.0.1", s.radius)
	ok := func(when string) {
		t.Helper()
		if r := n.ask("ann", k.press(), nil); r.code != radius.AccessAccept {
			t.Errorf("%s: %v", when, r)
		}
	}
	ok("before")
	var keys admin.KeyList
	s.json(&keys, "key", "rotate", "--wait")
	if len(keys.Keys) != 2 || keys.Keys[0].Primary == keys.Keys[1].Primary || keys.Reseal.Running {
		t.Errorf("key rotate: %+v", keys)
	}
	ok("after")
	s.kill9()
	s.start()
	ok("after kill -9")
	s.cli("key", "rotate") // and stopped in the middle of it
	s.kill9()
	s.start()
	ok("after a rotation that kill -9 interrupted")
	await(t, "the rest of the resealing", func() bool {
		keys = admin.KeyList{}
		s.json(&keys, "key", "list")
		return len(keys.Keys) == 3 && !keys.Reseal.Running && keys.Reseal.Error == ""
	})
	ok("after that")
	s.cli("user", "show", "ann")
}

// Verbosity goes up and comes back by itself.
func TestLogLevel(t *testing.T) {
	s := newServer(t)
	s.application("none", "127.0.0.1", "--first-factor", "none")
	count := func() int { return strings.Count(s.log.String(), "level=DEBUG") }
	if count() != 0 {
		t.Fatal("the log is verbose from the start")
	}
	s.cli("log", "level", "debug", "--for", "1s")
	await(t, "a debug line", func() bool { s.try("", "status"); s.try("", "user", "add", "x"); return count() > 0 })
	await(t, "the old verbosity", func() bool {
		before := count()
		s.try("", "status")
		s.try("", "user", "set", "x", "--name", "y")
		return count() == before
	})
	if r := s.try("", "log", "level", "loud"); r.code == 0 || !strings.Contains(r.oneLine(t), "debug, info, warn, error") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// The API over https: a token that says who one is, a certificate that says who we are.
func TestAPIOverHTTPS(t *testing.T) {
	s := newServer(t)
	token := func(name string, scopes string) []string {
		t.Helper()
		var made admin.APIToken
		var doc struct{ Token string }
		out := s.cli("api-token", "create", name, "--scope", scopes, "--expires", "1h", "--json")
		if err := document(out, &doc); err != nil || !strings.HasPrefix(doc.Token, "cs_") {
			t.Fatalf("api-token create: %v %+v\n%s", err, made, out)
		}
		return []string{"COUNTERSIGN_TOKEN=" + doc.Token}
	}
	reader, writer := token("reader", "read"), token("writer", "read,write")
	_, port, _ := strings.Cut(s.https, ":")
	ca := filepath.Join(s.data, "ca.pem")
	remote := func(env []string, args ...string) result {
		t.Helper()
		return countersign(t, env, "", append(args, "--server", "https://localhost:"+port, "--ca-file", ca)...)
	}
	if r := remote(writer, "user", "add", "ann", "--json"); r.code != 0 {
		t.Errorf("user add: exit %d %s", r.code, r.stderr)
	}
	var list admin.UserList
	r := remote(reader, "user", "list", "--json")
	if err := document(r.stdout, &list); err != nil || r.code != 0 || len(list.Users) != 1 {
		t.Errorf("user list: exit %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	if out := s.cli("audit", "list", "--acts"); !strings.Contains(out, "writer") {
		t.Errorf("the trail does not say who added ann:\n%s", out)
	}
	for _, c := range []struct {
		name string
		run  func() result
		code int
		want string
	}{
		{"a reader who writes", func() result { return remote(reader, "user", "add", "bob") }, 1, "scopes do not include user.add"},
		{"a writer who wants a backup", func() result {
			phrase := filepath.Join(s.dir, "phrase")
			s.write(phrase, "correct horse battery staple\n")
			return remote(writer, "backup", "create", filepath.Join(s.dir, "b.age"), "--passphrase-file", phrase)
		}, 1, "this is an owner's"},
		{"a writer who makes tokens", func() result { return remote(writer, "api-token", "create", "more", "--scope", "read") }, 1, "this is an owner's"},
		{"nobody's token", func() result { return remote([]string{"COUNTERSIGN_TOKEN=cs_" + strings.Repeat("A", 43)}, "status") }, 1, "token"},
		{"no token", func() result { return remote([]string{"COUNTERSIGN_TOKEN="}, "status") }, 2, "needs an API token"},
		{"no authority", func() result {
			return countersign(t, reader, "", "status", "--server", "https://localhost:"+port)
		}, 1, "--ca-file"},
		{"nobody listens", func() result {
			return countersign(t, reader, "", "status", "--server", "https://127.0.0.2:"+port, "--ca-file", ca)
		}, 1, "cannot reach 127.0.0.2:"},
		{"plain http", func() result {
			return countersign(t, reader, "", "status", "--server", "http://localhost:"+port, "--ca-file", ca)
		}, 2, "want https://HOST:PORT"},
		{"a revoked token", func() result {
			s.cli("api-token", "revoke", "reader", "--yes")
			return remote(reader, "status")
		}, 1, "token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r := c.run(); r.code != c.code || !strings.Contains(r.oneLine(t), c.want) || r.stdout != "" {
				t.Errorf("exit %d, %q %q; want %d, %q", r.code, r.stdout, r.stderr, c.code, c.want)
			}
		})
	}
	s.kill9()
	s.start()
	if r := remote(writer, "user", "show", "ann"); r.code != 0 {
		t.Errorf("a token and a certificate after kill -9: exit %d %s", r.code, r.stderr)
	}
}
