package gateway

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/smpp"
)

const (
	smppWindow  = 10               // messages under way at once, unless the gateway says otherwise
	smppEnquire = 30 * time.Second // how often a link is tried, unless the gateway says otherwise
	bindTimeout = 5 * time.Second  // from the first packet to the answer to bind
	linger      = 10 * time.Minute // how long a link is kept that nothing is sent by
	awaitMost   = 10 * time.Minute // how long a lost link is opened again for the sake of receipts
	firstRetry  = time.Second      // after a bind that failed; then twice as long, up to lastRetry
	lastRetry   = 30 * time.Second //
	throttled   = 250 * time.Millisecond
)

// link is the way to one SMPP gateway: one bind, opened when something is to be sent and kept
// while receipts may come. It reports them to receipt, which does not block.
type link struct {
	g       mfa.Gateway
	config  *tls.Config // nil: without TLS
	now     func() time.Time
	log     *slog.Logger
	receipt func(smpp.Receipt)
	running *sync.WaitGroup // of the goroutine that run is
	done    chan struct{}   // closed by close

	mu      sync.Mutex
	closed  bool
	runs    bool          // run is under way
	s       *session      // nil: not bound
	making  chan struct{} // closed when the bind under way is over; nil: none is
	failed  error         // of the last bind; nil: it came about
	fails   int           // in a row, and binds that were dropped at once
	next    time.Time     // not before then is it tried again
	used    time.Time     // when something was sent last
	expect  time.Time     // receipts may come until then
	partRef byte          // of the last message in parts
}

func (c *Carrier) newLink(g mfa.Gateway) (*link, error) {
	l := &link{g: g, now: c.Now, log: c.Log, running: &c.links, done: make(chan struct{}),
		receipt: func(r smpp.Receipt) { c.queue(report{gateway: g.Name, receipt: r}) }}
	var ref [1]byte
	_, _ = rand.Read(ref[:]) // never fails
	l.partRef = ref[0]
	if g.TLS == mfa.GatewayTLS {
		host, _, err := net.SplitHostPort(g.Address)
		if err != nil {
			return nil, fmt.Errorf("%w: address %q: %w", mfa.GatewayRefused, g.Address, err)
		}
		if l.config, err = tlsConfig(g, host, c.Now); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// close has the link unbound, and does not wait for it.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.done)
	}
}

var errClosed = errors.New("the gateway was changed or removed, or this server stops")

// session returns the bind, which it opens if need be. now has it opened although the last
// one failed a moment ago.
func (l *link) session(ctx context.Context, now bool) (*session, error) {
	l.mu.Lock()
	for {
		if l.closed {
			l.mu.Unlock()
			return nil, fmt.Errorf("%w: %w", mfa.GatewayDown, errClosed)
		}
		if l.s != nil && l.s.alive() {
			s := l.s
			l.used = l.now()
			l.mu.Unlock()
			return s, nil
		}
		wait := l.next.Sub(l.now())
		switch {
		case l.making == nil && l.failed != nil && wait > 0 && !now:
			err := l.failed
			l.mu.Unlock()
			return nil, fmt.Errorf("%w (it is tried again in %s)", err, wait.Round(time.Second/10))
		case l.making == nil:
			l.making = make(chan struct{})
			if now {
				l.next = time.Time{}
			}
			if !l.runs {
				l.runs = true
				l.running.Go(l.run)
			}
		}
		now = false
		making := l.making
		l.mu.Unlock()
		select {
		case <-making:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: the bind: %w", l.g.Address, ctx.Err())
		}
		l.mu.Lock()
		if l.s == nil && l.failed != nil {
			err := l.failed
			l.mu.Unlock()
			return nil, err
		}
	}
}

// run binds, and binds again when the link is lost, until it is of no use any more.
func (l *link) run() {
	for {
		s, err := l.open()
		l.mu.Lock()
		l.s, l.failed, l.next = s, err, time.Time{}
		if err != nil {
			l.rest()
		}
		if l.making != nil {
			close(l.making)
			l.making = nil
		}
		l.mu.Unlock()
		if s != nil {
			l.hold(s)
		}
		if !l.again() {
			return
		}
	}
}

