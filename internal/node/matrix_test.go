package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/method/passkey/passkeytest"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/oath"
	"countersign/internal/policy"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

// matrix is a server with everything that a second factor may need: a trunk, gateways for text
// messages and mail, a site for passkeys, and an application for each front-end.
type matrix struct {
	calls
	texts *mfatest.SMSC
	mails *mfatest.MailServer
	token secret.Text // of the program
}

const matrixSecret = "a shared secret"

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	x := &matrix{calls: newCalls(t), texts: mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "DELIVRD"}), mails: mfatest.NewMailServer(t)}
	x.at.HTTPS = "localhost" + x.at.HTTPS[strings.LastIndex(x.at.HTTPS, ":"):] // no passkey belongs to an address
	ctx := t.Context()
	sms := gatewayAt("texts", 1, mfa.GatewaySMS, mfa.GatewaySMPP, x.texts.Address)
	sms.Countries = &[]string{"DE"}
	for _, g := range []admin.GatewayChange{sms, gatewayAt("mails", 1, mfa.GatewayMail, mfa.GatewaySMTP, x.mails.Address)} {
		_, err := x.s.admin.AddGateway(ctx, "test", g)
		must(t, err)
	}
	must(t, x.s.store.UpdateSettings(ctx, func(p *policy.Settings) error { p.PasskeySite = "localhost"; return nil }))
	x.token = x.program(t)
	name, kind := "vpn", mfa.KindRADIUS
	_, err := x.s.admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &name, Kind: &kind, Addresses: &[]string{"127.0.0.1"}, Secret: secret.NewWire(matrixSecret)})
	must(t, err)
	var all []string // some serve only where they are named
	for _, m := range x.s.engine.Methods {
		all = append(all, string(m.ID()))
	}
	for _, page := range []string{admin.ConsoleApplication, admin.PortalApplication} {
		_, err := x.s.admin.BuiltIn(ctx, page)
		must(t, err)
	}
	for _, app := range []string{"vpn", "shop", admin.ConsoleApplication, admin.PortalApplication} {
		_, err := x.s.admin.SetApplication(ctx, "test", app, admin.ApplicationChange{Methods: &all})
		must(t, err)
	}
	return x
}

// display is what a front-end shows of a challenge.
type display struct {
	text    string
	number  string // that a device or a telephone is told; "": none
	options string // of a passkey
}

// surface is one way in. ask sends login and password; reply sends the answer to the challenge, and
// reports whether that lets the user in.
type surface struct {
	name string
	bare bool // it carries text alone
	ask  func(t *testing.T, x *matrix, login string) (q display, reply func(answer string) (in bool, said string))
}

var surfaces = []surface{
	{"radius", true, byRADIUS},
	{"api", false, byAPI},
	{"portal", false, func(t *testing.T, x *matrix, login string) (display, func(string) (bool, string)) {
		return byPage(t, x, "/portal", login)
	}},
	{"console", false, func(t *testing.T, x *matrix, login string) (display, func(string) (bool, string)) {
		return byPage(t, x, "", login)
	}},
}

var numberInText = regexp.MustCompile(`(?:Enter|type) ([0-9]{2}) `)

func byRADIUS(t *testing.T, x *matrix, login string) (display, func(string) (bool, string)) {
	c, err := dialRADIUS(t.Context(), x.at.RADIUS[0], secret.FromString(matrixSecret))
	must(t, err)
	t.Cleanup(func() { _ = c.conn.Close() })
	first, err := c.ask(t.Context(), func(w *radius.Writer, auth [16]byte) error { return c.request(w, auth, login, alicesWord) })
	must(t, err)
	if first.code != radius.AccessChallenge {
		return display{text: first.message}, nil
	}
	q := display{text: first.message}
	if m := numberInText.FindStringSubmatch(first.message); m != nil {
		q.number = m[1]
	}
	return q, func(answer string) (bool, string) {
		second, err := c.ask(t.Context(), func(w *radius.Writer, auth [16]byte) error {
			return errors.Join(c.request(w, auth, login, answer), w.Add(radius.State, first.state))
		})
		must(t, err)
		if second.code == radius.AccessChallenge {
			first.state = second.state
		}
		return second.code == radius.AccessAccept, second.message
	}
}

