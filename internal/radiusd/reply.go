package radiusd

import (
	"fmt"
	"log/slog"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// reply encodes d as the answer to j, in j.out. The order: Message-Authenticator,
// Proxy-States as they came, State, Session-Timeout, Reply-Message, then what rules add.
// An error means that d cannot be said in RADIUS, which is a fault of ours.
func (s *Server) reply(j *job, d mfa.Decision) ([]byte, Outcome, error) {
	code, outcome := radius.AccessReject, Rejected
	switch d.Verdict {
	case mfa.Accept:
		code, outcome = radius.AccessAccept, Accepted
	case mfa.Challenge:
		code, outcome = radius.AccessChallenge, Challenged
	}
	w := radius.NewReply(j.out[:0], code, j.packet)
	echoProxyState(&w, j.packet)
	if code == radius.AccessChallenge {
		if len(d.Handle) == 0 {
			return nil, Failed, fmt.Errorf("challenge of attempt %s without a handle", d.Attempt)
		}
		if err := w.Add(radius.State, d.Handle); err != nil {
			return nil, Failed, fmt.Errorf("challenge of attempt %s with a handle of %d bytes: %w", d.Attempt, len(d.Handle), err)
		}
		left := max(1, int64(d.Expires.Sub(s.Now())/time.Second))
		_ = w.AddUint32(radius.SessionTimeout, uint32(min(left, 1<<31)))
	}
	if j.fields.eap && code == radius.AccessReject {
		_ = w.Add(radius.EAPMessage, []byte{4, j.fields.eapID, 0, 4}) // EAP-Failure (RFC 3579 section 2.6.3)
	} else if err := w.AddText(radius.ReplyMessage, d.Message); err != nil {
		s.complain(slog.LevelError, "reply_attribute", j.addr, "message did not fit into the RADIUS answer and was cut",
			"application", j.client.app.Name, "attempt", d.Attempt)
	}
	if code == radius.AccessAccept {
		for _, a := range d.Reply {
			s.addAttribute(&w, j, a)
		}
	}
	return w.SignReply(j.client.key), outcome, nil
}

// addAttribute adds what a rule says. What cannot be encoded is left out: the client then
// gives less, not more, unless the rule took a right away; so it is an error in the log.
func (s *Server) addAttribute(w *radius.Writer, j *job, a mfa.ReplyAttribute) {
	encoded, err := radius.Encode(a.Name, a.Value)
	if err == nil {
		err = w.Add(encoded.Type, encoded.Value)
	}
	if err != nil {
		s.complain(slog.LevelError, "reply_attribute", j.addr, "reply attribute left out of a RADIUS accept",
			"application", j.client.app.Name, "attribute", a.Name, "error", err, "next", "correct the application's reply rules")
	}
}

// echoProxyState copies every Proxy-State unchanged and in order (RFC 2865 section 5.33).
// Room for them was seen to when the request was read.
func echoProxyState(w *radius.Writer, p radius.Packet) {
	for t, v := range p.Attributes() {
		if t == radius.ProxyState {
			_ = w.Add(t, v)
		}
	}
}
