package call_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/gateway/call"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/secret"
	"countersign/internal/voice"
)

// trunk is that of a telephone.
func trunk(address string) call.Trunk {
	return call.Trunk{Address: address, Transport: call.UDP, From: "+49301234", Answer: 5 * time.Second, Ring: 8 * time.Second}
}

// tone is a prompt that can be told from others.
func tone(hz float64, ms int) voice.Sound {
	s := make(voice.Sound, voice.Rate/1000*ms)
	for i := range s {
		s[i] = voice.Encode(int16(6000 * math.Sin(2*math.Pi*hz*float64(i)/voice.Rate)))
	}
	return s
}

// talk asks for keys with a short prompt.
func talk(right string) call.Talk {
	return call.Talk{Ask: tone(600, 400), Again: tone(700, 200), Tries: 2, Asks: 1, Pause: time.Second,
		Said: map[call.Answer]voice.Sound{call.Right: tone(800, 100), call.Wrong: tone(900, 100)},
		Judge: func(_ context.Context, keys string) call.Answer {
			switch {
			case keys == right:
				return call.Right
			case keys == "0#":
				return call.Fraud
			case len(keys) >= len(right) && keys[0] != '0':
				return call.Wrong
			}
			return call.More
		}}
}

func place(t *testing.T, tr call.Trunk, n call.Number, k call.Talk) (call.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return call.Place(ctx, slog.New(slog.DiscardHandler), tr, n, k)
}

var number = call.Number{Dial: "+491701234567"}

// However a call ends is a reason of its own; the telephone is SIPp, and sees the call go as it should.
func TestOutcomes(t *testing.T) {
	answer := mfatest.Ring + mfatest.Answer + mfatest.Wait(200*time.Millisecond)
	mailbox := append(voice.Prompt(nil, voice.Application, "en"), tone(1000, 500)...)
	for _, tt := range []struct {
		name   string
		steps  []string
		change func(*call.Trunk, *call.Talk)
		want   mfa.Reason
		rang   bool
	}{
		{"two digits", []string{answer, mfatest.Press("42"), mfatest.AwaitBye}, nil, mfa.ReasonNone, true},
		{"digits and pound", []string{answer, mfatest.Press("1#"), mfatest.AwaitBye}, func(_ *call.Trunk, k *call.Talk) { k.Judge = talk("1#").Judge }, mfa.ReasonNone, true},
		{"keys by INFO", []string{answer, mfatest.Info('4'), mfatest.Info('2'), mfatest.AwaitBye}, nil, mfa.ReasonNone, true},
		{"wrong, then right", []string{answer, mfatest.Press("4342"), mfatest.AwaitBye}, nil, mfa.ReasonNone, true},
		{"wrong twice", []string{answer, mfatest.Press("4144"), mfatest.AwaitBye}, nil, mfa.CallWrongKey, true},
		{"wrong, then hung up", []string{answer, mfatest.Press("41"), mfatest.HangUp}, nil, mfa.CallWrongKey, true},
		{"fraud", []string{answer, mfatest.Press("0#"), mfatest.AwaitBye}, nil, mfa.FraudReported, true},
		{"nothing pressed", []string{answer, mfatest.AwaitBye}, nil, mfa.CallNotPressed, true},
		{"hung up after it was heard", []string{answer, mfatest.Wait(900 * time.Millisecond), mfatest.HangUp}, nil, mfa.CallNotPressed, true},
		{"hung up before it was heard", []string{answer, mfatest.HangUp}, func(_ *call.Trunk, k *call.Talk) { k.Ask = tone(600, 5000) }, mfa.CallHungUp, true},
		{"a mailbox", []string{answer, mfatest.Say(t, mailbox), mfatest.AwaitBye}, func(_ *call.Trunk, k *call.Talk) { k.Ask = tone(600, 12000) }, mfa.CallVoicemail, true},
		{"busy", []string{mfatest.Refuse(486, "Busy Here")}, nil, mfa.CallBusy, false},
		{"busy, as the telephone network says it", []string{mfatest.Refuse(503, "Service Unavailable", `Reason: Q.850;cause=17;text="User busy"`)}, nil, mfa.CallBusy, false},
		{"rejected", []string{mfatest.Ring, mfatest.Refuse(603, "Decline")}, nil, mfa.CallRejected, true},
		{"no such number", []string{mfatest.Refuse(404, "Not Found")}, nil, mfa.RecipientRefused, false},
		{"no answer", []string{mfatest.RingOut}, func(tr *call.Trunk, _ *call.Talk) { tr.Ring = time.Second }, mfa.CallNoAnswer, true},
		{"no credit", []string{mfatest.Refuse(402, "Payment Required")}, nil, mfa.GatewayNoCredit, false},
		{"out of order", []string{mfatest.Refuse(503, "Service Unavailable")}, nil, mfa.GatewayDown, false},
		{"login", []string{mfatest.Login("mfa", "s3cret"), answer, mfatest.Press("42"), mfatest.AwaitBye, mfatest.LoginEnd},
			func(tr *call.Trunk, _ *call.Talk) { tr.Login, tr.Password = "mfa", secret.FromString("s3cret") }, mfa.ReasonNone, true},
		{"wrong password", []string{mfatest.Login("mfa", "s3cret"), answer, mfatest.LoginEnd},
			func(tr *call.Trunk, _ *call.Talk) { tr.Login, tr.Password = "mfa", secret.FromString("other") }, mfa.GatewayRefused, false},
		{"login asked for and none there", []string{mfatest.Refuse(407, "Proxy Authentication Required", `Proxy-Authenticate: Digest realm="trunk", nonce="1"`)},
			nil, mfa.GatewayRefused, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mfatest.Sipp(t, mfatest.PhoneOptions{}, tt.steps...)
			tr, k := trunk(p.Address), talk("42")
			if tt.change != nil {
				tt.change(&tr, &k)
			}
			r, err := place(t, tr, number, k)
			var why mfa.Reason
			errors.As(err, &why)
			if why != tt.want || (err == nil) != (tt.want == mfa.ReasonNone) || r.Rang != tt.rang {
				t.Errorf("got %v, %+v; want %s", err, r, tt.want)
			}
			p.Done(t)
		})
	}
}