func byAPI(t *testing.T, x *matrix, login string) (display, func(string) (bool, string)) {
	body := func(v map[string]any) string {
		b, err := json.Marshal(v)
		must(t, err)
		return string(b)
	}
	a := x.authenticate(t, x.token, "/authenticate", body(map[string]any{"login": login, "password": alicesWord, "passkey": true}))
	if a.Verdict != "challenge" {
		return display{text: a.Message}, nil
	}
	q := display{text: a.Message, options: string(a.Options)}
	if a.Awaits != nil {
		q.number = a.Awaits.Number
	}
	return q, func(answer string) (bool, string) {
		b := x.authenticate(t, x.token, "/challenge", body(map[string]any{"handle": a.Handle, "answer": answer, "passkey": true}))
		a.Handle = b.Handle
		return b.Verdict == "accept", b.Message
	}
}

func byPage(t *testing.T, x *matrix, base, login string) (display, func(string) (bool, string)) {
	b := newBrowser(t, x.at.HTTPS)
	if got := b.send(base+"/sign-in", "login", login, "password", alicesWord, "back", base+"/"); got != http.StatusOK {
		return display{text: b.last}, nil
	}
	q, handle := display{text: b.last}, b.found(`name="handle" value="([^"]+)"`)
	if strings.Contains(b.last, "data-options") {
		q.options = b.found(`data-options="([^"]*)"`)
	}
	if strings.Contains(b.last, "digits center") {
		q.number = b.found(`class="digits center">([0-9]{2})<`)
	}
	return q, func(answer string) (bool, string) {
		field := "code"
		if q.options != "" {
			field = "passkey"
		}
		status := b.send(base+"/sign-in", "login", login, "handle", handle, field, answer, "back", base+"/")
		return status == http.StatusOK && !strings.Contains(b.last, `name="handle"`) && strings.Contains(b.last, login), b.last
	}
}

// factor is a row of the matrix. enrol gives a user who has none the factor; the function that it
// returns does what that user does with a challenge, and says what is typed then ("": nothing).
type factor struct {
	name   string
	method mfa.MethodID
	rich   bool // text alone cannot carry it
	enrol  func(t *testing.T, x *matrix, login string) func(q display) string
}

const pinOfAll = "2468"

