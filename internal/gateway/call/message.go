package call

import (
	"net"
	"strconv"
	"strings"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// asItIs keeps the client from adding to a request.
func asItIs(*sipgo.Client, *sip.Request) error { return nil }

// domain is the part behind the @ of the trunk's addresses.
func (l *line) domain() (host string, port int) {
	host, p, _ := net.SplitHostPort(l.trunk.Address)
	port, _ = strconv.Atoi(p)
	if l.trunk.Domain != "" {
		host, port = l.trunk.Domain, 0
	}
	return host, port
}

// newInvite returns the request that rings.
func (l *line) newInvite() *sip.Request {
	host, port := l.domain()
	req := sip.NewRequest(sip.INVITE, sip.Uri{Scheme: "sip", User: l.number.Dial, Host: host, Port: port})
	from := &sip.FromHeader{Address: sip.Uri{Scheme: "sip", User: l.trunk.From, Host: host}, Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	req.AppendHeader(from)
	req.AppendHeader(&sip.ToHeader{Address: sip.Uri{Scheme: "sip", User: l.number.Dial, Host: host}, Params: sip.NewParams()})
	contact := &sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: l.trunk.From, Host: hostOf(l.local.Addr()), Port: int(l.local.Port()), UriParams: sip.NewParams()}}
	if l.trunk.Transport != UDP {
		contact.Address.UriParams.Add("transport", l.trunk.Transport)
	}
	id := sip.CallIDHeader(l.id)
	req.AppendHeader(&id)
	req.AppendHeader(contact)
	req.AppendHeader(sip.NewHeader("Allow", "INVITE, ACK, CANCEL, BYE, INFO, OPTIONS"))
	req.AppendHeader(sip.NewHeader("User-Agent", program))
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(offer(l.began.Unix(), l.stream.local()))
	l.address(req)
	return req
}

// address sends a request to the trunk, over its transport.
func (l *line) address(req *sip.Request) {
	l.way(req)
	req.SetDestination(l.remote)
}

// way has a request sent over the call's transport from the call's own port.
func (l *line) way(req *sip.Request) {
	req.SetTransport(strings.ToUpper(l.trunk.Transport))
	req.Laddr = sip.Addr{IP: l.local.Addr().AsSlice(), Port: int(l.local.Port())}
}

// newCancel returns the request that takes the INVITE back: what names it is the same.
func (l *line) newCancel() *sip.Request {
	req := sip.NewRequest(sip.CANCEL, *l.request.Recipient.Clone())
	req.AppendHeader(sip.HeaderClone(l.request.Via()))
	req.AppendHeader(sip.HeaderClone(l.request.From()))
	req.AppendHeader(sip.HeaderClone(l.request.To()))
	req.AppendHeader(sip.HeaderClone(l.request.CallID()))
	req.AppendHeader(&sip.CSeqHeader{SeqNo: l.request.CSeq().SeqNo, MethodName: sip.CANCEL})
	hops := sip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	req.SetBody(nil)
	l.address(req)
	return req
}

// within returns a request of the dialog that the answer has opened (RFC 3261, 12.2.1.1). Where
// no proxy wants to stay on the way it goes to the trunk itself, whatever address that one gives of itself.
func (l *line) within(method sip.RequestMethod, sequence uint32) *sip.Request {
	target := l.request.Recipient
	if c := l.answered.Contact(); c != nil {
		target = c.Address
	}
	req := sip.NewRequest(method, *target.Clone())
	req.AppendHeader(sip.HeaderClone(l.request.From()))
	req.AppendHeader(sip.HeaderClone(l.answered.To()))
	req.AppendHeader(sip.HeaderClone(l.request.CallID()))
	req.AppendHeader(&sip.CSeqHeader{SeqNo: sequence, MethodName: method})
	hops := sip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	routes := l.answered.GetHeaders("Record-Route")
	for i := len(routes) - 1; i >= 0; i-- {
		req.AppendHeader(sip.NewHeader("Route", routes[i].Value()))
	}
	req.SetBody(nil)
	l.way(req)
	if len(routes) == 0 {
		req.SetDestination(l.remote)
	}
	return req
}
