package deviceapi_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/internal/device"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

func TestActivate(t *testing.T) {
	r := newRig(t)
	s := r.all[0]
	made, err := s.enroll.Add(t.Context(), "root", "alice", enroll.Request{Method: mfa.MethodPush})
	must(t, err)
	code := string(made.Activation.Expose())
	if url := string(made.URL.Expose()); url != "https://nyc1.example/authenticator/#"+code || made.Hold != "credential_unproven" || made.Secret != nil {
		t.Errorf("made: %s %+v", url, made.Credential)
	}
	p := newPhone(r)
	try := func(code, key, proof string) (int, map[string]any) {
		return p.call(r.all[1], "activate", map[string]string{"code": code, "name": "Phone", "public_key": key, "proof": proof})
	}
	other := newPhone(r)
	for name, c := range map[string]struct {
		code, key, proof string
		want             int
	}{
		"a wrong code":           {"aaaa-bbbb-cccc-dddd", p.public(), p.sign(device.Activation("aaaa-bbbb-cccc-dddd")), http.StatusForbidden},
		"no code":                {"", p.public(), p.sign(device.Activation("")), http.StatusForbidden},
		"another key's proof":    {code, p.public(), other.sign(device.Activation(code)), http.StatusUnprocessableEntity},
		"proof for another code": {code, p.public(), p.sign(device.Activation("x")), http.StatusUnprocessableEntity},
		"no key":                 {code, "AAAA", p.sign(device.Activation(code)), http.StatusUnprocessableEntity},
	} {
		if status, out := try(c.code, c.key, c.proof); status != c.want || out["device"] != nil {
			t.Errorf("%s: %d %v, want %d", name, status, out, c.want)
		}
	}
	typed := strings.ToUpper(strings.ReplaceAll(code, "-", " "))
	status, out := try(typed, p.public(), p.sign(device.Activation(typed)))
	if status != http.StatusCreated || out["user"] != "alice" || out["group"] != "acme" || out["vapid_key"] != "vapid" {
		t.Fatalf("a right code: %d %v", status, out)
	}
	if status, out := try(code, other.public(), other.sign(device.Activation(code))); status != http.StatusForbidden || out["type"] != "urn:countersign:code" {
		t.Errorf("a used code: %d %v", status, out)
	}
	made, err = s.enroll.Add(t.Context(), "root", "alice", enroll.Request{Method: mfa.MethodPush})
	must(t, err)
	r.advance(enroll.ActivationLife)
	code = string(made.Activation.Expose())
	if status, _ := try(code, other.public(), other.sign(device.Activation(code))); status != http.StatusForbidden {
		t.Errorf("a code that is over: %d", status)
	}
	if a, err := r.act("device activate"); err != nil || a.Object != "alice" || !strings.Contains(a.Detail, "Phone") {
		t.Errorf("trail: %+v, %v", a, err)
	}
	must(t, s.db.UpdateSettings(t.Context(), func(p *policy.Settings) error { p.Devices = 1; return nil }))
	if _, err := s.enroll.Add(t.Context(), "root", "alice", enroll.Request{Method: mfa.MethodPush}); err == nil || !strings.Contains(err.Error(), "devices_per_user") {
		t.Errorf("one device too many: %v", err)
	}
	if _, err := s.enroll.Confirm(t.Context(), "root", "alice", string(made.ID), enroll.Codes{Codes: made.Codes}); err == nil {
		t.Error("a device is confirmed by a code")
	}
}