var factors = []factor{
	{"totp", mfa.MethodTOTP, false, enrolTOTP},
	{"hotp", mfa.MethodHOTP, false, func(t *testing.T, x *matrix, login string) func(display) string {
		k, err := oath.NewHOTP(seedOf(t, x.gives(t, login, enroll.Request{Method: mfa.MethodHOTP}).Secret), oath.SHA1, 6)
		must(t, err)
		return func(display) string { return k.HOTP(0) }
	}},
	{"recovery", mfa.MethodRecovery, false, firstCode(enroll.Request{Method: mfa.MethodRecovery})},
	{"tap", mfa.MethodTAP, false, firstCode(enroll.Request{Method: mfa.MethodTAP, Why: "lost phone"})},
	{"sms", mfa.MethodSMS, false, func(t *testing.T, x *matrix, login string) func(display) string {
		x.gives(t, login, enroll.Request{Method: mfa.MethodSMS, To: "+491701234567", Trusted: true})
		before := len(x.texts.Seen().Texts)
		return func(display) string { return codeOf(t, x.texts, before+1) }
	}},
	{"email", mfa.MethodEmail, false, func(t *testing.T, x *matrix, login string) func(display) string {
		x.gives(t, login, enroll.Request{Method: mfa.MethodEmail, To: login + "@test.example", Trusted: true})
		return func(display) string { return x.mailed(t, login+"@test.example") }
	}},
	{"push", mfa.MethodPush, false, func(t *testing.T, x *matrix, login string) func(display) string {
		p := x.activate(t, login)
		return func(q display) string { p.approves(q.number, ""); return "" }
	}},
	{"push with a PIN", mfa.MethodPush, false, func(t *testing.T, x *matrix, login string) func(display) string {
		p := x.activate(t, login)
		x.sets(t, login)
		return func(q display) string { p.approves(q.number, pinOfAll); return "" }
	}},
	{"call", mfa.MethodCall, false, func(t *testing.T, x *matrix, login string) func(display) string {
		x.gives(t, login, enroll.Request{Method: mfa.MethodCall, To: "+491701234567", Trusted: true})
		return func(q display) string { x.rings(pressing(q.number)).Done(t); return "" }
	}},
	{"call with a PIN", mfa.MethodCall, false, func(t *testing.T, x *matrix, login string) func(display) string {
		x.gives(t, login, enroll.Request{Method: mfa.MethodCall, To: "+491701234567", Trusted: true})
		x.sets(t, login)
		return func(q display) string { x.rings(pressing(q.number + pinOfAll + "#")).Done(t); return "" }
	}},
	{"a PIN in front of a code", mfa.MethodTOTP, false, func(t *testing.T, x *matrix, login string) func(display) string {
		code := enrolTOTP(t, x, login)
		x.sets(t, login)
		return func(q display) string { return pinOfAll + code(q) }
	}},
	{"passkey", mfa.MethodPasskey, true, func(t *testing.T, x *matrix, login string) func(display) string {
		key := &passkeytest.Authenticator{Origin: "https://" + x.at.HTTPS, Verified: true, Counts: true}
		made, err := x.s.enroll.MakePasskey(t.Context(), login)
		must(t, err)
		said, err := key.Make(made.Options)
		must(t, err)
		kept, err := x.s.enroll.KeepPasskey(t.Context(), "test", login, "laptop", made.Ticket, secret.FromString(said))
		must(t, err)
		used, err := key.Use(kept.Options)
		must(t, err)
		_, err = x.s.enroll.ProvePasskey(t.Context(), "test", login, kept.Ticket, secret.FromString(used))
		must(t, err)
		return func(q display) string {
			used, err := key.Use([]byte(q.options))
			must(t, err)
			return used
		}
	}},
}

func enrolTOTP(t *testing.T, x *matrix, login string) func(display) string {
	k, err := oath.NewTOTP(seedOf(t, x.gives(t, login, enroll.Request{Method: mfa.MethodTOTP}).Secret), oath.SHA1, 6, 30)
	must(t, err)
	return func(display) string { return k.HOTP(uint64(time.Now().Unix()) / 30) }
}

func firstCode(r enroll.Request) func(*testing.T, *matrix, string) func(display) string {
	return func(t *testing.T, x *matrix, login string) func(display) string {
		made := x.gives(t, login, r)
		return func(display) string { return string(made.Codes[0].Expose()) }
	}
}

func seedOf(t *testing.T, w *secret.Wire) secret.Text {
	t.Helper()
	seed, err := oath.ParseSecret(w.Text)
	must(t, err)
	return seed
}

func (x *matrix) gives(t *testing.T, login string, r enroll.Request) enroll.Created {
	t.Helper()
	made, err := x.s.enroll.Add(t.Context(), "test", login, r)
	must(t, err)
	return made
}

// sets gives a user the PIN that all have.
func (x *matrix) sets(t *testing.T, login string) {
	t.Helper()
	_, err := x.s.admin.SetPIN(t.Context(), "test", login, admin.PINChange{PIN: secret.NewWire(pinOfAll), MustChange: new(false)})
	must(t, err)
}

// mailed waits for the code that was sent to an address.
func (x *matrix) mailed(t *testing.T, to string) (code string) {
	t.Helper()
	await(t, "the mail to "+to, func() bool {
		for _, letter := range x.mails.Letters() {
			_, text, _ := strings.Cut(letter, "\n\n")
			if found := code6.FindString(text); strings.Contains(letter, to) && found != "" {
				code = found
			}
		}
		return code != ""
	})
	return code
}

