package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfatest"
)

const ownerPassword = "a long password"

var setupURL = regexp.MustCompile(`https://\S+/setup\?link=\S+`)

// owner makes the first administrator with the link that the server printed, and returns
// their device.
func (b *tab) owner(s *server) *token {
	b.t.Helper()
	await(b.t, "the link for the first administrator", func() bool { return setupURL.MatchString(s.log.String()) })
	b.setUp(setupURL.FindString(s.log.String()))
	device := b.device()
	b.fill("/setup/code", "code", device.now())
	b.reads("alice · owner")
	return device
}

// setUp fills in the first page that a link for the first administrator leads to.
func (b *tab) setUp(link string) {
	b.t.Helper()
	b.open(link)
	b.fill("/setup", "login", "alice", "name", "Alice", "password", ownerPassword, "again", ownerPassword)
}

// device is an authenticator with the key that the page shows.
func (b *tab) device() *token {
	b.t.Helper()
	key := strings.ReplaceAll(b.eval("document.querySelector('details p.code')?.textContent ?? ''"), " ", "")
	if b.eval("document.querySelector('svg.qr path') !== null") != "true" || key == "" {
		b.t.Fatalf("no QR code and no key:\n%s", b.text())
	}
	return newToken(b.t, "totp", key)
}

// signIn signs in at the console with a code that was not used yet.
func (b *tab) signIn(s *server, login, password, code string) {
	b.t.Helper()
	b.open("https://" + s.https + "/sign-in")
	b.fill("/sign-in", "login", login, "password", password)
	b.reads("Code")
	b.fill("/sign-in", "code", code)
}

// From the link that the server prints to a VPN that asks for two factors, as somebody does
// it who has just installed the server; and what others may try meanwhile.
func TestConsole(t *testing.T) {
	radclientPath := mfatest.Need(t, "radclient")[0]
	b := newTab(t)
	s := newServer(t)
	base := "https://" + s.https

	await(t, "the link for the first administrator", func() bool { return setupURL.MatchString(s.log.String()) })
	var another struct{ Link string }
	s.json(&another, "console", "link")
	b.open(setupURL.FindString(s.log.String()))
	b.reads("This link is not valid") // the other one took its place
	b.setUp(another.Link)
	device := b.device()
	b.fill("/setup/code", "code", device.now())
	b.reads("alice · owner")
	used := device.step()
	b.reads("n1")
	first, hidden := b.cookie("__Host-console")
	if shown := b.eval("document.cookie"); first == "" || !hidden || strings.Contains(shown, "__Host-") {
		t.Errorf("a script reads the cookie %q", shown)
	}
	if r := s.try("", "console", "link"); r.code == 0 {
		t.Error("another link for a first administrator")
	}

	// A user with an authenticator, added by hand.
	b.open(base + "/users/new")
	b.fill("/users/new/create", "login", "bob", "password", "bobs password", "name", `<img src=x onerror="document.title='owned'">`)
	b.reads("The user is there.")
	page := b.eval("location.pathname")
	b.fill(page + "/token")
	bob := b.device()
	b.fill(page+"/prove", "code", bob.now())
	b.reads("Proven: it works.")
	proven := bob.step()

	// The guide for a RADIUS client.
	b.open(base + "/protect/generic")
	b.fill("/protect/generic/create", "name", "vpn", "addresses", "127.0.0.1", "passcode", "either")
	b.reads("Nothing has come yet from 127.0.0.1.")
	out := radclientWith(t, radclientPath, s.radius, wrongSecret, `User-Name = "bob"`, `User-Password = "x"`)
	b.reads("whose signature is wrong") // on the page that is open, by itself
	if strings.Contains(out, "Received") {
		t.Errorf("a wrong secret is answered: %s", out)
	}
	secret := b.eval("document.querySelector('#secret').textContent")
	if !strings.Contains(b.text(), s.radius) {
		t.Errorf("the guide does not name %s:\n%s", s.radius, b.text())
	}
	code := bob.after(proven)
	out = radclientWith(t, radclientPath, s.radius, secret, `User-Name = "bob"`, fmt.Sprintf(`User-Password = "bobs password%s"`, code))
	if !strings.Contains(out, "Received Access-Accept") {
		t.Errorf("radclient got %s", out)
	}
	b.reads("It works: bob was let in.")
	b.reads("accepted ok")

	b.search(s, base)
	b.attacks(s, base, page)

	for _, path := range []string{"/", "/users", "/users/new", page, "/applications", "/applications/vpn", "/protect", "/protect/asa", "/attempts", "/audit", "/confirm", "/nowhere"} {
		b.open(base + path)
		b.accessible(path)
	}

	// Out, and in again: with a session that has nothing of the old one.
	b.open(base)
	b.fill("/sign-out")
	b.reads("User name")
	b.signIn(s, "alice", ownerPassword, device.after(used))
	b.reads("alice · owner")
	if second, _ := b.cookie("__Host-console"); second == first || second == "" {
		t.Error("the session before goes on")
	}
	b.open(base + "/audit")
	for _, act := range []string{"console link", "administrator add", "user add", "credential confirm", "application add"} {
		b.reads(act)
	}
	if strings.Contains(b.text(), secret) {
		t.Error("the shared secret is in the trail")
	}
	for _, line := range b.console() {
		if strings.Contains(line, "Content Security Policy") && !strings.Contains(line, "frame-ancestors") {
			t.Errorf("a page of ours breaks its own policy: %s", line)
		}
	}
}