// What nobody's device has signed as it came is refused, each for its own reason.
func TestSigned(t *testing.T) {
	r := newRig(t)
	p := newPhone(r).activate("Phone")
	s := r.all[0]
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	for name, c := range map[string]struct {
		change func(http.Header)
		want   int
		kind   string
	}{
		"as it is":             {nil, http.StatusOK, ""},
		"another's signature":  {set("Countersign-Signature", newPhone(r).sign([]byte("x"))), http.StatusUnauthorized, "urn:countersign:signature"},
		"another nonce":        {set("Countersign-Nonce", "AAAAAAAAAAAAAAAAAAAAAA"), http.StatusUnauthorized, "urn:countersign:signature"},
		"no nonce":             {set("Countersign-Nonce", ""), http.StatusUnauthorized, "urn:countersign:signature"},
		"a clock ahead":        {set("Countersign-Time", "1796000000"), http.StatusUnauthorized, "urn:countersign:clock"},
		"no time":              {set("Countersign-Time", ""), http.StatusUnauthorized, "urn:countersign:clock"},
		"a device of nobody's": {set("Countersign-Device", strings.Repeat("a", 32)), http.StatusGone, "urn:countersign:gone"},
		"what is no device":    {set("Countersign-Device", "x"), http.StatusGone, "urn:countersign:gone"},
		"another type":         {set("Content-Type", "text/plain"), http.StatusUnprocessableEntity, "about:blank"},
	} {
		status, out := p.post(t.Context(), s, "pending", map[string]int{"wait": 0}, c.change)
		if kind, _ := out["type"].(string); status != c.want || kind != c.kind {
			t.Errorf("%s: %d %v, want %d %s", name, status, out, c.want, c.kind)
		}
		if c.kind == "urn:countersign:clock" && out["now"] != float64(noon.Unix()) {
			t.Errorf("%s: the server's time is not told: %v", name, out)
		}
	}
	_, err := s.enroll.Add(t.Context(), "root", "alice", enroll.Request{Method: mfa.MethodTOTP})
	must(t, err)
	if status, _ := p.call(s, "remove", map[string]any{}); status != http.StatusNoContent {
		t.Errorf("remove: %d", status)
	}
	must(t, r.all[1].db.Sync(t.Context()))
	if status, _ := p.call(r.all[1], "pending", map[string]int{"wait": 0}); status != http.StatusGone {
		t.Errorf("after that: %d", status)
	}
	// For a name that somebody makes up the master is not asked.
	q := newPhone(r)
	q.id = strings.Repeat("c", 32)
	r.kv.Offline(true)
	if status, _ := q.call(s, "pending", map[string]int{"wait": 0}); status != http.StatusGone {
		t.Errorf("a made-up user's device, without a master: %d", status)
	}
	r.kv.Offline(false)
	// Strangers are slowed down, however right what they send is.
	q.id = strings.Repeat("b", 32)
	for i := 0; ; i++ {
		status, _ := q.call(s, "pending", map[string]int{"wait": 0})
		if status == http.StatusTooManyRequests {
			break
		}
		if i > 40 {
			t.Fatal("nobody stops a stranger")
		}
	}
}

func TestApprove(t *testing.T) {
	r := newRig(t)
	p := newPhone(r).activate("Phone")
	nyc1, nyc2 := r.all[0], r.all[1]
	q := r.leg("vpn", "10.1.1.1")
	d := r.ask(nyc1, q)
	if d.Verdict != mfa.Challenge || d.Awaits == nil || !strings.Contains(d.Message, d.Awaits.Number) {
		t.Fatalf("first leg: %+v", d)
	}
	must(t, nyc2.db.Sync(t.Context()))
	list := p.pending(nyc2)
	if len(list) != 1 || list[0]["application"] != "vpn" || list[0]["source"] != "10.1.1.1" || list[0]["place"] != "PT" || list[0]["number"] != true {
		t.Fatalf("at the other server: %v", list)
	}
	for k, v := range list[0] {
		if text, ok := v.(string); ok && text == d.Awaits.Number {
			t.Errorf("the device is told the number, as %s", k)
		}
	}
	if got := p.answer(nyc2, list[0], "approve", d.Awaits.Number); got != "accepted" {
		t.Fatalf("answer: %s", got)
	}
	r.advance(time.Second)
	if got := p.answer(nyc2, list[0], "approve", d.Awaits.Number); got != "answered" {
		t.Errorf("the same answer again: %s", got)
	}
	must(t, nyc1.db.Sync(t.Context()))
	if d := r.ask(nyc1, r.then(q, d)); d.Verdict != mfa.Accept || d.Reason != mfa.OK {
		t.Errorf("accept: %+v", d)
	}
	if list := p.pending(nyc1); len(list) != 0 {
		t.Errorf("still pending: %v", list)
	}
	if d := r.ask(nyc1, r.then(q, d)); d.Verdict != mfa.Reject || d.Reason != mfa.ChallengeReplayed {
		t.Errorf("once more: %+v", d)
	}
}

