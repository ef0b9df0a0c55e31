package radiusd

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"countersign/internal/mfa"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

// maxProxyState is how many bytes of Proxy-State a request may hold, so that every
// answer has room for them all and for its own attributes.
const maxProxyState = 3072

// vendorMicrosoft is the vendor of MS-CHAP (RFC 2548).
const vendorMicrosoft = 311

// fields are the attributes of an Access-Request that matter, as far as present. They
// point into the packet.
type fields struct {
	name, password, state, station, session []byte
	names, passwords, states, stations      int
	chap, mschap, eap                       bool
	eapID                                   byte
	proxyBytes                              int
}

// scan reads a packet once.
func scan(p radius.Packet) (f fields) {
	for t, v := range p.Attributes() {
		switch t {
		case radius.UserName:
			f.name = v
			f.names++
		case radius.UserPassword:
			f.password = v
			f.passwords++
		case radius.State:
			f.state = v
			f.states++
		case radius.CallingStationID:
			f.station = v
			f.stations++
		case radius.AcctSessionID:
			f.session = v
		case radius.ProxyState:
			f.proxyBytes += 2 + len(v)
		case radius.CHAPPassword, radius.ARAPPassword:
			f.chap = true
		case radius.EAPMessage:
			if !f.eap && len(v) >= 2 {
				f.eapID = v[1]
			}
			f.eap = true
		case radius.VendorSpecific:
			for vendor, t := range radius.VendorTypes(v) {
				if vendor == vendorMicrosoft && (t == 1 || t == 25) { // MS-CHAP-Response, MS-CHAP2-Response
					f.mschap = true
				}
			}
		}
	}
	return f
}

// handle works on one Access-Request and answers it, unless the fault is ours: then the
// client's next server is asked.
func (s *Server) handle(j *job) {
	defer func() {
		if j.waiting {
			<-s.waits
			j.waiting = false
		} else {
			<-s.slots
		}
		s.jobs.Put(j)
		s.handlers.Done()
	}()
	ctx := s.deadlines.of(s.Timeout())
	if j.client.app.Waiting == mfa.WaitInside {
		ctx = s.patient.of(s.Timeout() + s.Waiting())
	}
	if j.signed {
		_ = s.prove(ctx, j.peer) // logged; memory knows, and housekeeping tries again
	}
	r, proven := s.request(j)
	if !proven {
		s.duplicates.forget(j.key(), j.leg)
		s.drop(j, WrongSecret, nil)
		return
	}
	d, err := s.Authenticator.Authenticate(ctx, r)
	if err != nil {
		s.fail(j, err)
		return
	}
	reply, outcome, err := s.reply(j, d)
	if err != nil {
		s.fail(j, err)
		return
	}
	if outcome == Challenged {
		s.asked(j)
	}
	told := s.duplicates.answer(j.key(), j.leg, s.Now(), reply)
	s.send(j, reply, outcome)
	if j.waiting {
		s.watch(j, told, d.Reason)
	}
}

// park is called when j begins to wait for a person: it gives way to requests that are worked
// on, as long as there is room among those that wait.
func (s *Server) park(j *job) {
	if j.waiting {
		return
	}
	select {
	case s.waits <- struct{}{}:
		j.waiting = true
		<-s.slots
	default:
	}
}

// fail leaves a request without answer.
func (s *Server) fail(j *job, err error) {
	told := s.duplicates.forget(j.key(), j.leg)
	if j.waiting {
		s.watch(j, told, mfa.ReasonNone)
		if told.gone(s.Now()) {
			return // nobody waits for it
		}
	}
	s.complain(slog.LevelError, Failed.String(), j.addr, "RADIUS request not answered because of a fault of ours; the client asks its next server",
		"application", j.client.app.Name, "listener", j.socket.name, "error", err, "next", "doctor names what is broken")
	s.Metrics.RADIUS(Failed)
}

// request strips j of its protocol. What cannot be used is refused by the engine, which
// knows the application's ways and keeps the trail; but for what nothing says that it comes from
// the client, which is not proven: anybody could fill a user's history with it.
func (s *Server) request(j *job) (r mfa.Request, proven bool) {
	f := &j.fields
	r = mfa.Request{
		Application: j.client.app.ID,
		FrontEnd:    "radius",
		Leg:         j.leg,
		Login:       string(f.name),
		Caps:        mfa.CanPrompt | mfa.AsItIs,
		Peer:        j.from,
		Source:      printable(f.station),
		Session:     hex.EncodeToString(f.session),
	}
	if j.client.app.Waiting == mfa.WaitInside {
		r.Patient, r.Waits = true, func() { s.park(j) }
		r.Gone = func() bool { return s.duplicates.told(j.key(), j.leg).gone(s.Now()) }
	}
	if how := f.unsupported(); how != "" {
		r.Refuse = mfa.UnsupportedAuthentication
		s.see(j, SightUnsupported, how)
		s.complain(slog.LevelWarn, "unsupported", j.addr, "RADIUS client asks for an authentication that cannot be checked; only PAP can",
			"application", j.client.app.Name, "sent", how, "next", "set the client to PAP")
		return r, true
	}
	if f.names != 1 || len(f.name) == 0 {
		r.Refuse = mfa.InvalidLogin
		return r, true
	}
	var buf [radius.MaxPassword]byte
	typed, err := j.client.key.Reveal(buf[:0], f.password, j.packet.Authenticator())
	defer clear(buf[:])
	switch {
	case !j.signed && (errors.Is(err, radius.ErrPasswordNUL) || !utf8.Valid(typed)) && !j.peer.legible.Load(): // from one that was read before it is what somebody typed
		return mfa.Request{}, false
	case err != nil, f.passwords > 1, f.states > 1, f.stations > 1, !utf8.Valid(typed):
		r.Refuse = mfa.MalformedRequest
	case f.states == 0:
		j.peer.legible.Store(true)
		r.Password = secret.New(typed)
	case len(f.state) == 0:
		r.Refuse = mfa.ChallengeInvalid
	default:
		r.Handle = bytes.Clone(f.state)
		r.Answer = secret.New(typed)
	}
	return r, true
}

// unsupported names what f asks for instead of PAP; "" if it asks for PAP.
func (f *fields) unsupported() string {
	switch {
	case f.eap:
		return "EAP"
	case f.mschap:
		return "MS-CHAP"
	case f.chap:
		return "CHAP"
	case f.passwords == 0 && f.states == 0:
		return "no User-Password"
	}
	return ""
}

// printable returns b as text that may go into a log.
func printable(b []byte) string {
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		s = strings.Trim(fmt.Sprintf("%q", s), `"`)
	}
	return s
}
