package radiusd

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"

	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// receive looks at one datagram as far as that takes no waiting. It reports whether j
// was handed over to a goroutine that answers later.
func (s *Server) receive(j *job, datagram []byte) (handed bool) {
	now := s.Now()
	if j.client = s.clients.lookup(j.addr); j.client == nil {
		s.drop(j, UnknownClient, nil)
		return false
	}
	j.peer = s.peer(j.client.app.ID, j.addr, now)
	if !j.peer.bucket.allow(now, j.client.app.Rate) {
		s.drop(j, RateLimited, nil)
		return false
	}
	var err error
	if j.packet, err = radius.Parse(datagram); err != nil {
		outcome := Malformed
		if errors.Is(err, radius.ErrOversized) {
			outcome = Oversized
		}
		s.drop(j, outcome, err)
		return false
	}
	switch code := j.packet.Code(); {
	case code == radius.AccessRequest && !j.socket.acct:
		return s.access(j)
	case code == radius.AccountingRequest && j.socket.acct:
		s.accounting(j)
	case code == radius.StatusServer:
		s.status(j)
	default:
		s.drop(j, UnknownCode, nil)
	}
	return false
}

// access proves an Access-Request as far as it can be proven and sees to it that each is
// worked on once.
func (s *Server) access(j *job) (handed bool) {
	var err error
	if j.signed, err = j.client.key.VerifyRequest(j.packet); err != nil {
		s.drop(j, BadMA, err)
		return false
	}
	j.fields = scan(j.packet)
	if j.fields.proxyBytes > maxProxyState {
		s.drop(j, Malformed, errProxyState)
		return false
	}
	now := s.Now()
	switch {
	case j.signed:
		j.peer.proven.Store(true)
	case j.fields.eap: // RFC 3579 section 3.2: discarded silently
		s.drop(j, MissingMA, errEAPUnsigned)
		return false
	case !s.mayBeUnsigned(j.client, j.peer, now):
		s.drop(j, MissingMA, nil)
		return false
	default:
		s.Metrics.RADIUS(Unsigned)
	}
	if !s.begin(j) {
		return false
	}
	select {
	case s.slots <- struct{}{}:
	default:
		s.duplicates.forget(j.key(), j.leg)
		s.drop(j, Overloaded, nil)
		return false
	}
	s.dispatch(j)
	return true
}

// begin enters j into the table of duplicates and reports whether it is new; a duplicate
// gets what there is for it.
func (s *Server) begin(j *job) bool {
	j.leg = j.digest()
	state, reply := s.duplicates.begin(j.key(), j.leg, s.Now(), j.out[:0])
	switch state {
	case isNew:
		return true
	case isBusy:
		s.Metrics.RADIUS(DuplicateDropped)
	default:
		s.send(j, reply, Retransmitted)
	}
	return false
}

func (j *job) key() requestKey {
	return requestKey{j.from, j.socket.index, j.packet.Identifier()}
}

// digest is the leg id: of the application, the sender's address and port, and all of
// the packet, which holds identifier and Request Authenticator. The rest of the packet
// is in it because some clients repeat authenticators: two different requests must never
// share an answer.
func (j *job) digest() (id mfa.LegID) {
	a := j.addr.As16()
	b := append(j.out[:0], "radius\x00"...)
	b = append(b, j.client.app.ID...)
	b = append(b, 0)
	b = append(b, a[:]...)
	b = binary.BigEndian.AppendUint16(b, j.from.Port())
	b = append(b, j.packet.Bytes()...)
	sum := sha256.Sum256(b)
	copy(id[:], sum[:])
	return id
}

// send sends reply and counts what came of it.
func (s *Server) send(j *job, reply []byte, outcome Outcome) {
	if err := j.socket.send(j, reply); err != nil {
		s.complain(slog.LevelWarn, "send", j.addr, "could not send a RADIUS answer; the client will repeat its request",
			"listener", j.socket.name, "error", err)
		outcome = Undelivered
	}
	s.Metrics.RADIUS(outcome)
}

// drop counts and logs a datagram that is not answered.
func (s *Server) drop(j *job, outcome Outcome, err error) {
	message, next := explain(outcome)
	args := []any{"listener", j.socket.name}
	if j.client != nil {
		args = append(args, "application", j.client.app.Name)
	}
	if err != nil {
		args = append(args, "error", err)
	}
	s.see(j, outcome.String(), "")
	s.complain(slog.LevelWarn, outcome.String(), j.addr, message, append(args, "next", next)...)
	s.Metrics.RADIUS(outcome)
}

var (
	errProxyState  = errors.New("more Proxy-State than an answer could return")
	errEAPUnsigned = errors.New("EAP without Message-Authenticator (RFC 3579 section 3.2)")
)

// explain says what was dropped and what an operator does about it.
func explain(o Outcome) (message, next string) {
	switch o {
	case UnknownClient:
		return "RADIUS packet from an address that belongs to no application; dropped",
			"if it is a client of yours: application add NAME --kind radius --address CLIENT --secret-stdin"
	case RateLimited:
		return "RADIUS client sends more packets than its application may; dropped",
			"look for a loop or a monitoring job on the client, or raise the application's rate"
	case Malformed:
		return "malformed RADIUS packet; dropped", "check what runs at that address: it does not speak RADIUS correctly"
	case Oversized:
		return "RADIUS packet longer than 4096 bytes; dropped", "check what runs at that address: it does not speak RADIUS correctly"
	case UnknownCode:
		return "RADIUS packet that is no request for this port; dropped",
			"check the ports on the client: authentication goes to listen.radius, accounting to listen.radius_accounting"
	case BadMA:
		return "RADIUS request with a wrong Message-Authenticator; dropped",
			"the shared secret differs between client and application: application set NAME --secret-stdin; if it does not, the packet was changed on the way"
	case MissingMA:
		return "RADIUS request without the Message-Authenticator that its client owes (CVE-2024-3596); dropped",
			"switch Message-Authenticator on at the client; if it cannot sign: application set NAME --message-authenticator warn"
	case WrongSecret:
		return "User-Password of an unsigned RADIUS request is not readable text: most likely the shared secret differs; dropped",
			"compare the secret on the client with the application's: application set NAME --secret-stdin; a client that sends passwords in another code than UTF-8 has to sign its requests"
	case BadAccounting:
		return "RADIUS accounting request with a wrong authenticator; dropped",
			"the shared secret for accounting differs between client and application: application set NAME --secret-stdin"
	case Overloaded:
		return "too many RADIUS requests are being worked on; dropped", "look for a slow directory or database (doctor); clients repeat their requests"
	}
	return "RADIUS packet dropped", ""
}
