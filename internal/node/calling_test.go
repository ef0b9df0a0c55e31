package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/voice"
)

// calls is a running server with one trunk, and alice, whose password is in the database.
type calls struct {
	*running
	s     *server
	trunk string
}

func newCalls(t *testing.T) calls {
	t.Helper()
	mfatest.Need(t, "sipp")
	o := options(folder(t))
	must(t, Init(t.Context(), o, "corp"))
	s := &server{small: true, work: 10}
	x := calls{s: s, trunk: mfatest.FreeUDP(t)}
	x.running = start(t, o, func(ctx context.Context, o Options) error {
		s.Options = o
		return s.run(ctx, nil)
	})
	ctx := t.Context()
	login, name, kind, from, transport := "alice", "trunk", mfa.GatewayCall, "+4930123456", "udp"
	_, err := s.admin.AddUser(ctx, "test", admin.UserChange{Login: &login, Password: secret.NewWire(alicesWord)})
	must(t, err)
	_, err = s.admin.AddGateway(ctx, "test", admin.GatewayChange{Name: &name, Kind: &kind, Address: &x.trunk, From: &from, Countries: &[]string{"DE"},
		SIP: &admin.GatewaySIP{Transport: &transport}})
	must(t, err)
	for i, name := range append(voice.Names(), "spell_0", "spell_1", "spell_2", "spell_3", "spell_4", "spell_5", "spell_6", "spell_7", "spell_8", "spell_9") {
		must(t, s.store.PutRecording(ctx, mfa.Recording{Name: name + ".en", Audio: clip(i)})) // calls are short
	}
	must(t, s.store.UpdateSettings(ctx, func(p *policy.Settings) error {
		p.PerUser, p.PerNumber, p.Prompts = 100, 100, 100
		return nil
	}))
	return x
}

// clip is a short sound that is like no other.
func clip(i int) voice.Sound {
	s := make(voice.Sound, voice.FrameSize*5)
	for n := range s {
		s[n] = voice.Encode(int16(500 + 60*i + n%7*40))
	}
	return s
}

const alicesWord = "correct horse battery"

// rings starts a telephone that does as its steps say when it is called.
func (x calls) rings(steps ...string) *mfatest.Phone {
	x.t.Helper()
	return mfatest.Sipp(x.t, mfatest.PhoneOptions{Address: x.trunk}, steps...)
}

// pressing picks up and presses keys.
func pressing(keys string) string {
	return mfatest.Ring + mfatest.Answer + mfatest.Wait(200*time.Millisecond) + mfatest.Press(keys) + mfatest.AwaitBye
}

// listener writes down what a telephone is told.
type listener struct {
	conn  *net.UDPConn
	mu    sync.Mutex
	heard []byte
}

func listen(t *testing.T) *listener {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	l := &listener{conn: c}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 2000)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if n > 12 && b[1]&0x7f == 0 {
				l.mu.Lock()
				l.heard = append(l.heard, b[12:n]...)
				l.mu.Unlock()
			}
		}
	}()
	return l
}

// code waits until six digits were spoken, and returns them.
func (l *listener) code(t *testing.T) string {
	t.Helper()
	type spoken struct {
		at    int
		digit string
	}
	var said []spoken
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		said = said[:0]
		l.mu.Lock()
		for d := byte('0'); d <= '9'; d++ {
			clip := clip(len(voice.Names()) + int(d-'0'))
			for from := 0; ; {
				i := bytes.Index(l.heard[from:], clip)
				if i < 0 {
					break
				}
				said = append(said, spoken{from + i, string(d)})
				from += i + len(clip)
			}
		}
		l.mu.Unlock()
		if len(said) < 6 {
			continue
		}
		slices.SortFunc(said, func(a, b spoken) int { return a.at - b.at })
		code := ""
		for _, s := range said[:6] {
			code += s.digit
		}
		return code
	}
	t.Fatalf("of the code %d digits were told", len(said))
	return ""
}

