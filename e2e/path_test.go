package e2e_test

import (
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfatest"
	"countersign/internal/radius"
)

// The clients of a path server, by their address.
const (
	atPrompt = "127.0.0.1" // password, then a challenge
	atAppend = "127.0.0.2" // password and code in one field
	atEither = "127.0.0.3"
	atNone   = "127.0.0.4" // the client has checked the password; code alone
	atOther  = "127.0.0.5" // prompt, too: another client
	atNobody = "127.0.0.9" // no application
)

// newPathServer returns a server with an application for each way of sending a code.
func newPathServer(t testing.TB) *server {
	t.Helper()
	s := newServer(t)
	s.applications()
	return s
}

// applications adds one for each way of asking for the code.
func (s *server) applications() {
	s.t.Helper()
	s.application("prompt", atPrompt, "--passcode", "prompt")
	s.application("append", atAppend, "--passcode", "append")
	s.application("either", atEither, "--passcode", "either")
	s.application("none", atNone, "--first-factor", "none")
	s.application("other", atOther, "--passcode", "prompt")
}

// last returns the newest verdict in the trail.
func (s *server) last() (verdict, reason string) {
	s.t.Helper()
	all := s.attempts("--limit", "1")
	if len(all) == 0 {
		return "", "no record"
	}
	return all[0].Verdict, all[0].Reason
}

// The way of a new installation, with a client that is not ours.
func TestPathWithRadclient(t *testing.T) {
	mfatest.Need(t, "radclient")
	s := newServer(t)
	s.application("vpn", "127.0.0.0/8", "--passcode", "append", "--reply", "Filter-Id=staff")
	s.user("alice", "wonder")
	k := s.totp("alice")
	has := func(out string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(out, p) {
				t.Errorf("radclient's output lacks %q:\n%s", p, out)
			}
		}
	}
	sign := func(password string, more ...string) string {
		t.Helper()
		return radclient(t, s.radius, "auth", append([]string{"User-Name=alice", "User-Password=" + password, "Message-Authenticator=0x00"}, more...)...)
	}
	used := k.now()
	has(sign("wonder"+used), "Received Access-Accept", `Filter-Id = "staff"`, "Message-Authenticator = 0x")
	has(sign("wonder"+used), "Received Access-Reject", "Message-Authenticator = 0x")
	if v, why := s.last(); v != "reject" || why != "replayed_code" {
		t.Errorf("the trail says %s, %s of a used code", v, why)
	}
	id := s.attempts("--limit", "1")[0].AttemptID
	has(sign("wonder"+used), "Sign-in refused. Attempt ")
	if newest := s.attempts("--limit", "1")[0].AttemptID; newest == id {
		t.Errorf("two attempts have the id %s", id)
	}

	s.cli("application", "set", "vpn", "--passcode", "either")
	out := sign("wonder")
	has(out, "Received Access-Challenge", "Reply-Message = ")
	state := stateLine.FindStringSubmatch(out)
	if state == nil {
		t.Fatalf("no State in\n%s", out)
	}
	has(sign(k.soon(), "State="+state[1]), "Received Access-Accept", `Filter-Id = "staff"`)
	has(radclient(t, s.radius, "status", "Message-Authenticator=0x00"), "Received Access-Accept")
	has(radclient(t, s.acct, "acct", "User-Name=alice", "Acct-Status-Type=Start", "Acct-Session-Id=s1"), "Received Accounting-Response")
	if got := s.reasons(); got["ok"] != 2 || got["replayed_code"] != 2 || len(got) != 2 {
		t.Errorf("reasons in the trail: %v", got)
	}
	s.verify()
}