// Every method lets its user in through every front-end that can carry it, and through none without
// it: each is enrolled for somebody who has nothing else. A method that has no row here fails.
func TestEveryMethodThroughEveryFrontEnd(t *testing.T) {
	t.Parallel()
	x := newMatrix(t)
	defer x.end()
	for _, m := range x.s.engine.Methods {
		if !slices.ContainsFunc(factors, func(f factor) bool { return f.method == m.ID() }) {
			t.Errorf("method %s has no row", m.ID())
		}
	}
	t.Run("in German", x.inGerman)
	for i, f := range factors {
		for j, way := range surfaces {
			t.Run(f.name+" through "+way.name, func(t *testing.T) {
				login := string(rune('a'+i)) + string(rune('a'+j)) + "-user"
				_, err := x.s.admin.AddUser(t.Context(), "test", admin.UserChange{Login: &login, Password: secret.NewWire(alicesWord)})
				must(t, err)
				_, err = x.s.admin.AddAdministrator(t.Context(), "test", admin.AdministratorChange{Login: &login, Role: new("auditor")})
				must(t, err)
				acts := f.enrol(t, x, login)
				q, reply := way.ask(t, x, login)
				if f.rich && way.bare {
					if reply != nil {
						t.Fatalf("asked for what it cannot carry: %s", q.text)
					}
					x.said(t, login, mfa.Reject, mfa.PromptImpossible, "")
					return
				}
				if reply == nil {
					t.Fatalf("not asked: %s", q.text)
				}
				if in, said := reply(acts(q)); !in {
					t.Errorf("not let in: %s", said)
				}
				x.said(t, login, mfa.Accept, mfa.OK, f.method)
			})
		}
	}
}

// Who has chosen a language is asked in it by what shows a text as it is; the words that may be
// typed are the same in all. Who is refused reads the language of the group, whoever it is.
func (x *matrix) inGerman(t *testing.T) {
	ctx, login := t.Context(), "gerda"
	_, err := x.s.admin.AddUser(ctx, "test", admin.UserChange{Login: &login, Language: new("de"), Password: secret.NewWire(alicesWord)})
	must(t, err)
	x.gives(t, login, enroll.Request{Method: mfa.MethodHOTP})
	x.gives(t, login, enroll.Request{Method: mfa.MethodSMS, To: "+491701234567", Trusted: true})
	for _, way := range surfaces[:2] {
		texts := len(x.texts.Seen().Texts)
		q, reply := way.ask(t, x, login)
		if want := "Geben Sie den nächsten Code Ihres Tokens ein (oder tippen Sie other für einen anderen Weg)"; q.text != want {
			t.Errorf("%s: %q, want %q", way.name, q.text, want)
		}
		in, said := reply("other")
		if want := "Geben Sie den Code aus der SMS an +49********67 ein (oder tippen Sie resend für einen neuen Code, other für einen anderen Weg)"; in || said != want {
			t.Errorf("%s: %q, want %q", way.name, said, want)
		}
		if in, said := reply(codeOf(t, x.texts, texts+1)); !in {
			t.Errorf("%s: %s", way.name, said)
		}
		_, reply = way.ask(t, x, login)
		if _, err := x.s.admin.BlockUser(ctx, "test", login, admin.BlockRequest{Reason: "a test"}); err != nil {
			t.Fatal(err)
		}
		if in, said := reply("123456"); in || !strings.HasPrefix(said, "Sign-in refused. ") {
			t.Errorf("%s, blocked: %q", way.name, said)
		}
		if _, err := x.s.admin.UnblockUser(ctx, "test", login); err != nil {
			t.Fatal(err)
		}
	}
}

// said compares the newest verdict about a user in the trail.
func (x *matrix) said(t *testing.T, login string, verdict mfa.Verdict, why mfa.Reason, by mfa.MethodID) {
	t.Helper()
	found, err := x.s.admin.Attempts(t.Context(), login, admin.AuditQuery{Limit: 1})
	must(t, err)
	if len(found.Attempts) != 1 {
		t.Fatalf("the trail has nothing of %s", login)
	}
	if a := found.Attempts[0]; a.Verdict != verdict.String() || a.Reason != why.String() || a.Method != string(by) {
		t.Errorf("the trail says %s, %s by %q; want %s, %s by %q", a.Verdict, a.Reason, a.Method, verdict, why, by)
	}
}
