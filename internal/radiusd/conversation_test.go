package radiusd

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// What becomes of each kind of datagram from a client that we know. code 0: no answer.
func TestDatagrams(t *testing.T) {
	name, password := attr{radius.UserName, "alice"}, attr{radius.UserPassword, "wonder"}
	access := func(signed bool, attrs ...attr) []byte {
		return build(radius.AccessRequest, 9, random(), signed, attrs...)
	}
	change := func(raw []byte, f func(b []byte) []byte) []byte { return f(raw) }
	long := strings.Repeat("x", 253)
	proxies := func(n int) (all []attr) {
		for range n {
			all = append(all, attr{radius.ProxyState, long})
		}
		return all
	}
	tests := []struct {
		name    string
		raw     []byte
		outcome Outcome
		code    radius.Code
		check   func(t *testing.T, r mfa.Request) // nil: the engine must not be asked
		logged  string
	}{
		{"password", access(true, name, password), Accepted, radius.AccessAccept, func(t *testing.T, r mfa.Request) {
			if r.Login != "alice" || string(r.Password.Expose()) != "wonder" || r.Refuse != 0 || r.Handle != nil ||
				r.FrontEnd != "radius" || r.Application != "id-of-vpn" || !r.Caps.Has(mfa.CanPrompt) || r.Leg == (mfa.LegID{}) || !r.Peer.IsValid() {
				t.Errorf("request = %+v", r)
			}
		}, ""},
		{"unsigned, mode learn, never signed", access(false, name, password), Accepted, radius.AccessAccept, plain, ""},
		{"signature at the end", change(access(true, name, password), signatureLast), Accepted, radius.AccessAccept, plain, ""},
		{"station", access(true, name, password, attr{radius.CallingStationID, "192.0.2.7"}), Accepted, radius.AccessAccept, func(t *testing.T, r mfa.Request) {
			if r.Source != "192.0.2.7" {
				t.Errorf("source = %q", r.Source)
			}
		}, ""},
		{"station with NUL and broken UTF-8", access(true, name, password, attr{radius.CallingStationID, "a\x00\n\xff"}), Accepted, radius.AccessAccept, func(t *testing.T, r mfa.Request) {
			if r.Source != `a\x00\n`+"\uFFFD" {
				t.Errorf("source = %q", r.Source)
			}
		}, ""},
		{"name of the session", access(true, name, password, attr{radius.AcctSessionID, "A\xff1"}), Accepted, radius.AccessAccept, func(t *testing.T, r mfa.Request) {
			if r.Session != "41ff31" {
				t.Errorf("session = %q", r.Session)
			}
		}, ""},
		{"padding behind the packet", append(access(true, name, password), 1, 2, 3), Accepted, radius.AccessAccept, plain, ""},
		{"answer to a challenge", access(true, name, attr{radius.UserPassword, "123456"}, attr{radius.State, "handle"}), Accepted, radius.AccessAccept, func(t *testing.T, r mfa.Request) {
			if string(r.Handle) != "handle" || string(r.Answer.Expose()) != "123456" || !r.Password.Empty() || r.Refuse != 0 {
				t.Errorf("request = %+v", r)
			}
		}, ""},
		{"answer without a User-Password", access(true, name, attr{radius.State, "handle"}), Accepted, radius.AccessAccept, func(t *testing.T, r mfa.Request) {
			if string(r.Handle) != "handle" || !r.Answer.Empty() || r.Refuse != 0 {
				t.Errorf("request = %+v", r)
			}
		}, ""},
		{"empty State", access(true, name, password, attr{radius.State, ""}), Rejected, radius.AccessReject, refuse(mfa.ChallengeInvalid), ""},
		{"two States", access(true, name, password, attr{radius.State, "a"}, attr{radius.State, "b"}), Rejected, radius.AccessReject, refuse(mfa.MalformedRequest), ""},
		{"State of 253 bytes", access(true, name, password, attr{radius.State, long}), Accepted, radius.AccessAccept, func(t *testing.T, r mfa.Request) {
			if string(r.Handle) != long {
				t.Errorf("handle of %d bytes", len(r.Handle))
			}
		}, ""},

		{"empty password", access(true, name, attr{radius.UserPassword, ""}), Accepted, radius.AccessAccept, empty, ""},
		{"User-Password of 0 bytes", access(true, name, attr{0, ""}), Accepted, radius.AccessAccept, empty, ""},
		{"User-Password of 15 bytes", access(true, name, attr{0, long[:15]}), Rejected, radius.AccessReject, refuse(mfa.MalformedRequest), ""},
		{"User-Password of 144 bytes", access(true, name, attr{0, long[:144]}), Rejected, radius.AccessReject, refuse(mfa.MalformedRequest), ""},
		{"User-Password of 253 bytes", access(true, name, attr{0, long}), Rejected, radius.AccessReject, refuse(mfa.MalformedRequest), ""},
		{"password of 128 bytes", access(true, name, attr{radius.UserPassword, long[:128]}), Accepted, radius.AccessAccept, func(t *testing.T, r mfa.Request) {
			if r.Password.Len() != 128 || r.Refuse != 0 {
				t.Errorf("request = %+v, password of %d bytes", r, r.Password.Len())
			}
		}, ""},
		{"NUL in the password", nulPassword(true), Rejected, radius.AccessReject, refuse(mfa.MalformedRequest), ""},
		{"NUL in the password, unsigned", nulPassword(false), WrongSecret, 0, nil, "most likely the shared secret differs"},
		{"broken UTF-8 in the password", access(true, name, attr{radius.UserPassword, "a\xff"}), Rejected, radius.AccessReject, refuse(mfa.MalformedRequest), ""},
		{"other secret, unsigned", access(false, name, attr{radius.UserPassword, "\xfe\x01garbage"}), WrongSecret, 0, nil, "most likely the shared secret differs"},
		{"two stations", access(true, name, password, attr{radius.CallingStationID, "192.0.2.7"}, attr{radius.CallingStationID, "10.0.0.1"}), Rejected, radius.AccessReject, refuse(mfa.MalformedRequest), ""},
		{"two passwords", access(true, name, password, password), Rejected, radius.AccessReject, refuse(mfa.MalformedRequest), ""},
		{"no User-Name", access(true, password), Rejected, radius.AccessReject, refuse(mfa.InvalidLogin), ""},
		{"User-Name of 0 bytes", access(true, attr{radius.UserName, ""}, password), Rejected, radius.AccessReject, refuse(mfa.InvalidLogin), ""},
		{"two User-Names", access(true, name, name, password), Rejected, radius.AccessReject, refuse(mfa.InvalidLogin), ""},
		{"User-Name of 253 bytes", access(true, attr{radius.UserName, long}, password), Accepted, radius.AccessAccept, login(long), ""},
		{"NUL in User-Name", access(true, attr{radius.UserName, "a\x00b"}, password), Accepted, radius.AccessAccept, login("a\x00b"), ""},
		{"broken UTF-8 in User-Name", access(true, attr{radius.UserName, "a\xff"}, password), Accepted, radius.AccessAccept, login("a\xff"), ""},

		{"CHAP", access(true, name, attr{radius.CHAPPassword, long[:17]}), Rejected, radius.AccessReject, refuse(mfa.UnsupportedAuthentication), "sent=CHAP"},
		{"CHAP and PAP", access(true, name, password, attr{radius.CHAPPassword, long[:17]}), Rejected, radius.AccessReject, refuse(mfa.UnsupportedAuthentication), "sent=CHAP"},
		{"MS-CHAP", access(true, name, attr{radius.VendorSpecific, "\x00\x00\x01\x37\x01\x34" + long[:50]}), Rejected, radius.AccessReject, refuse(mfa.UnsupportedAuthentication), "sent=MS-CHAP"},
		{"MS-CHAP version 2", access(true, name, attr{radius.VendorSpecific, "\x00\x00\x01\x37\x0b\x03x\x19\x34" + long[:50]}), Rejected, radius.AccessReject, refuse(mfa.UnsupportedAuthentication), "sent=MS-CHAP"},
		{"another vendor's attribute", access(true, name, password, attr{radius.VendorSpecific, "\x00\x00\x00\x09\x01\x03x"}), Accepted, radius.AccessAccept, plain, ""},
		{"EAP", access(true, name, attr{radius.EAPMessage, "\x02\x2a\x00\x05\x01"}), Rejected, radius.AccessReject, refuse(mfa.UnsupportedAuthentication), "sent=EAP"},
		{"EAP unsigned", access(false, name, attr{radius.EAPMessage, "\x02\x01\x00\x05\x01"}), MissingMA, 0, nil, "RFC 3579"},
		{"nothing to check", access(true, name), Rejected, radius.AccessReject, refuse(mfa.UnsupportedAuthentication), "no User-Password"},

		{"empty datagram", []byte{}, Malformed, 0, nil, "malformed"},
		{"19 bytes", make([]byte, 19), Malformed, 0, nil, "malformed"},
		{"shorter than its length", change(access(true, name, password), func(b []byte) []byte { return b[:len(b)-1] }), Malformed, 0, nil, "shorter"},
		{"length field below 20", change(access(true, name), func(b []byte) []byte { b[2], b[3] = 0, 19; return b }), Malformed, 0, nil, "below 20"},
		{"length field above 4096", change(access(true, name), func(b []byte) []byte { b[2], b[3] = 0x10, 1; return b }), Oversized, 0, nil, "4096"},
		{"datagram of 5000 bytes that says so", change(make([]byte, 5000), func(b []byte) []byte { b[0] = 1; binary.BigEndian.PutUint16(b[2:], 5000); return b }), Oversized, 0, nil, "4096"},
		{"attribute of length 0", change(access(true, name), func(b []byte) []byte { b[len(b)-6] = 0; return b }), Malformed, 0, nil, "attribute length"},
		{"attribute of length 1", change(access(true, name), func(b []byte) []byte { b[len(b)-6] = 1; return b }), Malformed, 0, nil, "attribute length"},
		{"4096 bytes", access(true, append(filling(4096-20-18-7-18), name, password)...), Accepted, radius.AccessAccept, plain, ""},
		{"twelve Proxy-States", access(true, append(proxies(12), name, password)...), Accepted, radius.AccessAccept, plain, ""},
		{"more Proxy-State than an answer holds", access(true, append(proxies(13), name, password)...), Malformed, 0, nil, "Proxy-State"},

		{"wrong signature", change(access(true, name, password), func(b []byte) []byte { b[30] ^= 1; return b }), BadMA, 0, nil, "shared secret differs"},
		{"right signature, other name", change(access(true, name, password), func(b []byte) []byte { b[40] ^= 1; return b }), BadMA, 0, nil, "shared secret differs"},
		{"signature of another request", change(access(true, name, password), func(b []byte) []byte { b[5] ^= 1; return b }), BadMA, 0, nil, "shared secret differs"},
		{"two signatures", access(true, name, password, attr{radius.MessageAuthenticator, long[:16]}), BadMA, 0, nil, "more than one"},
		{"signature of 15 bytes", access(false, name, password, attr{radius.MessageAuthenticator, long[:15]}), BadMA, 0, nil, "16 bytes"},

		{"code 0", change(access(true, name), recode(0)), UnknownCode, 0, nil, "check the ports"},
		{"an answer", change(access(true, name), recode(2)), UnknownCode, 0, nil, "check the ports"},
		{"code 255", change(access(true, name), recode(255)), UnknownCode, 0, nil, "check the ports"},
		{"CoA-Request", change(access(true, name), recode(43)), UnknownCode, 0, nil, "check the ports"},
		{"accounting on the wrong port", build(radius.AccountingRequest, 1, random(), false, name), UnknownCode, 0, nil, "check the ports"},
		{"Status-Server", build(radius.StatusServer, 1, random(), true), StatusAnswered, radius.AccessAccept, nil, ""},
		{"Status-Server unsigned", build(radius.StatusServer, 1, random(), false), MissingMA, 0, nil, ""},
		{"Status-Server, wrong signature", change(build(radius.StatusServer, 1, random(), true), func(b []byte) []byte { b[22] ^= 1; return b }), BadMA, 0, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig()
			r.engine.decide = func(_ context.Context, q mfa.Request) (mfa.Decision, error) {
				if q.Refuse != 0 {
					return mfa.Decision{Message: "no"}, nil
				}
				return mfa.Decision{Verdict: mfa.Accept}, nil
			}
			r.start(t)
			p := dial(t, r.AuthAddrs()[0], "")
			p.send(tt.raw)
			if tt.code != 0 {
				if got := p.reply(tt.raw); got.Code() != tt.code {
					t.Errorf("answer is %s, want %s", got.Code(), tt.code)
				}
			}
			r.seen.wait(t, tt.outcome, 1)
			if tt.code == 0 {
				p.silent()
			}
			if tt.logged != "" {
				r.logged(t, tt.logged)
			}
			asked := r.engine.requests()
			switch {
			case tt.check == nil && len(asked) != 0:
				t.Errorf("the engine was asked: %+v", asked)
			case tt.check != nil && len(asked) != 1:
				t.Errorf("the engine was asked %d times, want 1", len(asked))
			case tt.check != nil:
				tt.check(t, asked[0])
			}
			if strings.Contains(r.log.String(), "wonder") || strings.Contains(r.log.String(), shared) {
				t.Error("the log holds a secret")
			}
		})
	}
}