// after returns a code of a later time step than used, and waits if the server would not
// take one yet.
func (k *token) after(used uint64) string {
	for k.step()+1 <= used {
		time.Sleep(100 * time.Millisecond)
	}
	return k.at(max(used+1, k.step()))
}

// wrongSecret is that of no client.
const wrongSecret = "not the secret"

func radclientWith(t testing.TB, path, to, secret string, attributes ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	wait := int(patience.Seconds())
	if secret == wrongSecret { // there will be no answer
		wait = 1
	}
	c := exec.CommandContext(ctx, path, "-x", "-r", "1", "-t", fmt.Sprint(wait), to, "auth", secret)
	c.Stdin = strings.NewReader(strings.Join(append(attributes, "Message-Authenticator = 0x00"), ",") + "\n")
	out, _ := c.CombinedOutput() // a reject is exit 1
	return string(out)
}

// search types into the list of users, of which the name of one is an attempt at a script.
func (b *tab) search(s *server, base string) {
	b.t.Helper()
	var rows strings.Builder
	rows.WriteString("login\n")
	for i := range 120 {
		fmt.Fprintf(&rows, "somebody%03d\n", i)
	}
	file := s.dir + "/users.csv"
	s.write(file, rows.String())
	s.cli("user", "import", file, "--format", "csv")
	b.open(base + "/users")
	b.reads("122 users in this group")
	b.eval("(e => { e.value = 'BODY077'; e.dispatchEvent(new Event('input', {bubbles: true})) })(document.querySelector('#search'))")
	await(b.t, "the list as typed", func() bool {
		text := b.text()
		return strings.Contains(text, "somebody077") && !strings.Contains(text, "somebody078")
	})
	b.open(base + "/users?search=bob")
	b.reads("<img src=x")
	if title := b.eval("document.title"); strings.Contains(title, "owned") {
		b.t.Error("a name is run as a script")
	}
}

// attacks are made by another site, which the browser visits while it is signed in.
func (b *tab) attacks(s *server, base, page string) {
	b.t.Helper()
	id := page[strings.LastIndex(page, "/")+1:]
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/frame" {
			fmt.Fprintf(w, `<title>frame</title><iframe src="%s/users"></iframe>`, base)
			return
		}
		fmt.Fprintf(w, `<title>form</title><form method="post" action="%s%s/block"><input name="reason" value="csrf"></form><script>document.forms[0].submit()</script>`, base, page)
	}))
	defer evil.Close()
	_, port, _ := net.SplitHostPort(evil.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost"} { // the same site at another port, and another site
		b.open("http://" + net.JoinHostPort(host, port) + "/form")
		b.reads("another site")
	}
	var u admin.User
	s.json(&u, "user", "show", id)
	if u.Blocked {
		b.t.Error("a form of another site has blocked a user")
	}
	b.open("http://" + evil.Listener.Addr().String() + "/frame")
	await(b.t, "the browser refuses the frame", func() bool {
		return strings.Contains(strings.Join(b.console(), "\n"), "frame-ancestors")
	})
}