// Each login form of one user leads to that user, in every case and in other Unicode forms.
func TestPathLoginForms(t *testing.T) {
	s := newPathServer(t)
	s.cli("policy", "set", "login_domains=CORP=corp.example")
	s.user("alice", "", "--alias", "a.liddell@mail.example", "--alias", "åsa")
	k := s.hotp("alice")
	n := newNAS(t, atNone, s.radius)
	for _, login := range []string{"alice", "ALICE", `CORP\alice`, "alice@corp.example", "A.Liddell@mail.example", "ÅSA", "a\u030asa"} {
		if r := n.ask(login, k.press(), nil); r.code != radius.AccessAccept {
			t.Errorf("login %q: %v", login, r)
		}
	}
	users := map[string]int{}
	for _, a := range s.attempts() {
		users[string(a.User)]++
	}
	if len(users) != 1 {
		t.Errorf("the forms belong to %d users: %v", len(users), users)
	}
}

// refusal is one bad input: how it is sent, and the one reason that the trail then has.
type refusal struct {
	name   string
	send   func(t *testing.T, s *server) reply
	reason string
}

// TestPathRefused sends what a server has to refuse. The user reads one neutral sentence,
// the trail has one record with one exact reason.
func TestPathRefused(t *testing.T) {
	s := newPathServer(t)
	tokens := map[string]*token{}
	for _, login := range []string{"ann", "bob", "blocked", "locked", "denied", "eve", "bare"} {
		s.user(login, "wonder")
		if login != "bare" {
			tokens[login] = s.totp(login)
		}
	}
	s.cli("user", "block", "blocked", "--reason", "lost laptop", "--yes")
	s.cli("user", "set", "denied", "--state", "denied")
	s.cli("application", "add", "gone", "--kind", "api")
	nas := func(from string) *nas { return newNAS(t, from, s.radius) }
	challenge := func(t *testing.T, from, user string) reply {
		t.Helper()
		r := newNAS(t, from, s.radius).ask(user, "wonder", nil)
		if r.code != radius.AccessChallenge || len(r.state) == 0 || r.message == "" {
			t.Fatalf("challenge of %s: %v", user, r)
		}
		return r
	}
	spent := tokens["bob"].now()
	if r := nas(atAppend).ask("bob", "wonder"+spent, nil); r.code != radius.AccessAccept {
		t.Fatalf("bob: %v", r)
	}
	for _, c := range tokens["locked"].wrong(5) {
		_ = nas(atNone).ask("locked", c, nil)
	}
	long := strings.Repeat("x", 249) + "@test" // 254 bytes
	plain := func(from, user, password string) func(*testing.T, *server) reply {
		return func(t *testing.T, s *server) reply { return newNAS(t, from, s.radius).ask(user, password, nil) }
	}
	// raw changes a signed packet's user name or password field behind the codec's back.
	extra := func(from, user, password string, add func(w *radius.Writer)) func(*testing.T, *server) reply {
		return func(t *testing.T, s *server) reply {
			n := newNAS(t, from, s.radius)
			return n.send(n.request(user, password, add))
		}
	}
	answer := func(from, user, code string, of func(t *testing.T) []byte) func(*testing.T, *server) reply {
		return func(t *testing.T, s *server) reply { return newNAS(t, from, s.radius).ask(user, code, of(t)) }
	}
	for _, c := range []refusal{
		{"wrong password, right code", plain(atAppend, "ann", "blunder"+tokens["ann"].now()), "wrong_password"},
		{"wrong password before a challenge", plain(atPrompt, "ann", "thunder"), "wrong_password"},
		{"wrong password again", plain(atPrompt, "ann", "thunder"), "repeated_wrong_password"},
		{"right password, wrong code", plain(atAppend, "ann", "wonder"+tokens["ann"].wrong(1)[0]), "wrong_code"},
		{"wrong code again", plain(atAppend, "ann", "wonder"+tokens["ann"].wrong(1)[0]), "repeated_wrong_code"},
		{"code of another user", plain(atAppend, "ann", "wonder"+tokens["eve"].now()), "wrong_code"},
		{"used code", plain(atAppend, "bob", "wonder"+spent), "replayed_code"},
		{"code of a step long ago", plain(atNone, "bob", tokens["bob"].at(tokens["bob"].step()-5)), "code_outside_window"},
		{"code of a step to come", plain(atNone, "bob", tokens["bob"].at(tokens["bob"].step()+5)), "code_outside_window"},
		{"code without password", plain(atAppend, "ann", tokens["ann"].now()), "empty_code"},
		{"unknown user", plain(atPrompt, "nobody", "wonder"), "unknown_user"},
		{"unknown user of a code alone", plain(atNone, "nobody", "123456"), "unknown_user"},
		{"no second factor", plain(atPrompt, "bare", "wonder"), "no_credential"},
		{"blocked", plain(atAppend, "blocked", "wonder"+tokens["blocked"].now()), "blocked"},
		{"denied", plain(atAppend, "denied", "wonder"+tokens["denied"].now()), "denied"},
		{"locked, although everything is right", plain(atAppend, "locked", "wonder"+tokens["locked"].now()), "locked"},
		{"empty password", plain(atPrompt, "ann", ""), "empty_password"},
		{"login of 253 bytes", plain(atPrompt, long[1:], "wonder"), "unknown_user"},
		{"empty login", plain(atPrompt, "", "wonder"), "invalid_login"},
		{"NUL in the login", plain(atPrompt, "ann\x00", "wonder"), "invalid_login"},
		{"invalid UTF-8 in the login", plain(atPrompt, "ann\xff", "wonder"), "invalid_login"},
		{"line feed in the login", plain(atPrompt, "ann\nroot", "wonder"), "invalid_login"},
		{"two logins", extra(atPrompt, "ann", "wonder", func(w *radius.Writer) { _ = w.Add(radius.UserName, []byte("bob")) }), "invalid_login"},
		{"invalid UTF-8 in the password", plain(atPrompt, "ann", "won\xff\xfeder"), "malformed_request"},
		{"CHAP", extra(atPrompt, "ann", "", func(w *radius.Writer) { _ = w.Add(radius.CHAPPassword, make([]byte, 17)) }), "unsupported_authentication"},
		{"EAP", extra(atPrompt, "ann", "", func(w *radius.Writer) { _ = w.Add(radius.EAPMessage, []byte{2, 1, 0, 8, 1, 'a', 'n', 'n'}) }), "unsupported_authentication"},
		{"forged State", answer(atPrompt, "bob", "123456", func(*testing.T) []byte { return []byte("not a handle of ours at all, by no means") }), "challenge_invalid"},
		{"changed State", answer(atPrompt, "bob", "123456", func(t *testing.T) []byte {
			state := challenge(t, atPrompt, "bob").state
			state[len(state)-1] ^= 1
			return state
		}), "challenge_invalid"},
		{"empty State", answer(atPrompt, "bob", "123456", func(*testing.T) []byte { return []byte{} }), "challenge_invalid"},
		{"State of another client", answer(atOther, "bob", tokens["bob"].soon(), func(t *testing.T) []byte { return challenge(t, atPrompt, "bob").state }), "challenge_other_client"},
		{"State of another user", answer(atPrompt, "ann", tokens["ann"].soon(), func(t *testing.T) []byte { return challenge(t, atPrompt, "bob").state }), "challenge_other_user"},
		{"answer without a code", answer(atPrompt, "bob", "", func(t *testing.T) []byte { return challenge(t, atPrompt, "bob").state }), "empty_code"},
		{"wrong answer to a challenge", answer(atPrompt, "bob", tokens["bob"].wrong(2)[1], func(t *testing.T) []byte { return challenge(t, atPrompt, "bob").state }), "wrong_code"},
		{"used code in a challenge", answer(atPrompt, "bob", spent, func(t *testing.T) []byte { return challenge(t, atPrompt, "bob").state }), "replayed_code"},
		{"State answered before", func(t *testing.T, s *server) reply {
			state := challenge(t, atPrompt, "bob").state
			n := newNAS(t, atPrompt, s.radius)
			if r := n.ask("bob", tokens["bob"].soon(), state); r.code != radius.AccessAccept {
				t.Fatalf("first answer: %v", r)
			}
			return n.ask("bob", tokens["bob"].soon(), state)
		}, "challenge_replayed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(s.attempts())
			r := c.send(t, s)
			text := "Sign-in refused. Attempt "
			if c.name == "EAP" {
				text = "" // RFC 3579 section 2.6.5: no Reply-Message beside an EAP-Message
			}
			if r.code != radius.AccessReject || !strings.HasPrefix(r.message, text) || r.state != nil {
				t.Errorf("the answer is %v", r)
			}
			all := s.attempts()
			extra := len(all) - before
			if strings.Contains(c.name, "State answered before") {
				extra-- // the first answer's
			}
			if extra != 1 || all[0].Verdict != "reject" || all[0].Reason != c.reason || all[0].FrontEnd != "radius" {
				t.Errorf("%d records; the newest says %+v; want one for %s", extra, all[0], c.reason)
			}
			if id := all[0].AttemptID.String(); text != "" && r.message != text+id {
				t.Errorf("the user reads %q, the trail has %s", r.message, id)
			}
		})
	}
	if s.verify(); !s.proc.alive() {
		t.Error("the server ended")
	}
}