// What is enough alone counts once it was named, so that a mailbox's greeting with its tone in it
// confirms nothing; from a line that sounds like a mailbox it has to come twice.
func TestPoundOfAMailbox(t *testing.T) {
	answer := mfatest.Ring + mfatest.Answer + mfatest.Wait(200*time.Millisecond)
	long := mfatest.Say(t, slices.Concat(voice.Prompt(nil, voice.Proof, "en"), voice.Prompt(nil, voice.Proof, "de"))) // 10 s, without a pause
	later := mfatest.Wait(1500 * time.Millisecond)
	for _, tt := range []struct {
		name  string
		steps []string
		want  mfa.Reason
		keys  int
	}{
		{"before it is named", []string{answer, mfatest.Press("#"), mfatest.AwaitBye}, mfa.CallNotPressed, 0},
		{"when it was named", []string{answer, later, mfatest.Press("#"), mfatest.AwaitBye}, mfa.ReasonNone, 1},
		{"before and after", []string{answer, mfatest.Press("#"), later, mfatest.Press("#"), mfatest.AwaitBye}, mfa.ReasonNone, 1},
		{"fraud, at once", []string{answer, mfatest.Press("0#"), mfatest.AwaitBye}, mfa.FraudReported, 2},
		{"something wrong at once, and then it", []string{answer, mfatest.Press("5#"), mfatest.AwaitBye}, mfa.CallWrongKey, 1},
		{"in a greeting", []string{answer, long, mfatest.Wait(5 * time.Second), mfatest.Press("#"), mfatest.AwaitBye}, mfa.CallVoicemail, 0},
		{"twice in a loud place", []string{answer, long, mfatest.Wait(5 * time.Second), mfatest.Press("#"), later, mfatest.Press("#"), mfatest.AwaitBye}, mfa.ReasonNone, 1},
		{"and then its tone", []string{answer, long, mfatest.Wait(5 * time.Second), mfatest.Press("#"), mfatest.Say(t, tone(1000, 500)), mfatest.AwaitBye}, mfa.CallVoicemail, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := mfatest.Sipp(t, mfatest.PhoneOptions{}, tt.steps...)
			k := talk("#")
			k.Ask, k.Again, k.Sure, k.Named, k.Pause = tone(600, 1500), tone(700, 1500), '#', 8*1000, 5*time.Second
			if tt.want == mfa.CallNotPressed || tt.want == mfa.CallWrongKey {
				k.Pause = time.Second
			}
			r, err := place(t, trunk(p.Address), number, k)
			var why mfa.Reason
			errors.As(err, &why)
			if why != tt.want || (err == nil) != (tt.want == mfa.ReasonNone) || r.Keys != tt.keys {
				t.Errorf("got %v, %+v; want %s after %d keys", err, r, tt.want, tt.keys)
			}
			p.Done(t)
		})
	}
}