// A wrong number, a refusal and a fraud end the sign-in, each with its reason.
func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		name, act, number, outcome string
		want                       mfa.Reason
		verb                       string
	}{
		{"a wrong number", "approve", "00", "wrong_number", mfa.WrongNumber, "device wrong number"},
		{"no number", "approve", "", "wrong_number", mfa.WrongNumber, "device wrong number"},
		{"a refusal", "deny", "", "denied", mfa.RefusedByUser, "device refuse"},
		{"a fraud", "fraud", "", "denied", mfa.FraudReported, mfa.VerbFraud},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			p := newPhone(r).activate("Phone")
			second := newPhone(r).activate("Tablet")
			q := r.leg("old", "10.1.1.1")
			if c.number != "" || c.act == "approve" {
				q = r.leg("vpn", "10.1.1.1")
			}
			s := r.all[0]
			first := make(chan mfa.Decision, 1)
			go func() {
				d, err := s.engine.Authenticate(context.WithoutCancel(t.Context()), q)
				if err != nil {
					t.Error(err)
				}
				first <- d
			}()
			change := s.db.WaitChange(r.user)
			list := p.pending(s)
			for len(list) == 0 {
				<-change
				change, list = s.db.WaitChange(r.user), p.pending(s)
			}
			if got := p.answer(s, list[0], c.act, c.number); got != c.outcome {
				t.Errorf("outcome %s, want %s", got, c.outcome)
			}
			if got := second.answer(s, list[0], "approve", "42"); got != "answered" {
				t.Errorf("an approval after that: %s", got)
			}
			d := <-first
			if d.Verdict == mfa.Challenge {
				d = r.ask(s, r.then(q, d))
			}
			if d.Verdict != mfa.Reject || d.Reason != c.want {
				t.Errorf("%s %s, want %s", d.Verdict, d.Reason, c.want)
			}
			if a, err := r.act(c.verb); err != nil || a.Object != "alice" {
				t.Errorf("trail has no %s: %+v", c.verb, a)
			}
			u, err := s.admin.User(t.Context(), "alice")
			must(t, err)
			if u.Blocked != (c.act == "fraud") {
				t.Errorf("blocked: %v", u.Blocked)
			}
			if c.act == "fraud" {
				if a := <-r.alarm; a.User != r.user || a.Source != "10.1.1.1" {
					t.Errorf("alarm: %+v", a)
				}
			}
		})
	}
}

// A device that looks is told at once what comes, on whatever server, and is not told again what
// it knows.
func TestPoll(t *testing.T) {
	r := newRig(t)
	p := newPhone(r).activate("Phone")
	type news struct {
		status int
		out    map[string]any
	}
	poll := func(known ...any) <-chan news {
		c := make(chan news, 1)
		go func() {
			status, out := p.post(t.Context(), r.all[1], "pending", map[string]any{"wait": 25, "known": known}, nil)
			c <- news{status, out}
		}()
		return c
	}
	looking := poll()
	d := r.ask(r.all[0], r.leg("vpn", "10.1.1.1"))
	got := <-looking
	if got.status != http.StatusOK || len(questions(got.out)) != 1 {
		t.Fatalf("%+v", got)
	}
	q := questions(got.out)[0]
	looking = poll(q["nonce"])
	if out := p.answer(r.all[0], q, "approve", d.Awaits.Number); out != "accepted" {
		t.Error(out)
	}
	if got := <-looking; len(questions(got.out)) != 0 {
		t.Errorf("after the answer: %+v", got)
	}
	select {
	case got := <-poll():
		t.Errorf("nothing is new, and the look ends: %+v", got)
	case <-time.After(100 * time.Millisecond): // it can only fail to fail
	}
}

// Who is asked too often is asked no more for a while; the reason says so.
func TestFatigue(t *testing.T) {
	r := newRig(t)
	p := newPhone(r).activate("Phone")
	s := r.all[0]
	must(t, s.db.UpdateSettings(t.Context(), func(p *policy.Settings) error { p.Prompts = 2; return nil }))
	sources := []string{"10.1.1.1", "10.1.1.2", "10.1.1.3", "10.1.1.4"}
	for i, want := range []mfa.Reason{mfa.ReasonNone, mfa.PromptTooSoon, mfa.ReasonNone, mfa.TooManyPrompts} {
		if i != 1 {
			r.advance(6 * time.Second)
		}
		if d := r.ask(s, r.leg("vpn", sources[i])); d.Reason != want {
			t.Errorf("sign-in %d: %s %s, want %s", i, d.Verdict, d.Reason, want)
		}
	}
	if n := len(p.pending(s)); n != 2 {
		t.Errorf("%d questions, want 2", n)
	}
}

