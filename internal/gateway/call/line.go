package call

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"countersign/internal/mfa"
)

const (
	program  = "Countersign"
	goodbye  = 2 * time.Second // that the other side has to confirm that we hang up
	takeback = 3 * time.Second // and that a call that rings was taken back
	// idleAnswers is how many times as long as until it says anything a trunk has until a telephone rings:
	// 12 s, which calls to other continents do not take.
	idleAnswers = 3
)

// line is one call on its way.
type line struct {
	trunk  Trunk
	number Number
	log    *slog.Logger
	result Result
	began  time.Time

	ua     *sipgo.UserAgent
	client *sipgo.Client
	remote string         // address of the trunk, as it was looked up
	local  netip.AddrPort // that SIP is spoken from
	id     string         // of the call
	stream *stream
	ear    ear

	request  *sip.Request  // the INVITE as it was sent last
	answered *sip.Response // that picked it up; nil: nobody has
	tx       sip.ClientTransaction
	sequence uint32
	mu       sync.Mutex // of digits
	digits   digits

	keys   chan byte
	hungUp chan struct{} // closed when the other side hangs up
	once   sync.Once
}

// open makes what a call needs on this side: a socket for audio on the address from where the
// trunk is reached, and a user agent that listens to what the trunk sends.
func (l *line) open(ctx context.Context) error {
	probe, err := (&net.Dialer{}).DialContext(ctx, "udp", l.trunk.Address) // sends nothing
	if err != nil {
		return fmt.Errorf("%s: %w", l.trunk.Address, err)
	}
	host := probe.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	l.remote = probe.RemoteAddr().(*net.UDPAddr).AddrPort().String()
	_ = probe.Close()
	if l.stream, err = openStream(host, l.trunk.Ports); err != nil {
		return err
	}
	if l.local, err = freePort(host, l.trunk.Transport); err != nil {
		return err
	}
	l.stream.keys = func(key byte) { l.pressed(key, false) }
	l.stream.hear = l.ear.hear
	silence()
	quiet := slog.New(slog.DiscardHandler)
	options := []sipgo.UserAgentOption{sipgo.WithUserAgent(program),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(quiet))}
	if l.trunk.TLS != nil {
		options = append(options, sipgo.WithUserAgenTLSConfig(l.trunk.TLS))
	}
	if l.ua, err = sipgo.NewUA(options...); err != nil {
		return err
	}
	if l.client, err = sipgo.NewClient(l.ua, sipgo.WithClientHostname(hostOf(host)), sipgo.WithClientLogger(quiet), sipgo.WithClientNAT()); err != nil {
		return err
	}
	l.id = rand.Text()
	if err = l.listen(quiet); err != nil {
		return err
	}
	l.request = l.newInvite()
	return nil
}

// silence keeps the library from logging: what it logs holds whole messages, numbers included, and
// goes by a variable of its own where no option of a user agent reaches.
var silence = sync.OnceFunc(func() { sip.SetDefaultLogger(slog.New(slog.DiscardHandler)) })

// hostOf is an address as it stands in a SIP URI.
func hostOf(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// freePort returns a port that nobody uses at the moment: the trunk has to be told where we
// listen before we do.
func freePort(host netip.Addr, transport string) (netip.AddrPort, error) {
	at := netip.AddrPortFrom(host, 0)
	if transport == UDP {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return at, err
		}
		return netip.AddrPortFrom(host, c.LocalAddr().(*net.UDPAddr).AddrPort().Port()), c.Close()
	}
	c, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return at, err
	}
	return netip.AddrPortFrom(host, c.Addr().(*net.TCPAddr).AddrPort().Port()), c.Close()
}

func (l *line) close() {
	if l.tx != nil {
		l.tx.Terminate()
	}
	if l.ua != nil {
		_ = l.ua.Close()
	}
	if l.stream != nil {
		l.stream.close()
	}
}