// The same call over every transport.
func TestTransports(t *testing.T) {
	ca := mfatest.NewCA(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ca.PEM))
	for _, transport := range []string{call.TCP, call.TLS} {
		for _, hangUp := range []string{mfatest.Press("42") + mfatest.AwaitBye, mfatest.Wait(300*time.Millisecond) + mfatest.HangUp} {
			p := mfatest.Sipp(t, mfatest.PhoneOptions{Transport: transport, CA: ca}, mfatest.Ring, mfatest.Answer, mfatest.Wait(200*time.Millisecond), hangUp)
			tr := trunk(p.Address)
			tr.Transport, tr.TLS = transport, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
			k := talk("42")
			k.Ask = tone(600, 3000)
			_, err := place(t, tr, number, k)
			if pressed := err == nil; pressed != (hangUp[len(hangUp)-10:] == mfatest.AwaitBye[len(mfatest.AwaitBye)-10:]) && !errors.Is(err, mfa.CallHungUp) {
				t.Errorf("%s: %v", transport, err)
			}
			p.Done(t)
		}
	}
	p := mfatest.Sipp(t, mfatest.PhoneOptions{Transport: call.TLS, CA: ca}, mfatest.Refuse(486, "Busy Here"))
	tr := trunk(p.Address)
	tr.Transport, tr.TLS = call.TLS, &tls.Config{ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	if _, err := place(t, tr, number, talk("42")); !errors.Is(err, mfa.GatewayDown) {
		t.Errorf("an authority that is not its own: %v", err)
	}
}

// recorder is where a telephone has its audio sent to.
type recorder struct {
	conn  *net.UDPConn
	mu    sync.Mutex
	heard []byte
	kinds map[byte]int
	keys  []byte
	last  uint32
}

func record(t *testing.T) *recorder {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{conn: c, kinds: map[byte]int{}}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 2000)
		for {
			n, _, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			r.take(b[:n])
		}
	}()
	return r
}

func (r *recorder) take(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind, stamp := b[1]&0x7f, binary.BigEndian.Uint32(b[4:])
	r.kinds[kind]++
	switch {
	case kind == 0 || kind == 8:
		r.heard = append(r.heard, b[12:]...)
	case len(r.keys) == 0 || stamp != r.last:
		r.keys, r.last = append(r.keys, voice.Keys[b[12]]), stamp
	}
}

// What reaches the other side is the prompt, byte for byte, in both codings; the extension goes ahead of it.
func TestWhatIsHeard(t *testing.T) {
	prompt := voice.Prompt(nil, voice.Application, "en")
	for _, alaw := range []bool{false, true} {
		t.Run(fmt.Sprintf("A-law %v", alaw), func(t *testing.T) { whatIsHeard(t, prompt, alaw) })
	}
}

