package mfatest

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Phone is a telephone that SIPp plays: it takes one call and does as its steps say.
type Phone struct {
	Address string // host:port
	cmd     *exec.Cmd
	out     Output
	done    chan error
}

// PhoneOptions say how a telephone is reached.
type PhoneOptions struct {
	Address   string // that it listens on; "": a free one
	Transport string // "udp" (""), "tcp", "tls"
	CA        *CA    // tls: of its certificate
	Audio     string // host:port that it has audio sent to; "": a port of SIPp's own
	ALaw      bool   // it speaks PCMA alone
	Keys      int    // payload type of the keys that it takes; 0: 101
}

// Steps of a telephone. A step is a part of SIPp's scenario, after the INVITE came in.
const (
	Ring = `<send><![CDATA[
SIP/2.0 180 Ringing
[last_Via:]
[last_From:]
[last_To:];tag=[pid]T[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>`
	// Answer picks up.
	Answer = `<send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid]T[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] AUDIOHOST
t=0 0
m=audio AUDIOPORT RTP/AVP AUDIOTYPE KEYTYPE
a=rtpmap:KEYTYPE telephone-event/8000
]]></send><recv request="ACK"/>`
	// AwaitBye waits until the caller hangs up.
	AwaitBye = `<recv request="BYE"/><send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>`
	// HangUp hangs up.
	HangUp = `<send retrans="500"><![CDATA[
BYE sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: [$to];tag=[pid]T[call_number]
To: [$from]
[last_Call-ID:]
CSeq: 9 BYE
Max-Forwards: 70
Content-Length: 0

]]></send><recv response="200"/>`
	// RingOut rings until the caller gives up.
	RingOut = Ring + GivenUp
	// GivenUp waits for that.
	GivenUp = `<recv request="CANCEL"/><send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid]T[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send><send retrans="500"><![CDATA[
SIP/2.0 487 Request Terminated
[last_Via:]
[last_From:]
[last_To:];tag=[pid]T[call_number]
[last_Call-ID:]
CSeq: [$seq]
Content-Length: 0

]]></send><recv request="ACK"/>`
	invited = `<recv request="INVITE"><action>
<ereg regexp="[^ ].*" search_in="hdr" header="From:" assign_to="from"/>
<ereg regexp="[^ ].*" search_in="hdr" header="To:" assign_to="to"/>
<ereg regexp="[^ ].*" search_in="hdr" header="CSeq:" assign_to="seq"/>
</action></recv>`
)

// Refuse ends a call that was not picked up, with further header lines.
func Refuse(status int, reason string, headers ...string) string {
	return fmt.Sprintf(`<send retrans="500"><![CDATA[
SIP/2.0 %d %s
[last_Via:]
[last_From:]
[last_To:];tag=[pid]T[call_number]
[last_Call-ID:]
[last_CSeq:]
%sContent-Length: 0

]]></send><recv request="ACK"/>`, status, reason, strings.Join(append(headers, ""), "\n"))
}

// Login lets nobody ring who does not know the password. It has to be the first step.
func Login(login, password string) string {
	return Refuse(401, "Unauthorized", `WWW-Authenticate: Digest realm="trunk", nonce="47ebe028cda119c35d4877b383027d28da013815", algorithm=MD5`) +
		`<recv request="INVITE"><action>
<ereg regexp="[^ ].*" search_in="hdr" header="CSeq:" assign_to="seq"/>
<verifyauth assign_to="good" username="` + login + `" password="` + password + `"/></action></recv>
<nop test="good" next="1"/>` + Refuse(403, "Forbidden") + `<nop next="2"/><label id="1"/>`
}

// LoginEnd has to be the last step of a telephone that begins with Login.
const LoginEnd = `<label id="2"/>`

// Wait does nothing for a while.
func Wait(d time.Duration) string { return fmt.Sprintf(`<pause milliseconds="%d"/>`, d.Milliseconds()) }

// Touch makes a file, by which a test sees how far the call is.
func Touch(file string) string {
	return `<nop><action><exec command="touch ` + file + `"/></action></nop>`
}

// Press presses keys (RFC 4733).
func Press(keys string) string {
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteString(`<pause milliseconds="350"/>`)
		}
		name := map[rune]string{'*': "star", '#': "pound"}[k]
		if name == "" {
			name = string(k)
		}
		fmt.Fprintf(&b, `<nop><action><exec play_pcap_audio="/usr/share/sip-tester/dtmf_2833_%s.pcap"/></action></nop>`, name)
	}
	return b.String()
}

// Info presses one key by SIP INFO.
func Info(key rune) string {
	return `<send retrans="500"><![CDATA[
INFO sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: [$to];tag=[pid]T[call_number]
To: [$from]
[last_Call-ID:]
CSeq: 5 INFO
Max-Forwards: 70
Content-Type: application/dtmf-relay
Content-Length: [len]

Signal=` + string(key) + `
Duration=160
]]></send><recv response="200"/>`
}

// Say plays audio, µ-law at 8 kHz.
func Say(t testing.TB, audio []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "said.pcap")
	writeFile(t, file, string(packets(audio)))
	return `<nop><action><exec play_pcap_audio="` + file + `"/></action></nop>`
}