// Of a pair, the master is moved from the page; then it dies while somebody looks at a page of
// the other server: that says so by itself, what is refused and what works, keeps what was
// filled in, and offers a new epoch, which begins when what ends has been typed.
func TestConsolePromotes(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	all := newGroup(t, 2)
	n1, n2 := all[0], all[1]
	device := b.owner(n1)
	used := device.step()
	n1.user("bob", "bobs password")
	var bob struct{ ID string }
	n1.json(&bob, "user", "show", "bob")

	base := "https://" + n1.https
	b.open(base)
	b.reads("2 / 2")
	b.reads("From n1 to n2")
	b.open(base + "/promotion")
	b.reads("n2 answers, and has everything up to revision")
	b.reads("n1 has the only vote")
	b.accessible("promotion")
	b.fill("/promotion/move")
	b.reads("n2 is the master now")
	var members admin.MemberList
	await(t, "the two have changed places", func() bool {
		return document(n2.try("", "group", "members", "--json").stdout, &members) == nil && len(members.Members) == 2 &&
			members.Members[0].Role == "replica" && members.Members[0].Reachable && !members.Members[0].Voter && members.Members[1].Role == "master"
	})

	await(t, "the session is the group's", func() bool {
		b.open(base)
		return strings.Contains(b.text(), "alice · owner")
	})
	b.reads("2 / 2")
	page := base + "/users/" + bob.ID
	b.open(page)
	etag := b.eval("document.querySelector('[name=etag]').value")
	b.open(base)
	n2.kill9()
	b.reads("1 / 2") // on the page that is open
	b.reads("no master")
	b.open(base)
	b.reads("Changes are refused for now.")
	b.open(page)
	if now := b.eval("document.querySelector('[name=etag]').value"); now != etag {
		t.Errorf("bob is another without a master: %s, was %s", now, etag)
	}
	b.fill("/users/"+bob.ID+"/edit", "name", "Bob the builder")
	b.reads("That is not possible right now")
	b.reads("What you have filled in is kept")
	b.open(page)
	b.fill("/users/"+bob.ID+"/block", "reason", "seen with somebody else's phone")
	b.reads("Blocked by alice (console)")

	// Whoever comes now gets in too, on this server.
	b.open(base)
	b.fill("/sign-out")
	b.signIn(n1, "alice", ownerPassword, device.after(used))
	b.reads("alice · owner")
	b.reads("1 / 2")

	// What a new epoch would mean, and only then the button.
	if b.eval("document.querySelector('main form') === null") != "true" {
		t.Errorf("the status page asks to promote:\n%s", b.text())
	}
	b.open(base + "/promotion/disaster")
	b.reads("Epoch that begins")
	b.accessible("disaster")
	st := n1.status()
	b.fill("/promotion/disaster/begin", "confirm", fmt.Sprintf("%s/%d", st.Group, st.Epoch+1))
	b.reads("nothing was changed")
	b.fill("/promotion/disaster/begin", "confirm", fmt.Sprintf("%s/%d", st.Group, st.Epoch))
	b.reads(fmt.Sprintf("n1 starts over with epoch %d", st.Epoch+1))
	n1.inEpoch(st.Epoch+1, "master")
	b.reads("User name") // the page went there by itself; the sessions ended with their epoch
	await(t, "the block is of the new epoch", func() bool {
		var u admin.User
		return document(n1.try("", "user", "show", "bob", "--json").stdout, &u) == nil && u.Blocked
	})
}
