package gateway

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/smpp"
)

const (
	writeTimeout  = 5 * time.Second
	unbindTimeout = time.Second
)

// session is one bind. It is safe for concurrent use.
type session struct {
	l      *link
	conn   net.Conn
	peer   smpp.BindAnswer
	since  time.Time
	window chan struct{} // holds one for each message under way
	over   chan struct{} // closed when the session has ended
	read   chan struct{} // closed when nobody reads any more

	unread sync.Once // what cannot be read is told of once in a session

	mu      sync.Mutex // also of writing
	number  uint32     // of the last request
	waiting map[uint32]chan smpp.PDU
	heard   time.Time
	err     error // why it has ended
}

// bind connects and binds as a transceiver within ctx's time. An error says which of these
// did not come about.
func bind(ctx context.Context, l *link) (*session, error) {
	hello, err := smpp.Bind{SystemID: l.g.Login, Password: string(l.g.Password.Expose()), SystemType: l.g.SMPP.SystemType, Version: versionOf(l.g)}.Body()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", mfa.GatewayRefused, err)
	}
	conn, err := connect(ctx, l.g, l.config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.g.Address, err)
	}
	window := l.g.SMPP.Window
	if window <= 0 {
		window = smppWindow
	}
	s := &session{l: l, conn: conn, since: l.now(), window: make(chan struct{}, window), over: make(chan struct{}), read: make(chan struct{}),
		waiting: map[uint32]chan smpp.PDU{}, heard: l.now()}
	l.running.Go(s.listen)
	answer, err := s.ask(ctx, smpp.BindTransceiver, hello)
	if err == nil {
		err = l.judge("the bind as "+l.g.Login, answer.Status)
	}
	if err == nil {
		s.peer, err = smpp.ParseBindAnswer(answer.Body)
	}
	if err != nil {
		s.end(err)
		return nil, err
	}
	return s, nil
}

func versionOf(g mfa.Gateway) byte {
	if g.SMPP.Version == mfa.SMPP50 {
		return smpp.Version50
	}
	return smpp.Version34
}

func connect(ctx context.Context, g mfa.Gateway, config *tls.Config) (net.Conn, error) {
	if config == nil {
		return (&net.Dialer{}).DialContext(ctx, "tcp", g.Address)
	}
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", g.Address)
	if err != nil {
		return nil, err // not a nil *tls.Conn in an interface
	}
	return c, nil
}

// errUnsent says that nothing was written of a request.
var errUnsent = errors.New("the connection was lost before")

// ask sends a request and waits for its answer, at most until ctx is done.
func (s *session) ask(ctx context.Context, c smpp.Command, body []byte) (smpp.PDU, error) {
	if c == smpp.SubmitSM {
		select {
		case s.window <- struct{}{}:
			defer func() { <-s.window }()
		case <-s.over:
			return smpp.PDU{}, fmt.Errorf("%w: %w: %w", mfa.GatewayDown, errUnsent, s.why())
		case <-ctx.Done():
			return smpp.PDU{}, fmt.Errorf("%d messages are under way and unanswered: %w", cap(s.window), ctx.Err())
		}
	}
	answer := make(chan smpp.PDU, 1)
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return smpp.PDU{}, fmt.Errorf("%w: %w: %w", mfa.GatewayDown, errUnsent, s.err)
	}
	s.number = s.number%0x7FFFFFFF + 1
	number := s.number
	s.waiting[number] = answer
	err := s.write(smpp.PDU{Command: c, Sequence: number, Body: body})
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, number)
		s.mu.Unlock()
	}()
	if err != nil {
		s.end(err)
		return smpp.PDU{}, fmt.Errorf("%w: %w", mfa.GatewayDown, err)
	}
	select {
	case p := <-answer:
		return p, nil
	case <-s.over:
		err = fmt.Errorf("%w: the connection was lost before the answer: %w", mfa.GatewayDown, s.why())
	case <-ctx.Done():
		err = fmt.Errorf("no answer: %w", ctx.Err())
	}
	select {
	case p := <-answer: // it came with the end, and counts
		return p, nil
	default:
		return smpp.PDU{}, err
	}
}

// write sends p. s.mu is held.
func (s *session) write(p smpp.PDU) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // the connection's own clock
	_, err := s.conn.Write(p.Append(nil))
	return err
}

// listen reads until the connection ends.
func (s *session) listen() {
	defer close(s.read)
	for {
		p, err := readPDU(s.conn)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the gateway closed the connection")
			}
			s.end(err)
			return
		}
		s.mu.Lock()
		s.heard = s.l.now()
		s.mu.Unlock()
		if err := s.take(p); err != nil {
			s.end(err)
			return
		}
	}
}

func readPDU(r io.Reader) (smpp.PDU, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return smpp.PDU{}, err
	}
	n, err := smpp.Length(length)
	if err != nil {
		return smpp.PDU{}, err
	}
	b := make([]byte, n)
	binary.BigEndian.PutUint32(b, uint32(n)) //nolint:gosec // at most smpp.MaxSize
	if _, err := io.ReadFull(r, b[4:]); err != nil {
		return smpp.PDU{}, err
	}
	return smpp.Parse(b)
}

// take does what p asks, or hands it to who waits for it. An error ends the session.
func (s *session) take(p smpp.PDU) error {
	if p.Command.IsAnswer() {
		s.mu.Lock()
		waiting := s.waiting[p.Sequence]
		delete(s.waiting, p.Sequence)
		s.mu.Unlock()
		if waiting != nil {
			waiting <- p
		}
		return nil
	}
	answer := smpp.PDU{Command: p.Command.Answer(), Sequence: p.Sequence}
	var end error
	switch p.Command {
	case smpp.DeliverSM, smpp.DataSM:
		answer.Body = []byte{0} // an empty message_id
		s.delivered(p)
	case smpp.EnquireLink:
	case smpp.Unbind:
		end = errors.New("the gateway has unbound us")
	case smpp.AlertNotify:
		return nil
	default:
		answer.Command, answer.Status = smpp.GenericNack, smpp.InvalidCommand
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return errors.Join(end, s.write(answer))
}

// delivered reads what is delivered; what is no receipt is nobody's.
func (s *session) delivered(p smpp.PDU) {
	parse := smpp.ParseMessage
	if p.Command == smpp.DataSM {
		parse = smpp.ParseData
	}
	m, err := parse(p.Body)
	if err != nil {
		s.unread.Do(func() {
			s.l.log.Warn("an SMPP gateway delivers what cannot be read", "gateway", s.l.g.Name, "error", err)
		})
		return
	}
	if r, ok := m.Receipt(); ok {
		s.l.receipt(r)
	}
}

// end ends the session; of several reasons the first counts.
func (s *session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	close(s.over)
	_ = s.conn.Close()
}

func (s *session) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *session) alive() bool { return s.why() == nil }

// quietSince is how long nothing has come.
func (s *session) quietSince(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.heard)
}

// unbind ends the session in good order: what is under way gets its answer.
func (s *session) unbind() {
	ctx, cancel := context.WithTimeout(context.Background(), unbindTimeout)
	defer cancel()
	for range cap(s.window) { // whoever is not done in time is cut off
		select {
		case s.window <- struct{}{}:
			continue
		case <-ctx.Done():
		case <-s.over:
		}
		break
	}
	_, _ = s.ask(ctx, smpp.Unbind, nil)
	s.end(errClosed)
	<-s.read
}