// A client whose unsigned passwords can be read has the right secret: what cannot be read then is what somebody typed, who is
// refused. Silence would have the client take the server for dead.
func TestUnreadableAfterReadable(t *testing.T) {
	r := newRig()
	r.engine.decide = func(_ context.Context, q mfa.Request) (mfa.Decision, error) {
		if q.Refuse != 0 {
			return mfa.Decision{Message: "no"}, nil
		}
		return mfa.Decision{Verdict: mfa.Accept}, nil
	}
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	name := attr{radius.UserName, "alice"}
	for _, one := range []struct {
		password string
		want     radius.Code
	}{{"wonder", radius.AccessAccept}, {"w\xf6nder", radius.AccessReject}} {
		raw := build(radius.AccessRequest, 1, random(), false, name, attr{radius.UserPassword, one.password})
		p.send(raw)
		if got := p.reply(raw); got.Code() != one.want {
			t.Errorf("%q is answered with %s, want %s", one.password, got.Code(), one.want)
		}
	}
}

func plain(t *testing.T, r mfa.Request) {
	if r.Login != "alice" || string(r.Password.Expose()) != "wonder" || r.Refuse != 0 {
		t.Errorf("request = %+v", r)
	}
}

func empty(t *testing.T, r mfa.Request) {
	if !r.Password.Empty() || r.Refuse != 0 {
		t.Errorf("request = %+v", r)
	}
}