// A challenge that is not answered in time is refused, and its attempt is recorded.
func TestPathExpiredState(t *testing.T) {
	t.Parallel() // it waits most of the time
	s := newPathServer(t)
	s.cli("policy", "set", "challenge_seconds=10")
	s.user("ann", "wonder")
	k := s.totp("ann")
	n := newNAS(t, atPrompt, s.radius)
	first := n.ask("ann", "wonder", nil)
	if first.code != radius.AccessChallenge {
		t.Fatalf("no challenge: %v", first)
	}
	await(t, "the record of the challenge nobody answered", func() bool { return s.reasons()["challenge_unanswered"] == 1 })
	if r := n.ask("ann", k.now(), first.state); r.code != radius.AccessReject {
		t.Errorf("answer after the time: %v", r)
	}
	if _, why := s.last(); why != "challenge_expired" {
		t.Errorf("the trail says %s", why)
	}
	if r := signIn(t, s.radius, "ann", "wonder", k.now()); r.code != radius.AccessAccept {
		t.Errorf("the code that came too late was spent: %v", r)
	}
}

// A challenge that waits for its answer when the server is killed leaves its record all the
// same, and may be answered while it lasts.
func TestPathKilledWhileChallenged(t *testing.T) {
	s := newPathServer(t)
	s.cli("policy", "set", "challenge_seconds=20")
	for _, u := range []string{"ann", "bob"} {
		s.user(u, "wonder")
	}
	s.totp("ann")
	k := s.totp("bob")
	n := newNAS(t, atPrompt, s.radius)
	lost, kept := n.ask("ann", "wonder", nil), n.ask("bob", "wonder", nil)
	if lost.code != radius.AccessChallenge || kept.code != radius.AccessChallenge {
		t.Fatalf("no challenges: %v, %v", lost, kept)
	}
	s.kill9()
	s.start()
	if r := n.ask("bob", k.now(), kept.state); r.code != radius.AccessAccept {
		t.Errorf("answer after the restart: %v", r)
	}
	await(t, "the record of the challenge nobody answered", func() bool { return s.reasons()["challenge_unanswered"] == 1 })
	if got := s.reasons()["ok"]; got != 1 {
		t.Errorf("%d records of an accept, want 1", got)
	}
}