// Devices that have said where they are reached get a message, with nothing in it but the name
// of the question; an address that is dead is dropped.
func TestMessage(t *testing.T) {
	r := newRig(t)
	p, dead := newPhone(r).activate("Phone"), newPhone(r).activate("Tablet")
	newPhone(r).activate("Desktop") // never says
	s := r.all[0]
	for endpoint, one := range map[string]*phone{"https://push.example/a": p, "https://push.example/dead": dead} {
		if status, out := one.call(s, "subscribe", map[string]string{"endpoint": endpoint, "p256dh": "k", "auth": "a"}); status != http.StatusNoContent {
			t.Fatalf("subscribe: %d %v", status, out)
		}
	}
	if status, _ := p.call(s, "subscribe", map[string]string{"endpoint": "http://plain.example", "p256dh": "k", "auth": "a"}); status != http.StatusUnprocessableEntity {
		t.Errorf("an endpoint without TLS: %d", status)
	}
	r.sent.gone["https://push.example/dead"] = true
	r.ask(s, r.leg("vpn", "10.1.1.1"))
	for range 3 { // two messages, and one is dropped
		<-r.sent.all
	}
	id := p.pending(s)[0]["id"].(string)
	r.sent.mu.Lock()
	defer r.sent.mu.Unlock()
	if len(r.sent.sent) != 2 {
		t.Errorf("sent: %q", r.sent.sent)
	}
	for _, m := range r.sent.sent {
		if !strings.HasSuffix(m, " "+id+` {"id":"`+id+`"}`) {
			t.Errorf("sent: %q", m)
		}
	}
}

// What a program wants approved is shown and signed: the trail keeps the signature.
func TestTransaction(t *testing.T) {
	r := newRig(t)
	p := newPhone(r).activate("Phone")
	s := r.all[0]
	q := r.leg("vpn", "10.1.1.1")
	q.Text = "Pay 10 EUR to Bob"
	d := r.ask(s, q)
	list := p.pending(s)
	if len(list) != 1 || list[0]["text"] != q.Text {
		t.Fatalf("shown: %v", list)
	}
	if got := p.answer(s, list[0], "approve", d.Awaits.Number); got != "accepted" {
		t.Error(got)
	}
	a, err := r.act("device approve")
	if err != nil || !strings.Contains(a.Detail, q.Text) || !strings.Contains(a.Detail, "signature ") || !strings.Contains(a.Detail, list[0]["nonce"].(string)) {
		t.Errorf("trail: %+v, %v", a, err)
	}
	if d := r.ask(s, r.then(q, d)); d.Verdict != mfa.Accept {
		t.Errorf("%+v", d)
	}
}

// A disabled device and a blocked user see nothing and answer nothing.
func TestNotUsable(t *testing.T) {
	r := newRig(t)
	p := newPhone(r).activate("Phone")
	s := r.all[0]
	d := r.ask(s, r.leg("vpn", "10.1.1.1"))
	q := p.pending(s)[0]
	_, cred, _ := device.ParseID(p.id)
	if _, err := s.enroll.Disable(t.Context(), "root", "alice", string(cred), true); err != nil {
		t.Fatal(err)
	}
	if list := p.pending(s); len(list) != 0 {
		t.Errorf("a disabled device sees %v", list)
	}
	if got := p.answer(s, q, "approve", d.Awaits.Number); got == "accepted" {
		t.Error("a disabled device approves")
	}
}