func refuse(want mfa.Reason) func(*testing.T, mfa.Request) {
	return func(t *testing.T, r mfa.Request) {
		if r.Refuse != want || !r.Password.Empty() || !r.Answer.Empty() {
			t.Errorf("Refuse = %v, want %v; %+v", r.Refuse, want, r)
		}
	}
}

func login(want string) func(*testing.T, mfa.Request) {
	return func(t *testing.T, r mfa.Request) {
		if r.Login != want || r.Refuse != 0 {
			t.Errorf("login = %q, Refuse = %v, want %q", r.Login, r.Refuse, want)
		}
	}
}

func recode(c byte) func([]byte) []byte {
	return func(b []byte) []byte { b[0] = c; return b }
}

// filling returns n bytes of attributes that mean nothing to us.
func filling(n int) (all []attr) {
	for n > 0 {
		take := min(n, 255)
		if n-take == 1 {
			take--
		}
		all = append(all, attr{radius.NASIdentifier, strings.Repeat("f", take-2)})
		n -= take
	}
	return all
}

// signatureLast moves the Message-Authenticator to the end and signs again.
func signatureLast(b []byte) []byte {
	c := append(bytes.Clone(b[:20]), b[38:]...)
	c = append(append(c, 80, 18), make([]byte, 16)...)
	copy(c[len(c)-16:], hmacMD5(c))
	return c
}