// What is not proven to come from a client gets no answer and no record; the server
// counts it and lives.
func TestPathSilence(t *testing.T) {
	s := newPathServer(t)
	s.user("ann", "wonder")
	k := s.totp("ann")
	good := func(n *nas) []byte { return n.request("ann", "wonder"+k.now(), nil) }
	length := func(p []byte, l int) []byte { p[2], p[3] = byte(l>>8), byte(l); return p }
	for _, c := range []struct {
		name, from string
		packet     func(n *nas) []byte
		outcome    string
	}{
		{"of nobody's client", atNobody, good, "unknown_client"},
		{"wrong secret", atAppend, func(n *nas) []byte { return sign(good(n), "another") }, "bad_message_authenticator"},
		{"wrong Message-Authenticator", atAppend, func(n *nas) []byte { p := good(n); p[30] ^= 1; return p }, "bad_message_authenticator"},
		{"changed behind the Message-Authenticator", atAppend, func(n *nas) []byte { p := good(n); p[len(p)-1] ^= 1; return p }, "bad_message_authenticator"},
		{"two Message-Authenticators", atAppend, func(n *nas) []byte {
			p := append(good(n), append([]byte{80, 18}, make([]byte, 16)...)...)
			return sign(length(p, len(p)), secretWord)
		}, "bad_message_authenticator"},
		{"no bytes", atAppend, func(*nas) []byte { return nil }, "malformed"},
		{"19 bytes", atAppend, func(n *nas) []byte { return good(n)[:19] }, "malformed"},
		{"shorter than its length", atAppend, func(n *nas) []byte { p := good(n); return p[:len(p)-5] }, "malformed"},
		{"length field below 20", atAppend, func(n *nas) []byte { return length(good(n), 19) }, "malformed"},
		{"length field above 4096", atAppend, func(n *nas) []byte { return length(append(good(n), make([]byte, 4200)...), 4200) }, "oversized"},
		{"attribute of length 0", atAppend, func(n *nas) []byte { p := append(good(n), 26, 0); return sign(length(p, len(p)), secretWord) }, "malformed"},
		{"attribute of length 1", atAppend, func(n *nas) []byte { p := append(good(n), 26, 1); return sign(length(p, len(p)), secretWord) }, "malformed"},
		{"attribute beyond the end", atAppend, func(n *nas) []byte { p := append(good(n), 26, 9, 1); return sign(length(p, len(p)), secretWord) }, "malformed"},
		{"unknown code", atAppend, func(n *nas) []byte { p := good(n); p[0] = 99; return sign(p, secretWord) }, "unknown_code"},
		{"an accept", atAppend, func(n *nas) []byte { p := good(n); p[0] = 2; return sign(p, secretWord) }, "unknown_code"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNAS(t, c.from, s.radius)
			metric := fmt.Sprintf("countersign_radius_packets_total{outcome=%q}", c.outcome)
			before := s.metric(metric)
			packet := c.packet(n)
			if _, err := n.conn.Write(packet); err != nil {
				t.Fatal(err)
			}
			await(t, metric+" to rise", func() bool { return s.metric(metric) == before+1 })
			n.wait = 50 * time.Millisecond // it is decided already
			if r, err := n.receive(append(packet, 0, 0)); !errors.Is(err, errSilent) {
				t.Errorf("answered with %v, %v", r, err)
			}
		})
	}
	if got := s.reasons(); len(got) != 0 {
		t.Errorf("the trail has %v", got)
	}
	// The same code after all of that: nothing was spent by what was not genuine.
	if r := newNAS(t, atAppend, s.radius).ask("ann", "wonder"+k.now(), nil); r.code != radius.AccessAccept {
		t.Errorf("sign-in after all of that: %v", r)
	}
}