// Somebody enrols the number of their telephone in the portal, by the code that a call tells
// there, tries it, and signs in with it to the portal, to the console and by the API.
func TestCallsThroughEveryPage(t *testing.T) {
	t.Parallel()
	x := newCalls(t)
	defer x.end()
	ctx := t.Context()
	invited, err := x.s.enroll.Invite(ctx, "test", "alice", enroll.InviteRequest{})
	must(t, err)
	_, code, _ := strings.Cut(string(invited.Link.Expose()), "code=")
	b := newBrowser(t, x.at.HTTPS)
	if got := b.send("/portal/welcome", "login", "alice", "password", alicesWord, "code", code); got != http.StatusOK {
		t.Fatalf("invited: %d\n%s", got, b.last)
	}

	ears := listen(t)
	told := mfatest.Sipp(t, mfatest.PhoneOptions{Address: x.trunk, Audio: ears.conn.LocalAddr().String()}, mfatest.Ring, mfatest.Answer, mfatest.AwaitBye)
	b.open("/portal/number")
	if got := b.send("/portal/number", "method", b.found(`name="method" value="([a-z]+)"`), "to", "+49 170 1234567"); got != http.StatusOK {
		t.Fatalf("the number: %d\n%s", got, b.last)
	}
	number := b.found(`name="credential" value="([^"]+)"`)
	if b.send("/portal/number/prove", "credential", number, "challenge", b.found(`name="challenge" value="([^"]+)"`), "code", ears.code(t)); !strings.Contains(b.last, "that number is called when you sign in") {
		t.Fatalf("the code that was told: %s", b.last)
	}
	told.Done(t)

	b.send("/portal/number/" + number + "/try")
	trial := b.found(`data-poll="([^"]+)"`)
	tried := x.rings(pressing(b.found(`class="digits center">([0-9]{2})<`)))
	await(t, "the trial", func() bool { b.open(trial); return strings.Contains(b.last, "It works") })
	tried.Done(t)

	_, err = x.s.admin.AddAdministrator(ctx, "test", admin.AdministratorChange{Login: new("alice"), Role: new("owner")})
	must(t, err)
	_, err = x.s.admin.BuiltIn(ctx, admin.ConsoleApplication)
	must(t, err)
	_, err = x.s.admin.SetApplication(ctx, "test", admin.ConsoleApplication, admin.ApplicationChange{Methods: &[]string{string(mfa.MethodCall)}})
	must(t, err)
	for page, base := range map[string]string{"portal": "/portal", "console": ""} {
		b := newBrowser(t, x.at.HTTPS)
		if got := b.send(base+"/sign-in", "login", "alice", "password", alicesWord, "back", base+"/"); got != http.StatusOK {
			t.Fatalf("%s: %d\n%s", page, got, b.last)
		}
		b.sees("Your telephone rings")
		handle := b.found(`name="handle" value="([^"]+)"`)
		phone := x.rings(pressing(b.found(`class="digits center">([0-9]{2})<`)))
		if got := b.send(base+"/sign-in", "login", "alice", "handle", handle, "code", "", "back", base+"/"); got != http.StatusOK || strings.Contains(b.last, "handle") {
			t.Errorf("%s, answered by telephone: %d\n%s", page, got, b.last)
		}
		b.sees("alice")
		phone.Done(t)
	}

	token := x.program(t)
	asked := x.authenticate(t, token, "/authenticate", `{"login":"alice","password":"`+alicesWord+`"}`)
	if asked.Verdict != "challenge" || asked.Awaits == nil || asked.Awaits.Method != mfa.MethodCall || !strings.Contains(asked.Message, "+49********67 rings") {
		t.Fatalf("by the API: %+v", asked)
	}
	phone := x.rings(pressing(asked.Awaits.Number))
	handle, err := json.Marshal(asked.Handle)
	must(t, err)
	got := x.authenticate(t, token, "/challenge", `{"handle":`+string(handle)+`,"answer":"","wait_seconds":30}`)
	if got.Verdict != "accept" || got.AttemptID != asked.AttemptID {
		t.Errorf("by the API, answered by telephone: %+v", got)
	}
	phone.Done(t)
	// The answer is waited for at once, and the telephone is busy.
	phone = x.rings(mfatest.Refuse(486, "Busy Here"))
	if got = x.authenticate(t, token, "/authenticate", `{"login":"alice","password":"`+alicesWord+`","wait_seconds":30}`); got.Verdict != "reject" {
		t.Errorf("by the API, busy: %+v", got)
	}
	phone.Done(t)
	if found, err := x.s.admin.Attempts(ctx, "alice", admin.AuditQuery{Limit: 1}); err != nil || len(found.Attempts) != 1 || found.Attempts[0].Reason != mfa.CallBusy.String() {
		t.Errorf("the trail: %+v, %v", found, err)
	}
}

// program is the token of an application that asks by the API.
func (x calls) program(t *testing.T) secret.Text {
	t.Helper()
	name, kind, first := "shop", mfa.KindAPI, mfa.FirstFactorLocal
	_, err := x.s.admin.AddApplication(t.Context(), "test", admin.ApplicationChange{Name: &name, Kind: &kind, FirstFactor: &first})
	must(t, err)
	token, err := x.s.admin.CreateAPIToken(t.Context(), "test", admin.APITokenRequest{Name: name, Scopes: []string{admin.ScopeAuthenticate}, Application: name, Seconds: 3600})
	must(t, err)
	return token.Token.Text
}

func (x calls) authenticate(t *testing.T, token secret.Text, path, body string) (a admin.Authentication) {
	t.Helper()
	b := newBrowser(t, x.at.HTTPS)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.at+"/api/v1"+path, strings.NewReader(body))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+string(token.Expose()))
	b.c.Timeout = time.Minute
	if status := b.do(r); status != http.StatusOK {
		t.Fatalf("%s: %d %s", body, status, b.last)
	}
	must(t, json.Unmarshal([]byte(b.last), &a))
	return a
}