// nulPassword is a request whose password is "a NUL b".
func nulPassword(signed bool) []byte {
	auth := random()
	block := make([]byte, 16)
	copy(block, "a\x00b")
	for i, x := range sumMD5([]byte(shared), auth[:]) {
		block[i] ^= x
	}
	return build(radius.AccessRequest, 9, auth, signed, attr{radius.UserName, "alice"}, attr{0, string(block)})
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name     string
		decision func(now time.Time) mfa.Decision
		want     []string // type:value, in order, behind the Message-Authenticator
		logged   string
	}{
		{"zero value rejects", func(time.Time) mfa.Decision { return mfa.Decision{} }, []string{"33:one", "33:two"}, ""},
		{"reject with message", func(time.Time) mfa.Decision { return mfa.Decision{Message: "Sign-in failed (abc)."} },
			[]string{"33:one", "33:two", "18:Sign-in failed (abc)."}, ""},
		{"unknown verdict rejects", func(time.Time) mfa.Decision { return mfa.Decision{Verdict: 77} }, []string{"33:one", "33:two"}, ""},
		{"attributes on accept only", func(time.Time) mfa.Decision {
			return mfa.Decision{Reply: []mfa.ReplyAttribute{{Name: "Filter-Id", Value: "x"}}}
		}, []string{"33:one", "33:two"}, ""},
		{"challenge", func(now time.Time) mfa.Decision {
			return mfa.Decision{Verdict: mfa.Challenge, Handle: []byte("h"), Expires: now.Add(90500 * time.Millisecond), Message: "Code:"}
		}, []string{"33:one", "33:two", "24:h", "27:\x00\x00\x00Z", "18:Code:"}, ""},
		{"challenge that is over", func(now time.Time) mfa.Decision {
			return mfa.Decision{Verdict: mfa.Challenge, Handle: []byte("h"), Expires: now.Add(-time.Second)}
		}, []string{"33:one", "33:two", "24:h", "27:\x00\x00\x00\x01"}, ""},
		{"long message", func(time.Time) mfa.Decision { return mfa.Decision{Message: strings.Repeat("\u00e4", 200)} },
			[]string{"33:one", "33:two", "18:" + strings.Repeat("\u00e4", 126), "18:" + strings.Repeat("\u00e4", 74)}, ""},
		{"attributes", func(time.Time) mfa.Decision {
			return mfa.Decision{Verdict: mfa.Accept, Reply: []mfa.ReplyAttribute{
				{Name: "Filter-Id", Value: "staff"}, {Name: "No-Such", Value: "x"}, {Name: "Vendor-Specific:9:1", Value: "a=b"}, {Name: "Class", Value: "0x01"},
			}}
		}, []string{"33:one", "33:two", "11:staff", "26:\x00\x00\x00\x09\x01\x05a=b", "25:\x01"}, "No-Such"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig()
			r.engine.decide = func(context.Context, mfa.Request) (mfa.Decision, error) { return tt.decision(r.clock.Now()), nil }
			r.start(t)
			p := dial(t, r.AuthAddrs()[0], "")
			raw := pap(true, attr{radius.ProxyState, "one"}, attr{radius.NASIdentifier, "n"}, attr{radius.ProxyState, "two"})
			p.send(raw)
			reply := p.reply(raw)
			var got []string
			for typ, v := range reply.Attributes() {
				if len(got) == 0 && typ != radius.MessageAuthenticator {
					t.Errorf("the first attribute is %d, want Message-Authenticator", typ)
				}
				got = append(got, itoa(typ)+":"+string(v))
			}
			if strings.Join(got[1:], "|") != strings.Join(tt.want, "|") {
				t.Errorf("got %q, want %q", got[1:], tt.want)
			}
			if tt.logged != "" {
				r.logged(t, tt.logged)
			}
		})
	}
}