// rest puts the next bind that nobody asks for off. l.mu is held.
func (l *link) rest() {
	l.fails++
	l.next = l.now().Add(min(firstRetry<<min(l.fails-1, 8), lastRetry))
}

// again reports whether to bind once more, after the time that a failed bind is let rest. A
// caller that wants the link meanwhile and may does not wait for that.
func (l *link) again() bool {
	for {
		l.mu.Lock()
		wanted := l.making != nil
		if l.closed || !wanted && !l.now().Before(l.expect) {
			l.runs = false
			if wanted {
				close(l.making)
				l.making = nil
			}
			l.mu.Unlock()
			return false
		}
		wait := l.next.Sub(l.now())
		if wanted || wait <= 0 {
			if !wanted {
				l.making = make(chan struct{})
			}
			l.mu.Unlock()
			return true
		}
		l.mu.Unlock()
		t := time.NewTimer(min(wait, firstRetry/4))
		select {
		case <-l.done:
		case <-t.C:
		}
		t.Stop()
	}
}

// open connects and binds.
func (l *link) open() (*session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bindTimeout)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() { // ends with this function
		select {
		case <-l.done:
			cancel()
		case <-over:
		}
	}()
	s, err := bind(ctx, l)
	if err != nil {
		if ctx.Err() != nil && !errors.As(err, new(mfa.Reason)) {
			err = fmt.Errorf("%w: %s: the bind: %w", mfa.GatewaySlow, l.g.Address, err)
		}
		err = reasoned(err)
		l.log.Warn("an SMPP gateway could not be bound to", "gateway", l.g.Name, "address", l.g.Address, "error", err)
		return nil, err
	}
	l.log.Info("bound to an SMPP gateway", "gateway", l.g.Name, "address", l.g.Address, "as", l.g.Login, "system", s.peer.SystemID)
	return s, nil
}

// hold keeps the bind until it is lost, of no use any more, or the link is closed.
func (l *link) hold(s *session) {
	every := l.g.SMPP.Enquire
	if every <= 0 {
		every = smppEnquire
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-s.over:
			l.log.Warn("an SMPP gateway has dropped the bind", "gateway", l.g.Name, "error", s.why())
			l.lost(s)
			return
		case <-l.done:
			s.unbind()
			return
		case <-t.C:
		}
		if l.idle() {
			s.unbind()
			l.log.Info("unbound from an SMPP gateway that nothing is sent by", "gateway", l.g.Name)
			return
		}
		if s.quietSince(l.now()) >= every/2 {
			ctx, cancel := context.WithTimeout(context.Background(), min(every, bindTimeout))
			_, err := s.ask(ctx, smpp.EnquireLink, nil)
			cancel()
			if err != nil {
				s.end(fmt.Errorf("enquire_link: %w", err))
			}
		}
	}
}

// lost takes a bind that was dropped from those who could use it. One that was dropped at once
// counts as one that did not come about.
func (l *link) lost(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s = nil
	if l.now().Sub(s.since) < lastRetry {
		l.rest()
	} else {
		l.fails = 0
	}
}

// idle takes a bind that nobody has used for a while from those who could.
func (l *link) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, most := l.now(), linger
	if l.g.Disabled { // it was only tried
		most = 0
	}
	if now.Sub(l.used) < most || now.Before(l.expect) {
		return false
	}
	l.s = nil
	return true
}