// packets returns a capture of the RTP packets that carry audio.
func packets(audio []byte) []byte {
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.LittleEndian, v) // a buffer takes everything
		}
	}
	put(uint32(0xa1b2c3d4), uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), uint32(1)) // Ethernet
	for i := 0; (i+1)*160 <= len(audio); i++ {
		var p bytes.Buffer
		p.Write(make([]byte, 12))
		p.Write([]byte{0x08, 0x00}) // IPv4
		const udp, ip = 8 + 12 + 160, 20 + 8 + 12 + 160
		p.Write([]byte{0x45, 0, ip >> 8, ip & 0xff, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1})
		p.Write([]byte{0x17, 0x70, 0x17, 0x70, udp >> 8, udp & 0xff, 0, 0})
		p.Write([]byte{0x80, 0, byte(i >> 8), byte(i)})
		_ = binary.Write(&p, binary.BigEndian, uint32(i*160)) //nolint:gosec // small
		p.Write([]byte{1, 2, 3, 4})
		p.Write(audio[i*160 : (i+1)*160])
		at := i * 20
		put(uint32(at/1000), uint32(at%1000*1000), uint32(p.Len()), uint32(p.Len())) //nolint:gosec // small
		b.Write(p.Bytes())
	}
	return b.Bytes()
}

// Sipp starts a telephone.
func Sipp(t testing.TB, o PhoneOptions, steps ...string) *Phone {
	t.Helper()
	return startSipp(t, o, invited+strings.Join(steps, "\n"), `<Reference variables="from,to,seq"/>`)
}

// SippOptions starts an exchange that is asked once whether it is there.
func SippOptions(t testing.TB) *Phone {
	t.Helper()
	return startSipp(t, PhoneOptions{}, `<recv request="OPTIONS"/><send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid]T[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>`, "")
}

func startSipp(t testing.TB, o PhoneOptions, steps, after string) *Phone {
	t.Helper()
	program := Need(t, "sipp")[0]
	if os.Geteuid() != 0 {
		Missing(t, "SIPp sends audio through raw sockets: only root may")
	}
	dir := t.TempDir()
	p := &Phone{Address: o.Address, done: make(chan error, 1)}
	if p.Address == "" {
		p.Address = FreeUDP(t)
	}
	media := port(FreeUDP(t))
	host, audio := "[media_ip]", "[media_port]"
	if o.Audio != "" {
		host, audio, _ = net.SplitHostPort(o.Audio)
	}
	kind, keys := "0", 101
	if o.ALaw {
		kind = "8"
	}
	if o.Keys != 0 {
		keys = o.Keys
	}
	scenario := `<?xml version="1.0" encoding="ISO-8859-1" ?><scenario name="phone">` + steps + after + `</scenario>`
	scenario = strings.NewReplacer("AUDIOHOST", host, "AUDIOPORT", audio, "AUDIOTYPE", kind, "KEYTYPE", fmt.Sprint(keys)).Replace(scenario)
	file := filepath.Join(dir, "phone.xml")
	writeFile(t, file, scenario)
	transport := map[string]string{"": "u1", "udp": "u1", "tcp": "t1", "tls": "t1"}[o.Transport]
	args := []string{"-sf", file, "-i", "127.0.0.1", "-p", port(p.Address), "-mi", "127.0.0.1", "-mp", media, "-m", "1", "-nostdin", "-t", transport,
		"-timeout", "40s", "-timeout_error", "-trace_err", "-error_file", filepath.Join(dir, "errors")}
	p.cmd = exec.Command(program, args...) //nolint:gosec // a rig's own words
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr, p.cmd.WaitDelay = dir, &p.out, &p.out, own(), time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("rig: start sipp: %v", err)
	}
	ended := make(chan struct{})
	go func() { p.done <- p.cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		end(p.cmd.Process, true)
		<-ended
		if t.Failed() {
			why, _ := os.ReadFile(filepath.Join(dir, "errors")) //nolint:gosec // of the test
			t.Logf("sipp said:\n%.4000s\n%.3000s", why, p.out.String())
		}
	})
	if transport == "t1" {
		(&Daemon{cmd: p.cmd, done: ended}).AwaitTCP(t, p.Address)
	}
	if o.Transport == "tls" { // Debian's SIPp has none
		cert, key := o.CA.Server(t, time.Time{}, "127.0.0.1", "localhost")
		p.Address = inTLS(t, cert, key, p.Address)
	}
	return p
}

// inTLS listens with TLS and passes on what is in it to an address, and back.
func inTLS(t testing.TB, cert, key, address string) string {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			inside, err := net.Dial("tcp", address)
			if err != nil {
				_ = outside.Close()
				continue
			}
			go func() { _, _ = io.Copy(inside, outside); _ = inside.Close() }()
			go func() { _, _ = io.Copy(outside, inside); _ = outside.Close() }()
		}
	}()
	return l.Addr().String()
}

// Done waits until the call is over and fails the test if it did not go as the steps say.
func (p *Phone) Done(t testing.TB) {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Errorf("rig: the call did not go as the telephone has it: sipp ended with %d", exit.ExitCode())
		}
	case <-time.After(20 * time.Second):
		t.Error("rig: the telephone waits for more than the caller does")
	}
}

// FreeUDP returns an address of UDP that nobody uses at the moment, and neither the next two ports.
func FreeUDP(t testing.TB) string {
	t.Helper()
	for range 50 {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := c.LocalAddr().(*net.UDPAddr)
		_ = c.Close()
		free := addr.Port < 65530
		for _, next := range []int{1, 2} {
			n, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", addr.Port+next))
			if err != nil {
				free = false
				break
			}
			_ = n.Close()
		}
		if free {
			return addr.String()
		}
	}
	t.Fatal("no three free UDP ports in a row")
	return ""
}