// Whatever is wrong with the way of a call, it is a reason of its own, and whoever has another
// factor is asked for that.
func TestCallsThatReachNobody(t *testing.T) {
	t.Parallel()
	o := options(folder(t))
	must(t, Init(t.Context(), o, "corp"))
	inside(t, o, func(ctx context.Context, s *server) {
		login, name, api, first, kind, from, transport, timeout := "alice", "shop", mfa.KindAPI, mfa.FirstFactorNone, mfa.GatewayCall, "+4930123456", "udp", 1
		for _, who := range []string{login, "bob"} {
			_, err := s.admin.AddUser(ctx, "test", admin.UserChange{Login: &who})
			must(t, err)
			_, err = s.enroll.Add(ctx, "test", who, enroll.Request{Method: mfa.MethodCall, To: "+491701234567", Trusted: true})
			must(t, err)
		}
		_, err := s.enroll.Add(ctx, "test", "bob", enroll.Request{Method: mfa.MethodHOTP})
		must(t, err)
		app, err := s.admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &name, Kind: &api, FirstFactor: &first, Methods: &[]string{"call", "hotp"}})
		must(t, err)
		must(t, s.store.UpdateSettings(ctx, func(p *policy.Settings) error { p.PerUser, p.PerNumber, p.Prompts = 100, 100, 100; return nil }))
		for i, tt := range []struct {
			invited []int
			want    mfa.Reason
		}{
			{[]int{503}, mfa.GatewayDown}, {nil, mfa.GatewaySlow}, {[]int{100}, mfa.GatewaySlow}, {[]int{402}, mfa.GatewayNoCredit}, {[]int{403}, mfa.GatewayRefused},
			{[]int{603}, mfa.CallRejected}, {[]int{180, 486}, mfa.CallBusy}, {[]int{404}, mfa.RecipientRefused},
		} {
			trunk, address := fmt.Sprint("trunk", i), mfatest.Exchange(t, tt.invited, 487)
			_, err = s.admin.AddGateway(ctx, "test", admin.GatewayChange{Name: &trunk, Kind: &kind, Address: &address, From: &from, Countries: &[]string{"DE"}, TimeoutSeconds: &timeout,
				SIP: &admin.GatewaySIP{Transport: &transport}})
			must(t, err)
			leg := func(r mfa.Request) mfa.Decision {
				r.Application, r.FrontEnd, r.Caps = app.ID, "api", mfa.CanPrompt
				d, err := s.engine.Authenticate(ctx, r)
				must(t, err)
				return d
			}
			asked, other := leg(mfa.Request{Login: "alice"}), leg(mfa.Request{Login: "bob"})
			if asked.Method != mfa.MethodCall || other.Method != mfa.MethodCall {
				t.Fatalf("%v: asked by %s and %s", tt.invited, asked.Method, other.Method)
			}
			if d := leg(mfa.Request{Login: "alice", Handle: asked.Handle}); d.Verdict != mfa.Reject || d.Reason != tt.want {
				t.Errorf("%v: %s, %s; want %s", tt.invited, d.Verdict, d.Reason, tt.want)
			}
			if d := leg(mfa.Request{Login: "bob", Handle: other.Handle}); d.Verdict != mfa.Challenge || d.Method != mfa.MethodHOTP {
				t.Errorf("%v, with a token: %s, %s by %s", tt.invited, d.Verdict, d.Reason, d.Method)
			}
			must(t, s.admin.RemoveGateway(ctx, "test", trunk))
		}
	})
}

// A help desk verifies a caller by their telephone: a real call asks for the number that the help
// desk tells them. Another number verifies nobody, and counts as a guess. Both are times that the user was asked.
func TestCallerByTelephone(t *testing.T) {
	t.Parallel()
	x := newCalls(t)
	defer x.end()
	ctx := t.Context()
	_, err := x.s.enroll.Add(ctx, "test", "alice", enroll.Request{Method: mfa.MethodCall, To: "+491701234567", Trusted: true})
	must(t, err)
	other := map[bool]string{true: "10", false: "11"}
	for _, tt := range []struct {
		name string
		keys func(number string) string
		want error
	}{
		{"the number", func(number string) string { return number }, nil},
		{"other ones", func(number string) string { return strings.Repeat(other[number != "10"], 2) }, mfa.WrongNumber},
	} {
		q, err := x.s.enroll.VerifyCaller(ctx, "helen", "alice", enroll.CallerRequest{Method: mfa.MethodCall})
		must(t, err)
		x.rings(pressing(tt.keys(q.Number))).Done(t)
		await(t, "what came of the call", func() bool {
			_, err = x.s.enroll.CheckCaller(ctx, "helen", "alice", enroll.CallerAnswer{Challenge: q.Challenge})
			return !errors.Is(err, mfa.ErrConflict)
		})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	must(t, x.s.store.UpdateSettings(ctx, func(p *policy.Settings) error { p.Prompts = 2; return nil }))
	if _, err := x.s.enroll.VerifyCaller(ctx, "helen", "alice", enroll.CallerRequest{Method: mfa.MethodCall}); !errors.Is(err, mfa.TooManyPrompts) {
		t.Errorf("asked more often than anybody may be: %v", err)
	}
	u, err := x.s.admin.User(ctx, "alice")
	must(t, err)
	a, err := x.s.store.Account(ctx, u.ID, true)
	must(t, err)
	if a.Record.Fails.N != 1 {
		t.Errorf("%d failures, want that of the other number", a.Record.Fails.N)
	}
}
