package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/device"
	"countersign/internal/mfatest"
	"countersign/internal/radius"
)

// phone is a device that approves sign-ins: what the app does in a browser, by hand.
type phone struct {
	t   testing.TB
	key *ecdsa.PrivateKey
	id  string
	pin string // that its user types; "": none
	web *http.Client
}

// device activates a device of a user's.
func (s *server) device(login string) *phone {
	s.t.Helper()
	var made struct {
		Code string `json:"activation_code"`
		URL  string `json:"activation_url"`
	}
	s.json(&made, "credential", "add", login, "--method", "push")
	if !strings.HasSuffix(made.URL, "/authenticator/#"+made.Code) {
		s.t.Fatalf("activation: %+v", made)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &phone{t: s.t, key: key, web: &http.Client{Timeout: patience,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}} //nolint:gosec // a server of the test's own
	s.t.Cleanup(p.web.CloseIdleConnections)
	var got struct{ Device, User string }
	status := p.call(s, "activate", map[string]string{"code": made.Code, "name": "Phone", "public_key": base64.RawURLEncoding.EncodeToString(public),
		"proof": p.sign(device.Activation(made.Code))}, &got)
	if status != http.StatusCreated || got.User != login {
		s.t.Fatalf("activate: %d %+v", status, got)
	}
	p.id = got.Device
	return p
}

func (p *phone) sign(message []byte) string {
	p.t.Helper()
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	if err != nil {
		p.t.Fatal(err)
	}
	b := make([]byte, 64)
	r.FillBytes(b[:32])
	s.FillBytes(b[32:])
	return base64.RawURLEncoding.EncodeToString(b)
}

// call asks a server and returns the status; 0: no answer.
func (p *phone) call(s *server, verb string, in, out any) int {
	p.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "https://"+s.https+"/authenticator/api/"+verb, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if p.pin != "" {
		r.Header.Set("Countersign-PIN", base64.RawURLEncoding.EncodeToString([]byte(p.pin)))
	}
	if p.id != "" {
		m := device.Request{Method: r.Method, Path: r.URL.Path, Time: fmt.Sprint(time.Now().Unix()), Nonce: rand.Text(), Body: body}
		for name, value := range map[string]string{"Device": p.id, "Time": m.Time, "Nonce": m.Nonce, "Signature": p.sign(m.Message())} {
			r.Header.Set("Countersign-"+name, value)
		}
	}
	a, err := p.web.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode < 300 && a.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(a.Body).Decode(out); err != nil {
			p.t.Fatal(err)
		}
	}
	return a.StatusCode
}

// question is what the device is shown.
type question struct{ ID, Nonce, Application, Source, Text string }

// next waits until a server shows a question.
func (p *phone) next(s *server) question {
	p.t.Helper()
	var got struct{ Requests []question }
	await(p.t, "a question on the device", func() bool {
		return p.call(s, "pending", map[string]int{"wait": 5}, &got) == http.StatusOK && len(got.Requests) > 0
	})
	return got.Requests[0]
}

// answer answers a question, again while the server cannot keep the answer.
func (p *phone) answer(s *server, q question, act, number string) (outcome string) {
	p.t.Helper()
	var got struct{ Outcome string }
	await(p.t, "an answer that is kept", func() bool {
		return p.call(s, "answer", map[string]string{"id": q.ID, "nonce": q.Nonce, "act": act, "number": number}, &got) == http.StatusOK
	})
	return got.Outcome
}

// untilAnswered sends a packet, again each second, as a client does, until it is answered.
func (n *nas) untilAnswered(packet []byte) reply {
	n.wait = time.Second
	for end := time.Now().Add(patience); ; {
		r, err := n.exchange(packet)
		if err == nil || !errors.Is(err, errSilent) || time.Now().After(end) {
			if err != nil {
				n.t.Error(err)
			}
			return r
		}
	}
}

// A request waits for its user at one server while the master is killed; the user answers at a
// third. The client repeats its packet all the while, and is let in once.
func TestPushWhileTheMasterDies(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 3)
	all[0].application("old", atPrompt, "--first-factor", "local", "--methods", "push", "--waiting", "inside")
	all[0].user("alice", "wonder")
	p := all[0].device("alice")
	dead, left := master(t, all)
	await(t, "the application at the other server", func() bool { return left[0].try("", "application", "show", "old").code == 0 })
	await(t, "the device at the other server", func() bool {
		return strings.Contains(left[0].try("", "credential", "list", "alice").stdout, "Phone")
	})
	n := newNAS(t, atPrompt, left[0].radius)
	packet := n.request("alice", "wonder", nil)
	answered := make(chan reply, 1)
	go func() { answered <- n.untilAnswered(packet) }()
	q := p.next(left[1])
	if q.Application != "old" {
		t.Errorf("the device is shown %+v", q)
	}
	dead.kill9()
	if out := p.answer(left[1], q, "approve", ""); out != "accepted" && out != "answered" { // answered: kept though the answer was lost
		t.Errorf("the answer came to %s", out)
	}
	if r := <-answered; r.code != radius.AccessAccept {
		t.Errorf("the request that waited: %v", r)
	}
	n.wait = patience
	// The very packet at the third server, as a client does that has missed the answer.
	if r := n.turn(left[1]).send(packet); r.code != radius.AccessAccept {
		t.Errorf("the same packet elsewhere: %v", r)
	}
	if here, there := left[0].reasons("--user", "alice")["ok"], left[1].reasons("--user", "alice")["ok"]; here+there != 1 {
		t.Errorf("one approval left %d accepts at one server and %d at the other", here, there)
	}
}