// A fault of ours is silence, and the retransmit is asked anew.
func TestFaultsAreSilent(t *testing.T) {
	faults := map[string]func() (mfa.Decision, error){
		"error":                    func() (mfa.Decision, error) { return mfa.Decision{Verdict: mfa.Accept}, errTest },
		"challenge without handle": func() (mfa.Decision, error) { return mfa.Decision{Verdict: mfa.Challenge}, nil },
		"handle too long": func() (mfa.Decision, error) {
			return mfa.Decision{Verdict: mfa.Challenge, Handle: make([]byte, 254)}, nil
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			r := newRig()
			r.engine.decide = func(context.Context, mfa.Request) (mfa.Decision, error) { return fault() }
			r.start(t)
			p := dial(t, r.AuthAddrs()[0], "")
			raw := pap(true)
			p.send(raw)
			r.seen.wait(t, Failed, 1)
			p.silent()
			r.logged(t, "fault of ours")
			r.engine.mu.Lock()
			r.engine.decide = func(context.Context, mfa.Request) (mfa.Decision, error) {
				return mfa.Decision{Verdict: mfa.Accept}, nil
			}
			r.engine.mu.Unlock()
			p.send(raw)
			if got := p.reply(raw); got.Code() != radius.AccessAccept {
				t.Errorf("the retransmit got %s", got.Code())
			}
			legs := r.engine.requests()
			if len(legs) != 2 || legs[0].Leg != legs[1].Leg {
				t.Errorf("the retransmit has another leg id")
			}
		})
	}
}