// RADIUS carries no login of 254 bytes; other ways do.
func TestPathLongLogin(t *testing.T) {
	s := newServer(t)
	s.cli("application", "add", "web", "--kind", "api")
	for _, c := range []struct{ name, login string }{
		{"254 bytes", strings.Repeat("x", 254)}, {"4096 bytes", strings.Repeat("x", 4096)}, {"254 bytes with a domain", strings.Repeat("x", 249) + "@test"},
	} {
		if r := s.try("wonder", "test", c.login, "--application", "web", "--password-stdin"); r.code != 1 || !strings.Contains(r.oneLine(t), "rejected: invalid_login") {
			t.Errorf("%s: exit %d %s", c.name, r.code, r.stderr)
		}
		if r := s.try("", "user", "add", c.login); r.code != 1 || r.oneLine(t) == "" {
			t.Errorf("%s: user add: exit %d %s", c.name, r.code, r.stderr)
		}
	}
	if got := s.reasons(); got["invalid_login"] != 3 || len(got) != 1 {
		t.Errorf("the trail has %v", got)
	}
}

// A Message-Authenticator proves a request wherever it stands in it.
func TestPathMessageAuthenticatorLast(t *testing.T) {
	s := newPathServer(t)
	s.cli("application", "set", "none", "--message-authenticator", "require")
	s.user("ann", "")
	k := s.hotp("ann")
	n := newNAS(t, atNone, s.radius)
	p := n.request("ann", k.press(), nil)
	p = append(append(p[:20:20], p[38:]...), append([]byte{80, 18}, make([]byte, 16)...)...)
	mac := hmac.New(md5.New, []byte(secretWord))
	mac.Write(p)
	copy(p[len(p)-16:], mac.Sum(nil))
	if r := n.send(p); r.code != radius.AccessAccept {
		t.Errorf("answer: %v", r)
	}
}