// numberLine is where a challenge tells the number.
var numberLine = regexp.MustCompile(`Enter ([0-9]{2}) in the app`)

// radclientTries sends one request as a client does that tries so often, with so many seconds
// between.
func radclientTries(t testing.TB, to string, seconds, tries int, attributes ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), mfatest.Need(t, "radclient")[0], "-x", "-r", fmt.Sprint(tries), "-t", fmt.Sprint(seconds), to, "auth", secretWord)
	c.Stdin = strings.NewReader(strings.Join(attributes, ",") + "\n")
	out, _ := c.CombinedOutput() // no reply is exit 1
	return string(out)
}

// radclient, as clients have it: the number to match comes in the challenge, what the device says
// is asked for by the next request; a refusal refuses; a client that gives up too early is
// reported with what to set.
func TestPushOverRADIUS(t *testing.T) {
	t.Parallel()
	mfatest.Need(t, "radclient")
	s := newServer(t)
	s.application("vpn", "127.0.0.1", "--first-factor", "local", "--methods", "push")
	s.user("alice", "wonder")
	p := s.device("alice")
	s.cli("policy", "set", "prompt_gap_seconds=0")
	ask := func(more ...string) string {
		return radclient(t, s.radius, "auth", append([]string{"User-Name=alice", "Message-Authenticator=0x00", "Calling-Station-Id=10.1.1.1"}, more...)...)
	}
	out := ask("User-Password=wonder")
	number := numberLine.FindStringSubmatch(out)
	state := stateLine.FindStringSubmatch(out)
	if !strings.Contains(out, "Received Access-Challenge") || number == nil || state == nil {
		t.Fatalf("radclient got %s", out)
	}
	if out := p.answer(s, p.next(s), "approve", number[1]); out != "accepted" {
		t.Errorf("the answer came to %s", out)
	}
	if out := ask("User-Password=ok", "State="+state[1]); !strings.Contains(out, "Received Access-Accept") {
		t.Errorf("after the approval radclient got %s", out)
	}
	state = stateLine.FindStringSubmatch(ask("User-Password=wonder"))
	if out := p.answer(s, p.next(s), "deny", ""); out != "denied" {
		t.Errorf("the refusal came to %s", out)
	}
	if out := ask("User-Password=ok", "State="+state[1]); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("after the refusal radclient got %s", out)
	}

	// Held inside the request. Who sends another of their own meanwhile does not get what is approved.
	s.cli("application", "set", "vpn", "--waiting", "inside")
	held := make(chan string, 1)
	go func() {
		held <- radclientTries(t, s.radius, 50, 1, "User-Name=alice", "User-Password=wonder", "Message-Authenticator=0x00", "Calling-Station-Id=10.1.1.1")
	}()
	first := p.next(s)
	if out := ask("User-Password=wonder"); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("another request of the same station got %s", out)
	}
	if out := p.answer(s, first, "approve", ""); out != "accepted" {
		t.Errorf("the answer came to %s", out)
	}
	if out := <-held; !strings.Contains(out, "Received Access-Accept") {
		t.Errorf("the request that was held got %s", out)
	}

	// By a client that gives up after three tries of one second.
	gaveUp := make(chan string, 1)
	go func() {
		gaveUp <- radclientTries(t, s.radius, 1, 3, "User-Name=alice", "User-Password=wonder", "Message-Authenticator=0x00", "Calling-Station-Id=10.1.1.1")
	}()
	q := p.next(s)
	if out := <-gaveUp; !strings.Contains(out, "No reply from server") {
		t.Errorf("a client that gives up got %s", out)
	}
	time.Sleep(1500 * time.Millisecond) // what is tested: by now it would have asked again, and has not
	if out := p.answer(s, q, "approve", ""); out != "accepted" {
		t.Errorf("the late answer came to %s", out)
	}
	if out := radclientTries(t, s.radius, 10, 1, "User-Name=alice", "User-Password=wonder", "Message-Authenticator=0x00", "Calling-Station-Id=10.1.1.1"); !strings.Contains(out, "Received Access-Accept") {
		t.Errorf("the next request got %s", out)
	}
	await(t, "the client's patience is known", func() bool {
		return strings.Contains(s.cli("application", "show", "vpn"), "set its RADIUS time-out to 70 s")
	})

	// With a PIN, which is typed on the device, and counted there.
	s.cli("application", "set", "vpn", "--waiting", "prompt")
	s.cliIn("4826", "user", "pin", "set", "alice", "--pin-stdin")
	s.cli("user", "pin", "must-change", "alice", "--no")
	for pin, want := range map[string]string{"4827": "Access-Reject", "4826": "Access-Accept"} {
		out := ask("User-Password=wonder")
		number, state := numberLine.FindStringSubmatch(out), stateLine.FindStringSubmatch(out)
		if number == nil || state == nil {
			t.Fatalf("with a PIN: radclient got %s", out)
		}
		p.pin = pin
		outcome := p.answer(s, p.next(s), "approve", number[1])
		if out := ask("User-Password=ok", "State="+state[1]); !strings.Contains(out, "Received "+want) {
			t.Errorf("PIN %s came to %s, and radclient got %s", pin, outcome, out)
		}
	}
	if why := s.reasons("--user", "alice"); why["ok"] != 4 || why["wrong_pin"] != 1 || why["refused_by_user"] != 1 || why["already_asked"] != 1 {
		t.Errorf("reasons: %v", why)
	}
	s.verify()
}
