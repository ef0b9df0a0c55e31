package radiusd

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

// twoLegs is an engine that wants alice's password, then the code 123456.
func twoLegs(now func() time.Time) func(context.Context, mfa.Request) (mfa.Decision, error) {
	return func(_ context.Context, q mfa.Request) (mfa.Decision, error) {
		switch {
		case q.Refuse != 0 || q.Login != "alice":
			return mfa.Decision{Message: "Sign-in failed."}, nil
		case len(q.Handle) == 0 && string(q.Password.Expose()) == "wonder":
			return mfa.Decision{Verdict: mfa.Challenge, Handle: bytes.Repeat([]byte{0, 0xff, 'h'}, 60), Expires: now().Add(2 * time.Minute), Message: "Enter your code"}, nil
		case bytes.Equal(q.Handle, bytes.Repeat([]byte{0, 0xff, 'h'}, 60)) && string(q.Answer.Expose()) == "123456":
			return mfa.Decision{Verdict: mfa.Accept, Message: "Welcome", Reply: []mfa.ReplyAttribute{
				{Name: "Filter-Id", Value: "staff"}, {Name: "Cisco-AVPair", Value: "shell:priv-lvl=15"}, {Name: "Framed-IP-Address", Value: "192.0.2.5"},
				{Name: "Tunnel-Type:1", Value: "VLAN"}, {Name: "Service-Type", Value: "Administrative-User"},
			}}, nil
		}
		return mfa.Decision{Message: "Sign-in failed."}, nil
	}
}

// radclient sends attrs to a port and returns all that it says. It waits 5 s for an answer.
func radclient(t *testing.T, to netip.AddrPort, command, password string, attrs ...string) string {
	t.Helper()
	program := mfatest.Need(t, "radclient")[0]
	c := exec.CommandContext(t.Context(), program, "-x", "-r", "1", "-t", "5", to.String(), command, password)
	c.Stdin = strings.NewReader(strings.Join(attrs, ",") + "\n")
	out, _ := c.CombinedOutput() // a reject is exit 1
	return string(out)
}

var stateLine = regexp.MustCompile(`State = (0x[0-9a-f]+)`)

// proxied is how FreeRADIUS tells that an accept came back from its home server.
var proxied = regexp.MustCompile(`Received Access-Accept.*\n.*Message-Authenticator = 0x.*\n.*Proxy-State = 0x`)

// signIn signs alice in with radclient in two legs.
func signIn(t *testing.T, to netip.AddrPort, code string) string {
	t.Helper()
	out := radclient(t, to, "auth", shared, "User-Name=alice", "User-Password=wonder", "Message-Authenticator=0x00")
	if !strings.Contains(out, "Received Access-Challenge") || !strings.Contains(out, `Reply-Message = "Enter your code"`) {
		t.Fatalf("radclient got no challenge:\n%s", out)
	}
	state := stateLine.FindStringSubmatch(out)
	if state == nil {
		t.Fatalf("radclient got no State:\n%s", out)
	}
	return radclient(t, to, "auth", shared, "User-Name=alice", "User-Password="+code, "State="+state[1], "Message-Authenticator=0x00")
}

