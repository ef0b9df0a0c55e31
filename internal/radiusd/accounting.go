package radiusd

import (
	"encoding/binary"
	"log/slog"
	"strconv"

	"countersign/internal/radius"
)

// accounting answers an Accounting-Request (RFC 2866) and logs it; nothing is kept.
// Widespread clients refuse every user while nobody answers their accounting.
func (s *Server) accounting(j *job) {
	if err := j.client.key.VerifyAccounting(j.packet); err != nil {
		s.drop(j, BadAccounting, err)
		return
	}
	if _, err := j.client.key.VerifyRequest(j.packet); err != nil {
		s.drop(j, BadMA, err)
		return
	}
	j.fields = scan(j.packet)
	if j.fields.proxyBytes > maxProxyState {
		s.drop(j, Malformed, errProxyState)
		return
	}
	if !s.begin(j) {
		return
	}
	status, _ := j.packet.Lookup(radius.AcctStatusType)
	session, _ := j.packet.Lookup(radius.AcctSessionID)
	s.Log.Info("accounting", "client", j.addr, "application", j.client.app.Name, "status", statusType(status),
		"user", printable(j.fields.name), "session", printable(session), "station", printable(j.fields.station))
	w := radius.NewReply(j.out[:0], radius.AccountingResponse, j.packet)
	echoProxyState(&w, j.packet)
	reply := w.SignReply(j.client.key)
	s.duplicates.answer(j.key(), j.leg, s.Now(), reply)
	s.send(j, reply, Accounted)
}

// statusType names an Acct-Status-Type (RFC 2866 section 5.1).
func statusType(v []byte) string {
	if len(v) != 4 {
		return "missing"
	}
	n := binary.BigEndian.Uint32(v)
	switch n {
	case 1:
		return "Start"
	case 2:
		return "Stop"
	case 3:
		return "Interim-Update"
	case 7:
		return "Accounting-On"
	case 8:
		return "Accounting-Off"
	}
	return strconv.FormatUint(uint64(n), 10)
}

// status answers Status-Server (RFC 5997), which must be signed, on either port. It says
// nothing about whether the client signs its other requests, so it moves no ratchet.
// While no decision is possible it stays silent, as Access-Requests do.
func (s *Server) status(j *job) {
	signed, err := j.client.key.VerifyRequest(j.packet)
	if err != nil {
		s.drop(j, BadMA, err)
		return
	}
	j.fields = scan(j.packet)
	switch {
	case !signed:
		s.drop(j, MissingMA, nil)
		return
	case j.fields.proxyBytes > maxProxyState:
		s.drop(j, Malformed, errProxyState)
		return
	}
	if err := s.Ready(); err != nil {
		s.complain(slog.LevelWarn, "not_ready", j.addr, "Status-Server not answered, so that clients ask their next server",
			"listener", j.socket.name, "error", err)
		s.Metrics.RADIUS(Failed)
		return
	}
	code := radius.AccessAccept
	if j.socket.acct {
		code = radius.AccountingResponse
	}
	w := radius.NewReply(j.out[:0], code, j.packet)
	echoProxyState(&w, j.packet)
	s.send(j, w.SignReply(j.client.key), StatusAnswered)
}