// A packet of 4096 bytes is a packet like others.
func TestPathLargestPacket(t *testing.T) {
	s := newPathServer(t)
	s.user("ann", "wonder")
	k := s.totp("ann")
	n := newNAS(t, atAppend, s.radius)
	packet := n.request("ann", "wonder"+k.now(), func(w *radius.Writer) {
		for w.Len() < radius.MaxLen {
			size := min(radius.MaxLen-w.Len()-2, 253)
			if rest := radius.MaxLen - w.Len() - 2 - size; rest == 1 {
				size--
			}
			if err := w.Add(radius.VendorSpecific, append([]byte{0, 0, 0x7f, 0xff}, make([]byte, size-4)...)); err != nil {
				t.Fatal(err)
			}
		}
	})
	if len(packet) != radius.MaxLen {
		t.Fatalf("the packet has %d bytes", len(packet))
	}
	if r := n.send(packet); r.code != radius.AccessAccept {
		t.Errorf("answer: %v", r)
	}
}

// A client that signs is held to it: an unsigned request from its address is spoofed or
// the client has been changed.
func TestPathMessageAuthenticatorIsLearnt(t *testing.T) {
	s := newPathServer(t)
	s.user("ann", "")
	k := s.hotp("ann")
	unsigned := func(n *nas) []byte {
		p := n.request("ann", k.press(), nil)
		p = append(p[:20:20], p[38:]...)
		p[2], p[3] = byte(len(p)>>8), byte(len(p))
		return p
	}
	n := newNAS(t, atNone, s.radius)
	if r := n.send(unsigned(n)); r.code != radius.AccessAccept {
		t.Fatalf("unsigned, before anything was learnt: %v", r)
	}
	if r := n.ask("ann", k.press(), nil); r.code != radius.AccessAccept {
		t.Fatalf("signed: %v", r)
	}
	silent := func(when string) {
		t.Helper()
		n := newNAS(t, atNone, s.radius)
		const metric = `countersign_radius_packets_total{outcome="missing_message_authenticator"}`
		before := s.metric(metric)
		p := unsigned(n)
		if _, err := n.conn.Write(p); err != nil {
			t.Fatal(err)
		}
		await(t, metric+" to rise", func() bool { return s.metric(metric) == before+1 })
		n.wait = 50 * time.Millisecond
		if r, err := n.receive(p); !errors.Is(err, errSilent) {
			t.Errorf("unsigned, %s: %v, %v", when, r, err)
		}
	}
	silent("after a signed one")
	s.kill9()
	s.start()
	silent("after kill -9")
	if out := s.cli("blastradius"); !strings.Contains(out, "safe") {
		t.Errorf("blastradius:\n%s", out)
	}
}

// IPv6 is spoken like IPv4.
func TestPathIPv6(t *testing.T) {
	c, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		mfatest.Missing(t, "no IPv6 on this machine")
	}
	six := c.LocalAddr().String()
	_ = c.Close()
	s := prepare(t, "")
	s.found()
	s.radius = six
	s.proc = launch(t, s.log, "server", "--config", s.rewrite("radius", six))
	s.ready()
	s.application("six", "::1", "--first-factor", "none")
	s.user("ann", "")
	k := s.hotp("ann")
	if r := newNAS(t, "::1", six).ask("ann", k.press(), nil); r.code != radius.AccessAccept {
		t.Errorf("answer: %v", r)
	}
	if a := s.attempts()[0]; !strings.HasPrefix(a.Peer, "[::1]:") {
		t.Errorf("the trail says that it came from %q", a.Peer)
	}
}
