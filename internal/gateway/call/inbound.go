package call

import (
	"log/slog"
	"strings"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"countersign/internal/voice"
)

// listen answers what the trunk sends within the call. Requests of no call of ours are refused.
func (l *line) listen(log *slog.Logger) error {
	s, err := sipgo.NewServer(l.ua, sipgo.WithServerLogger(log))
	if err != nil {
		return err
	}
	s.OnBye(l.ours(func(req *sip.Request, tx sip.ServerTransaction) {
		respond(req, tx, 200, "OK", nil)
		l.once.Do(func() { close(l.hungUp) })
	}))
	s.OnInfo(l.ours(func(req *sip.Request, tx sip.ServerTransaction) {
		respond(req, tx, 200, "OK", nil)
		kind := ""
		if h := req.ContentType(); h != nil {
			kind = h.Value()
		}
		if key, ok := infoKey(kind, req.Body()); ok {
			l.pressed(key, true)
		}
	}))
	s.OnInvite(l.ours(l.again))
	s.OnUpdate(l.ours(l.again))
	s.OnOptions(l.ours(func(req *sip.Request, tx sip.ServerTransaction) { respond(req, tx, 200, "OK", nil) }))
	s.OnAck(func(*sip.Request, sip.ServerTransaction) {})
	return nil
}

// ours passes on requests of this call.
func (l *line) ours(handle sipgo.RequestHandler) sipgo.RequestHandler {
	return func(req *sip.Request, tx sip.ServerTransaction) {
		if id := req.CallID(); id == nil || id.Value() != l.id {
			respond(req, tx, 481, "Call/Transaction Does Not Exist", nil)
			return
		}
		handle(req, tx)
	}
}

func respond(req *sip.Request, tx sip.ServerTransaction, status int, reason string, body []byte) {
	res := sip.NewResponseFromRequest(req, status, reason, body)
	if body != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	_ = tx.Respond(res) // it asks again if that was lost
}

// again answers a change of the call: another address for its audio, or a sign that it still stands.
func (l *line) again(req *sip.Request, tx sip.ServerTransaction) {
	if len(req.Body()) > 0 {
		d, err := parseSDP(req.Body())
		if err != nil {
			respond(req, tx, 488, "Not Acceptable Here", nil)
			return
		}
		l.stream.connect(d)
	}
	if req.Method == sip.UPDATE && len(req.Body()) == 0 {
		respond(req, tx, 200, "OK", nil)
		return
	}
	res := sip.NewResponseFromRequest(req, 200, "OK", offer(l.began.Unix(), l.stream.local()))
	res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	res.AppendHeader(sip.HeaderClone(l.request.Contact()))
	_ = tx.Respond(res)
}

// infoKey reads a key from a body of type application/dtmf-relay ("Signal=5") or application/dtmf ("5").
func infoKey(contentType string, body []byte) (key byte, ok bool) {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	if len(body) > 256 {
		return 0, false
	}
	var signal string
	switch strings.TrimSpace(kind) {
	case "application/dtmf-relay":
		for line := range strings.Lines(string(body)) {
			if name, value, found := strings.Cut(line, "="); found && strings.EqualFold(strings.TrimSpace(name), "signal") {
				signal = strings.TrimSpace(value)
			}
		}
	case "application/dtmf":
		signal = strings.TrimSpace(string(body))
	}
	switch signal { // some tell the number of the event
	case "10":
		signal = "*"
	case "11":
		signal = "#"
	}
	if len(signal) != 1 || !strings.Contains(voice.Keys, signal) {
		return 0, false
	}
	return signal[0], true
}