// A PIN is typed on the device where the user has one. It is sent beside what is signed.
func TestPIN(t *testing.T) {
	for _, c := range []struct {
		name, pin string
		status    int
		outcome   string
		want      mfa.Reason
		verb      string
	}{
		{"right", "1379", http.StatusOK, "accepted", mfa.OK, ""},
		{"wrong", "1378", http.StatusOK, "wrong_pin", mfa.WrongPIN, "device wrong pin"},
		{"one try too many", "0000", http.StatusOK, "denied", mfa.Locked, "device locked out"},
		{"an app that asks for none", "", http.StatusUnprocessableEntity, "", mfa.ReasonNone, ""},
		{"longer than any", strings.Repeat("1", 65), http.StatusUnprocessableEntity, "", mfa.ReasonNone, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			p := newPhone(r).activate("Phone")
			s := r.all[0]
			must(t, s.db.AddCredential(t.Context(), mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: r.user, Method: mfa.MethodPIN, Secret: secret.FromString("hash"), Digits: 4, Confirmed: noon, Created: noon}))
			q := r.leg("vpn", "10.1.1.1")
			d := r.ask(s, q)
			list := p.pending(s)
			if len(list) != 1 || list[0]["pin"] != true {
				t.Fatalf("questions: %v", list)
			}
			status, out := p.post(t.Context(), s, "answer", map[string]any{"id": list[0]["id"], "nonce": list[0]["nonce"], "act": "approve", "number": d.Awaits.Number},
				func(h http.Header) { h.Set("Countersign-PIN", base64.RawURLEncoding.EncodeToString([]byte(c.pin))) })
			if got, _ := out["outcome"].(string); status != c.status || got != c.outcome {
				t.Errorf("%d %v, want %d %s", status, out, c.status, c.outcome)
			}
			if c.want == mfa.ReasonNone {
				if len(p.pending(s)) != 1 {
					t.Error("the question is over by that")
				}
				return
			}
			if got := r.ask(s, r.then(q, d)); got.Reason != c.want {
				t.Errorf("the sign-in: %s %s, want %s", got.Verdict, got.Reason, c.want)
			}
			if _, err := r.act(c.verb); (err == nil) != (c.verb != "") {
				t.Errorf("trail, %q: %v", c.verb, err)
			}
		})
	}
}

// A device is taken away by itself on the same terms as in the portal.
func TestDeviceRemovesItself(t *testing.T) {
	r := newRig(t)
	p := newPhone(r).activate("Phone")
	s := r.all[0]
	remove := func(want int, kind string) {
		t.Helper()
		status, out := p.call(s, "remove", map[string]any{})
		if got, _ := out["type"].(string); status != want || got != kind {
			t.Errorf("%d %v, want %d %s", status, out, want, kind)
		}
	}
	self := func(words ...string) {
		t.Helper()
		must(t, s.db.UpdateSettings(t.Context(), func(p *policy.Settings) error { p.SelfService = words; return nil }))
	}
	self(policy.SelfPush)
	remove(http.StatusForbidden, "urn:countersign:last")
	_, err := s.enroll.Add(t.Context(), "root", "alice", enroll.Request{Method: mfa.MethodTOTP})
	must(t, err)
	self(policy.SelfTOTP)
	remove(http.StatusForbidden, "about:blank")
	self(policy.SelfPush)
	remove(http.StatusNoContent, "")
	if a, err := r.act("credential remove"); err != nil || a.Object != "alice" || !strings.HasPrefix(a.By, "device ") || !strings.HasPrefix(a.Detail, "push ") {
		t.Errorf("trail: %+v, %v", a, err)
	}
	remove(http.StatusGone, "urn:countersign:gone")
	p = newPhone(r).activate("Phone")
	must(t, s.enroll.Remove(t.Context(), "root", "alice", "totp"))
	remove(http.StatusForbidden, "urn:countersign:last")
	self(policy.SelfPush, policy.SelfRemoveLast)
	remove(http.StatusNoContent, "")
}

// A report of fraud says what had become of the sign-in.
func TestFraudAfterTheVerdict(t *testing.T) {
	for act, want := range map[string]mfa.Verdict{"approve": mfa.Accept, "deny": mfa.Reject} {
		t.Run(act, func(t *testing.T) {
			r := newRig(t)
			p := newPhone(r).activate("Phone")
			s, q := r.all[0], r.leg("old", "10.1.1.1")
			decided := make(chan mfa.Decision, 1)
			go func() {
				d, err := s.engine.Authenticate(context.WithoutCancel(t.Context()), q)
				if err != nil {
					t.Error(err)
				}
				decided <- d
			}()
			change, list := s.db.WaitChange(r.user), p.pending(s)
			for len(list) == 0 {
				<-change
				change, list = s.db.WaitChange(r.user), p.pending(s)
			}
			p.answer(s, list[0], act, "")
			if d := <-decided; d.Verdict != want {
				t.Fatalf("%s %s, want %s", d.Verdict, d.Reason, want)
			}
			p.answer(r.all[1], list[0], "fraud", "") // at the other server, which may not have heard of it
			if f := <-r.alarm; f.Verdict != want.String() || f.Channel != mfa.FraudPush {
				t.Errorf("reported %+v, want %s", f, want)
			}
			if a, err := r.act(mfa.VerbFraud); err != nil || a.Fraud == nil || a.Fraud.Verdict != want.String() {
				t.Errorf("the trail: %+v, %v", a, err)
			}
		})
	}
}