func TestRadclient(t *testing.T) {
	mfatest.Need(t, "radclient")
	r := newRig()
	r.engine.decide = twoLegs(r.clock.Now)
	r.start(t)
	auth, acct := r.AuthAddrs()[0], r.AcctAddrs()[0]

	contains := func(out string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(out, p) {
				t.Errorf("radclient's output lacks %q:\n%s", p, out)
			}
		}
	}
	out := signIn(t, auth, "123456")
	contains(out, "Received Access-Accept", "Message-Authenticator = 0x", `Filter-Id = "staff"`, `Cisco-AVPair = "shell:priv-lvl=15"`,
		"Framed-IP-Address = 192.0.2.5", "Tunnel-Type:1 = VLAN", "Service-Type = Administrative-User")
	_, reply, _ := strings.Cut(out, "Received Access-Accept")
	if lines := strings.Split(reply, "\n"); len(lines) < 2 || !strings.Contains(lines[1], "Message-Authenticator") {
		t.Errorf("the first attribute is not Message-Authenticator:\n%s", reply)
	}
	contains(signIn(t, auth, "654321"), "Received Access-Reject", "Sign-in failed.")
	contains(radclient(t, auth, "status", shared, "Message-Authenticator=0x00"), "Received Access-Accept")
	contains(radclient(t, acct, "status", shared, "Message-Authenticator=0x00"), "Received Accounting-Response")
	contains(radclient(t, acct, "acct", shared, "User-Name=alice", "Acct-Status-Type=Start", "Acct-Session-Id=s1"), "Received Accounting-Response")
	contains(radclient(t, auth, "auth", shared, "User-Name=alice", "CHAP-Password=wonder", "Message-Authenticator=0x00"), "Received Access-Reject")
	if n := r.seen.of(BadMA) + r.seen.of(BadAccounting) + r.seen.of(Malformed); n != 0 {
		t.Errorf("%d of radclient's packets were refused", n)
	}
}

// radclient does check what it gets: an answer with a wrong Message-Authenticator, right
// in all else, is none to it. So what it takes from us is proven by it.
func TestRadclientChecksMessageAuthenticators(t *testing.T) {
	mfatest.Need(t, "radclient")
	for _, wrong := range []bool{false, true} {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			b := make([]byte, 4096)
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			p, err := radius.Parse(b[:n])
			if err != nil {
				return
			}
			w := radius.NewReply(nil, radius.AccessAccept, p)
			raw := w.SignReply(radius.NewKey(secret.FromString(shared)))
			if wrong {
				raw[25] ^= 1
				auth := p.Authenticator()
				copy(raw[4:], sumMD5(raw[:4], auth[:], raw[20:], []byte(shared)))
			}
			_, _ = conn.WriteToUDPAddrPort(raw, from)
		}()
		program := mfatest.Need(t, "radclient")[0]
		c := exec.CommandContext(t.Context(), program, "-x", "-r", "1", "-t", "1", conn.LocalAddr().String(), "auth", shared)
		c.Stdin = strings.NewReader("User-Name=alice,User-Password=x\n")
		out, err := c.CombinedOutput()
		if (err != nil) != wrong {
			t.Errorf("wrong %v: radclient says %v:\n%s", wrong, err, out)
		}
		_ = conn.Close()
		<-done
	}
}

// FreeRADIUS as a proxy in front of us, watching us by Status-Server. It adds a
// Proxy-State of its own, and gets it back behind the Message-Authenticator.
func TestFreeRADIUSInFrontOfUs(t *testing.T) {
	mfatest.Need(t, "freeradius", "radclient")
	r := newRig()
	r.engine.decide = twoLegs(r.clock.Now)
	r.start(t)
	proxy, front := mfatest.FreeRADIUS(t, r.AuthAddrs()[0], shared)
	out := signIn(t, front, "123456")
	for _, part := range []string{"Received Access-Accept", `Filter-Id = "staff"`, `Cisco-AVPair = "shell:priv-lvl=15"`} {
		if !strings.Contains(out, part) {
			t.Errorf("through the proxy: output lacks %q:\n%s", part, out)
		}
	}
	if out := signIn(t, front, "000000"); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("through the proxy, wrong code:\n%s", out)
	}
	if !proxied.MatchString(proxy.Output()) {
		t.Errorf("FreeRADIUS got no Proxy-State back:\n%s", proxy.Output())
	}
	if n := len(r.engine.requests()); n != 4 {
		t.Errorf("the engine was asked %d times, want 4", n)
	}
	if r.seen.of(BadMA)+r.seen.of(Malformed)+r.seen.of(MissingMA) != 0 {
		t.Error("packets of FreeRADIUS were refused")
	}
}