// send sends m in as many parts as it takes. What comes back is the name of the first.
func (l *link) send(ctx context.Context, g mfa.Gateway, m Message) (Receipt, error) {
	text := smpp.Encode(string(m.Text.Expose()), g.SMPP.Alphabet == mfa.AlphabetUCS)
	if len(text.Parts) > smpp.MaxParts {
		return Receipt{}, errTooLong
	}
	l.mu.Lock()
	l.partRef++
	ref := l.partRef
	l.mu.Unlock()
	r := Receipt{Parts: len(text.Parts), follows: !g.SMPP.NoReceipts}
	for i := range text.Parts {
		id, err := l.part(ctx, m, text, ref, i)
		if err != nil {
			return Receipt{}, err
		}
		r.refs[i] = id
	}
	r.Ref = r.refs[0]
	return r, nil
}

// part sends one part, and returns its name.
func (l *link) part(ctx context.Context, m Message, text smpp.Body, ref byte, i int) (string, error) {
	p := smpp.Message{From: smpp.From(l.g.From), To: smpp.To(m.To), Text: text.Parts[i]}
	if text.UCS2 {
		p.Coding = smpp.CodingUCS2
	}
	p.Part(l.g.SMPP.Parts, ref, i+1, len(text.Parts))
	life := time.Duration(0)
	if !m.Until.IsZero() {
		life = max(m.Until.Sub(l.now()), time.Second)
	}
	if !l.g.SMPP.NoReceipts {
		p.WithReceipt(life)
	}
	body, err := p.Body()
	if err != nil {
		return "", fmt.Errorf("%w: %w", mfa.GatewayRefused, err)
	}
	answer, err := l.submit(ctx, body)
	if err != nil {
		return "", err
	}
	id, err := smpp.ParseSubmitAnswer(answer.Body)
	if err != nil {
		return "", fmt.Errorf("%w: %w", mfa.GatewayRefused, err)
	}
	if id == "" && !l.g.SMPP.NoReceipts {
		return "", fmt.Errorf("%w: it took the message and gave no id, so no receipt could be told from another", mfa.GatewayRefused)
	}
	l.mu.Lock()
	if end := l.now().Add(min(life, awaitMost)); end.After(l.expect) && !l.g.SMPP.NoReceipts {
		l.expect = end
	}
	l.mu.Unlock()
	return id, nil
}

// submit asks, again and again while the gateway says that it is too busy and there is time.
func (l *link) submit(ctx context.Context, body []byte) (smpp.PDU, error) {
	wait := throttled
	for again := true; ; {
		s, err := l.session(ctx, false)
		if err != nil {
			return smpp.PDU{}, err
		}
		answer, err := s.ask(ctx, smpp.SubmitSM, body)
		if errors.Is(err, errUnsent) && again { // the bind was lost a moment before: another one is worth a try
			again = false
			continue
		}
		if err != nil {
			return answer, err
		}
		if answer.Status != smpp.Throttled && answer.Status != smpp.QueueFull {
			return answer, l.judge("the message", answer.Status)
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) <= wait {
			return answer, fmt.Errorf("%w: it takes no more messages for now: %s", mfa.GatewaySlow, answer.Status)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return answer, fmt.Errorf("%w: it takes no more messages for now: %s", mfa.GatewaySlow, answer.Status)
		}
		wait *= 2
	}
}

// judge turns a status into an error that holds a reason.
func (l *link) judge(what string, s smpp.Status) error {
	if s == smpp.OK {
		return nil
	}
	why := mfa.GatewayRefused
	switch s {
	case smpp.InvalidTarget:
		why = mfa.RecipientRefused
	case smpp.SystemError, smpp.TemporaryError, smpp.UnknownError:
		why = mfa.GatewayDown
	case smpp.Throttled, smpp.QueueFull:
		why = mfa.GatewaySlow
	}
	for _, r := range l.g.SMPP.Refuse {
		if r.Status == int(s) {
			_ = why.UnmarshalText([]byte(r.Reason)) // checked when it was saved
		}
	}
	more := ""
	if s == smpp.AlreadyBound {
		more = " (the account is bound elsewhere: ask the provider for as many binds as the group has servers)"
	}
	return fmt.Errorf("%w: it answered %s to %s%s", why, s, what, more)
}