// invite rings until somebody picks up. An error says why nobody did; then nothing rings any more.
func (l *line) invite(ctx context.Context) error {
	tx, err := l.client.TransactionRequest(ctx, l.request)
	if err != nil { // then tx is no nil interface
		return fmt.Errorf("%s over %s: %w", l.trunk.Address, l.trunk.Transport, err)
	}
	l.tx = tx
	silent, ring := time.NewTimer(l.trunk.Answer), time.NewTimer(l.trunk.Ring)
	idle := time.NewTimer(idleAnswers * l.trunk.Answer)
	defer silent.Stop()
	defer idle.Stop()
	defer ring.Stop()
	heard, logins := false, 0
	for {
		select {
		case res := <-l.tx.Responses():
			heard = true
			silent.Stop()
			switch {
			case res.IsProvisional():
				if res.StatusCode >= 180 {
					l.result.Rang = true
					idle.Stop()
				}
			case res.IsSuccess():
				l.result.Status = res.StatusCode
				return l.picked(res)
			case asksLogin(res) && l.trunk.Login != "" && logins == 0:
				logins++
				if err := l.logIn(ctx, res); err != nil {
					return err
				}
				heard = false
				silent.Reset(l.trunk.Answer)
			default:
				l.result.Status = res.StatusCode
				return refused(res)
			}
		case <-l.tx.Done():
			if err := l.tx.Err(); err != nil {
				return fmt.Errorf("%s over %s: %w", l.trunk.Address, l.trunk.Transport, err)
			}
			return fmt.Errorf("%w: %s: the call came to nothing", mfa.GatewayDown, l.trunk.Address)
		case <-silent.C:
			l.takeBack(heard)
			return fmt.Errorf("%w: %s says nothing", mfa.GatewaySlow, l.trunk.Address)
		case <-idle.C:
			if l.takeBack(heard); l.answered != nil { // in this very moment: nobody else is to be rung
				l.result.Rang = true
				return mfa.CallNoAnswer
			}
			return fmt.Errorf("%w: %s took the call, and within %s no telephone rang", mfa.GatewaySlow, l.trunk.Address, idleAnswers*l.trunk.Answer)
		case <-ring.C:
			l.takeBack(heard)
			return mfa.CallNoAnswer
		case <-ctx.Done():
			l.takeBack(heard)
			return ctx.Err()
		}
	}
}

func asksLogin(res *sip.Response) bool {
	return res.StatusCode == sip.StatusUnauthorized || res.StatusCode == sip.StatusProxyAuthRequired
}

// logIn sends the INVITE again with the digest that was asked for.
func (l *line) logIn(ctx context.Context, res *sip.Response) error {
	l.tx.Terminate()
	tx, err := l.client.TransactionDigestAuth(ctx, l.request, res, sipgo.DigestAuth{Username: l.trunk.Login, Password: string(l.trunk.Password.Expose())})
	if err != nil {
		return fmt.Errorf("%w: %s asks for a login that we cannot give: %w", mfa.GatewayRefused, l.trunk.Address, err)
	}
	l.tx = tx
	return nil
}

// picked confirms that the call was picked up and starts the audio.
func (l *line) picked(res *sip.Response) error {
	l.answered = res
	l.sequence = l.request.CSeq().SeqNo
	l.result.Rang = true
	l.tx.OnRetransmission(func(*sip.Response) { _ = l.ack() }) // ours was lost
	if err := l.ack(); err != nil {
		return fmt.Errorf("%s: %w", l.trunk.Address, err)
	}
	d, err := parseSDP(res.Body())
	if err != nil {
		l.bye()
		return fmt.Errorf("%s: %w", l.trunk.Address, err)
	}
	l.stream.connect(d)
	return nil
}

// takeBack ends a call that nobody has picked up. Whoever picks up in this very moment is hung up on.
func (l *line) takeBack(heard bool) {
	if !heard { // a server of SIP must not be told before it has answered (RFC 3261, 9.1); this is for one whose answers are lost
		l.tx.Terminate()
		_ = l.client.WriteRequest(l.newCancel(), asItIs)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), takeback)
	defer cancel()
	confirmed, err := l.client.TransactionRequest(ctx, l.newCancel(), asItIs)
	if err != nil {
		return
	}
	defer confirmed.Terminate()
	for {
		select {
		case res := <-l.tx.Responses():
			if res.IsSuccess() {
				l.answered, l.sequence = res, l.request.CSeq().SeqNo
				_ = l.ack()
				l.bye()
			}
			if !res.IsProvisional() {
				return
			}
		case <-confirmed.Responses():
		case <-l.tx.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

func (l *line) ack() error {
	return l.client.WriteRequest(l.within(sip.ACK, l.request.CSeq().SeqNo), sipgo.ClientRequestAddVia)
}

// bye hangs up, unless the other side has.
func (l *line) bye() {
	select {
	case <-l.hungUp:
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	l.sequence++
	tx, err := l.client.TransactionRequest(ctx, l.within(sip.BYE, l.sequence), sipgo.ClientRequestAddVia)
	if err != nil {
		return
	}
	defer tx.Terminate()
	select {
	case <-tx.Responses():
	case <-tx.Done():
	case <-l.hungUp:
	case <-ctx.Done():
		l.log.Warn("a trunk has not confirmed that we hung up", "trunk", l.trunk.Address)
	}
}

// pressed hands on a key. Some telephones tell of each key twice, within the audio and by INFO:
// the way that the first key came by is the one that counts.
func (l *line) pressed(key byte, info bool) {
	l.mu.Lock()
	ok := l.digits.take(info)
	l.mu.Unlock()
	if !ok {
		return
	}
	select {
	case l.keys <- key:
	default: // more than anybody types
	}
}

// digits remembers by which way keys come.
type digits struct{ any, info bool }

func (d *digits) take(info bool) bool {
	if !d.any {
		d.any, d.info = true, info
	}
	return d.info == info
}