func TestAccounting(t *testing.T) {
	start := []attr{{radius.UserName, "alice"}, {radius.AcctStatusType, "\x00\x00\x00\x01"}, {radius.AcctSessionID, "s-1"}, {radius.ProxyState, "p"}}
	tests := []struct {
		name    string
		raw     []byte
		outcome Outcome
		code    radius.Code
		logged  string
	}{
		{"start", build(radius.AccountingRequest, 3, [16]byte{}, true, start...), Accounted, radius.AccountingResponse, `status=Start user=alice session=s-1`},
		{"unsigned", resum(build(radius.AccountingRequest, 3, [16]byte{}, false, start...)), Accounted, radius.AccountingResponse, "accounting"},
		{"wrong authenticator", build(radius.AccountingRequest, 3, [16]byte{}, false, start...), BadAccounting, 0, "shared secret for accounting differs"},
		{"right authenticator, wrong signature", resum(breakMA(build(radius.AccountingRequest, 3, [16]byte{}, true, start...))), BadMA, 0, ""},
		{"Access-Request", pap(true), UnknownCode, 0, ""},
		{"Status-Server", build(radius.StatusServer, 1, random(), true, attr{radius.ProxyState, "p"}), StatusAnswered, radius.AccountingResponse, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig()
			r.start(t)
			p := dial(t, r.AcctAddrs()[0], "")
			p.send(tt.raw)
			if tt.code == 0 {
				r.seen.wait(t, tt.outcome, 1)
				p.silent()
			} else {
				first := p.reply(tt.raw)
				if first.Code() != tt.code {
					t.Errorf("answer is %s, want %s", first.Code(), tt.code)
				}
				if v, ok := first.Lookup(radius.ProxyState); !ok || string(v) != "p" {
					t.Errorf("Proxy-State = %q, %v", v, ok)
				}
				r.seen.wait(t, tt.outcome, 1)
			}
			if tt.logged != "" {
				r.logged(t, tt.logged)
			}
			if tt.outcome == Accounted {
				p.send(tt.raw)
				p.reply(tt.raw)
				r.seen.wait(t, Retransmitted, 1)
				if n := strings.Count(r.log.String(), "msg=accounting"); n != 1 {
					t.Errorf("logged %d times, want once", n)
				}
			}
			if len(r.engine.requests()) != 0 {
				t.Error("the engine was asked")
			}
		})
	}
}

func TestStatusServerIsSilentWhenNotReady(t *testing.T) {
	r := newRig()
	fail := make(chan error, 1)
	fail <- errTest
	r.Ready = func() error {
		select {
		case err := <-fail:
			return err
		default:
			return nil
		}
	}
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	p.send(build(radius.StatusServer, 1, random(), true))
	r.seen.wait(t, Failed, 1)
	p.silent()
	r.logged(t, errTest.Error())
}
