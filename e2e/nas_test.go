package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	theirs "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"countersign/internal/radius"
	"countersign/internal/secret"
)

// nas is a RADIUS client with a socket of its own. What it sends is made by package
// radius, what it gets is checked by code that is not ours.
type nas struct {
	t    testing.TB
	conn *net.UDPConn
	key  *radius.Key
	word string // shared secret
	id   byte
	wait time.Duration // for an answer
}

// newNAS returns a client at an address of the loopback that speaks to a server, with the
// shared secret of every test.
func newNAS(t testing.TB, from, to string) *nas {
	t.Helper()
	server, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &nas{t: t, conn: conn, key: radius.NewKey(secret.FromString(secretWord)), word: secretWord, wait: patience}
}

// reply is what came back.
type reply struct {
	code    radius.Code
	message string
	state   []byte
	raw     []byte
}

// String is for failures.
func (r reply) String() string {
	return fmt.Sprintf("%s %q", r.code, r.message)
}

// errSilent: no answer came.
var errSilent = errors.New("no answer")

// request makes the Access-Request of a user. change may add attributes; it may be nil.
func (n *nas) request(user, password string, change func(w *radius.Writer)) []byte {
	n.t.Helper()
	var auth [16]byte
	_, _ = rand.Read(auth[:])
	n.id++
	w := radius.NewRequest(nil, radius.AccessRequest, n.id, auth)
	hidden, err := n.key.Hide(nil, []byte(password), auth)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := errors.Join(w.Add(radius.UserName, []byte(user)), w.Add(radius.UserPassword, hidden)); err != nil {
		n.t.Fatal(err)
	}
	if change != nil {
		change(&w)
	}
	return w.SignRequest(n.key)
}

// answering returns a change that adds the State of a challenge.
func answering(state []byte) func(w *radius.Writer) {
	return func(w *radius.Writer) { _ = w.Add(radius.State, state) }
}

// ask sends a user's request and returns the answer, which must come.
func (n *nas) ask(user, password string, state []byte) reply {
	n.t.Helper()
	var change func(w *radius.Writer)
	if state != nil {
		change = answering(state)
	}
	return n.send(n.request(user, password, change))
}

// send sends a packet and returns the answer, which must come.
func (n *nas) send(packet []byte) reply {
	n.t.Helper()
	r, err := n.exchange(packet)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

// exchange sends a packet once and waits for the answer to it. Answers to others are
// dropped, as a client does.
func (n *nas) exchange(packet []byte) (reply, error) {
	if _, err := n.conn.Write(packet); err != nil {
		return reply{}, fmt.Errorf("%w: %w", errSilent, err)
	}
	return n.receive(packet)
}

func (n *nas) receive(packet []byte) (reply, error) {
	buf := make([]byte, 8192)
	_ = n.conn.SetReadDeadline(time.Now().Add(n.wait))
	for {
		size, err := n.conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return reply{}, errSilent
		}
		if err != nil { // the port is closed
			return reply{}, fmt.Errorf("%w: %w", errSilent, err)
		}
		if raw := bytes.Clone(buf[:size]); raw[1] == packet[1] {
			return read(raw, packet, n.word)
		}
	}
}

// read checks an answer with layeh.com/radius and crypto/hmac: Response Authenticator, and
// a Message-Authenticator that stands first (CVE-2024-3596).
func read(raw, request []byte, word string) (reply, error) {
	p, err := theirs.Parse(raw, []byte(word))
	if err != nil {
		return reply{}, fmt.Errorf("the answer does not parse: %w", err)
	}
	if !theirs.IsAuthenticResponse(raw, request, []byte(word)) {
		return reply{}, errors.New("the Response Authenticator of the answer is wrong")
	}
	if len(raw) < 38 || raw[20] != 80 || raw[21] != 18 {
		return reply{}, fmt.Errorf("the answer does not begin with a Message-Authenticator: %x", raw)
	}
	signed := bytes.Clone(raw)
	copy(signed[4:20], request[4:20])
	clear(signed[22:38])
	mac := hmac.New(md5.New, []byte(word))
	mac.Write(signed)
	if !hmac.Equal(mac.Sum(nil), raw[22:38]) {
		return reply{}, errors.New("the Message-Authenticator of the answer is wrong")
	}
	r := reply{code: radius.Code(p.Code), raw: raw, state: rfc2865.State_Get(p)}
	texts, err := rfc2865.ReplyMessage_GetStrings(p)
	r.message = strings.Join(texts, "")
	return r, err
}

// sign writes a Message-Authenticator into a packet that has room for one as its first
// attribute, for packets that package radius would not make.
func sign(packet []byte, word string) []byte {
	clear(packet[22:38])
	mac := hmac.New(md5.New, []byte(word))
	mac.Write(packet)
	copy(packet[22:38], mac.Sum(nil))
	return packet
}

// signIn signs a user in: the code goes behind the password, or into a challenge, as the
// server wants it. It returns the last answer.
func signIn(t testing.TB, addr, user, password, code string) reply {
	t.Helper()
	n := newNAS(t, "127.0.0.1", addr)
	r := n.ask(user, password, nil)
	if r.code == radius.AccessChallenge {
		r = n.ask(user, code, r.state)
	}
	return r
}