func whatIsHeard(t *testing.T, prompt voice.Sound, alaw bool) {
	t.Parallel()
	ears := record(t)
	p := mfatest.Sipp(t, mfatest.PhoneOptions{Audio: ears.conn.LocalAddr().String(), ALaw: alaw, Keys: 96}, mfatest.Ring, mfatest.Answer, mfatest.AwaitBye)
	k := talk("42")
	k.Ask, k.Pause = prompt, 300*time.Millisecond
	if _, err := place(t, trunk(p.Address), call.Number{Dial: "4930123", Extension: ",4*7"}, k); !errors.Is(err, mfa.CallNotPressed) {
		t.Errorf("got %v", err)
	}
	p.Done(t)
	ears.mu.Lock()
	want, kind := []byte(prompt), byte(0)
	if alaw {
		want, kind = prompt.ALaw(), 8
	}
	if !contains(ears.heard, want) {
		t.Errorf("A-law %v: the prompt is not among the %d bytes that were heard", alaw, len(ears.heard))
	}
	if string(ears.keys) != "4*7" || ears.kinds[96] != 3*8 || ears.kinds[kind] == 0 || ears.kinds[8-kind] != 0 {
		t.Errorf("A-law %v: keys %q, packets %v", alaw, ears.keys, ears.kinds)
	}
	ears.mu.Unlock()
}

func contains(heard, want []byte) bool {
	for i := 0; i+len(want) <= len(heard); i++ {
		if string(heard[i:i+len(want)]) == string(want) {
			return true
		}
	}
	return false
}

// A trunk that is not there, or says nothing, is found out soon.
func TestNoTrunk(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	tr := trunk(silent.LocalAddr().String())
	tr.Answer = 700 * time.Millisecond
	if _, err := place(t, tr, number, talk("42")); !errors.Is(err, mfa.GatewaySlow) {
		t.Errorf("silent: %v", err)
	}
	tr = trunk("127.0.0.1:" + mfatest.FreePort(t))
	tr.Transport = call.TCP
	if _, err := place(t, tr, number, talk("42")); !errors.Is(err, mfa.GatewayDown) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := place(t, trunk("nowhere.invalid:5060"), number, talk("42")); !errors.Is(err, mfa.GatewayDown) {
		t.Errorf("no such name: %v", err)
	}
}

// A call that is taken back stops ringing, or hangs up; one whose time is over says so.
func TestTakenBack(t *testing.T) {
	ringing := filepath.Join(t.TempDir(), "ringing")
	for _, tt := range []struct {
		name  string
		steps []string
		after func(ctx context.Context, cancel context.CancelFunc, picked <-chan struct{})
	}{
		{"while it rings", []string{mfatest.Ring, mfatest.Touch(ringing), mfatest.GivenUp}, func(ctx context.Context, cancel context.CancelFunc, _ <-chan struct{}) {
			for ctx.Err() == nil {
				if _, err := os.Stat(ringing); err == nil {
					cancel()
				}
				time.Sleep(10 * time.Millisecond)
			}
		}},
		{"while it talks", []string{mfatest.Ring, mfatest.Answer, mfatest.AwaitBye}, func(ctx context.Context, cancel context.CancelFunc, picked <-chan struct{}) {
			select {
			case <-picked:
			case <-ctx.Done():
			}
			cancel()
		}},
	} {
		p := mfatest.Sipp(t, mfatest.PhoneOptions{}, tt.steps...)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		picked := make(chan struct{})
		go tt.after(ctx, cancel, picked)
		k := talk("42")
		k.Ask, k.Picked = tone(600, 15000), func() { close(picked) }
		if _, err := call.Place(ctx, slog.New(slog.DiscardHandler), trunk(p.Address), number, k); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", tt.name, err)
		}
		p.Done(t)
	}
	p := mfatest.Sipp(t, mfatest.PhoneOptions{}, mfatest.Ring, mfatest.Answer, mfatest.AwaitBye)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	k := talk("42")
	k.Ask = tone(600, 15000)
	if _, err := call.Place(ctx, slog.New(slog.DiscardHandler), trunk(p.Address), number, k); !errors.Is(err, mfa.CallTimedOut) {
		t.Errorf("out of time: %v", err)
	}
	p.Done(t)
}
