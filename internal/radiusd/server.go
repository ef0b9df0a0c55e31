// Package radiusd is the RADIUS front-end: it reads datagrams, proves what can be proven
// about them, hands each Access-Request once to an mfa.Authenticator and sends what that
// decides. It holds no decision about users. What is not proven to come from a client
// that we know is never answered.
package radiusd

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/radius"
)

const (
	// maxHandlers bounds the requests that are worked on at a time, and with them the
	// memory: 9 KiB each. What comes on top is dropped and counted; the client repeats it.
	maxHandlers = 4096
	// maxWaiting bounds those that wait for a person, besides; they take the memory and next to
	// nothing else.
	maxWaiting = 16384
	// maxResting bounds the goroutines that wait for the next request.
	maxResting = 256
	// housekeeping is how often unfinished business is looked after.
	housekeeping = 10 * time.Second
)

// Server answers RADIUS on a set of UDP sockets. All exported fields must be set, but
// for Auth and Acct, which may be empty, before Listen is called, and not be changed
// afterwards.
type Server struct {
	Auth          []string             // host:port for authentication; an empty host is every address of the machine
	Acct          []string             // host:port for accounting
	Authenticator mfa.Authenticator    // decides
	Timeout       func() time.Duration // for one decision; clients give up after 3 to 60 s
	Waiting       func() time.Duration // for a person who acts elsewhere, besides
	Applications  Applications
	NASes         NASes
	Ready         func() error // nil: decisions are possible; Status-Server is answered only then
	Metrics       Metrics
	Log           *slog.Logger
	Now           func() time.Time

	sockets    []*socket
	clients    clients
	peers      peers
	duplicates duplicates
	noise      noise
	sights     sights
	jobs       sync.Pool // of *job
	deadlines  deadlines
	patient    deadlines     // of requests that wait for a person: they end when the server is to end
	slots      chan struct{} // one for each request that is worked on
	waits      chan struct{} // one for each that waits for a person
	handlers   sync.WaitGroup
	todo       chan *job     // to a goroutine that rests
	resting    chan struct{} // one for each of those
	workers    sync.WaitGroup
}

// job is one datagram from its arrival to its answer. It is used again.
type job struct {
	socket  *socket
	from    netip.AddrPort // where the answer goes
	addr    netip.Addr     // who sent it: from without zone
	client  *client
	peer    *peer
	packet  radius.Packet // points into in
	fields  fields        // points into in
	signed  bool          // a valid Message-Authenticator
	leg     mfa.LegID
	waiting bool // has a slot of those that wait for a person
	in      [radius.MaxLen]byte
	out     [radius.MaxLen + 64]byte
	control [96]byte // tells which of our addresses was asked
	told    int      // bytes of it
}

// prepare makes what is needed before the first packet.
func (s *Server) prepare() {
	s.clients.source = s.Applications
	s.clients.log = s.Log
	s.peers.init()
	s.duplicates.init()
	s.noise.log = s.Log
	s.deadlines.base, s.patient.base = context.Background(), context.Background() // until Run
	s.jobs.New = func() any { return new(job) }
	s.slots = make(chan struct{}, maxHandlers)
	s.waits = make(chan struct{}, maxWaiting)
	s.todo = make(chan *job)
	s.resting = make(chan struct{}, maxResting)
}

// Run answers until ctx is done. It then reads no more, lets the requests that are being
// worked on end within their time-out, closes the sockets and returns nil. Listen must
// have been called.
func (s *Server) Run(ctx context.Context) error {
	if s.slots == nil {
		return errors.New("radiusd: Run without Listen")
	}
	stop := context.AfterFunc(ctx, func() {
		for _, k := range s.sockets {
			_ = k.conn.SetReadDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	idle, done := context.WithCancel(context.WithoutCancel(ctx)) // ends when nothing is worked on
	defer done()
	s.deadlines.base, s.patient.base = idle, ctx
	var readers, clerk sync.WaitGroup
	for _, k := range s.sockets {
		for range max(2, runtime.GOMAXPROCS(0)) {
			readers.Go(func() { s.read(ctx, k) })
		}
	}
	clerk.Go(func() { s.keepHouse(idle) })
	<-ctx.Done()
	readers.Wait()
	s.handlers.Wait()
	close(s.todo)
	s.workers.Wait()
	done()
	clerk.Wait()
	return s.Close()
}

// Close closes the sockets of a server that does not run.
func (s *Server) Close() error {
	var errs []error
	for _, k := range s.sockets {
		errs = append(errs, k.conn.Close())
	}
	s.sockets = nil
	return errors.Join(errs...)
}

// keepHouse saves what was learnt about clients and reports what was not logged, until
// ctx is done, and once more then.
func (s *Server) keepHouse(ctx context.Context) {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*recordTimeout)
			s.savePeers(last)
			cancel()
			s.noise.roll(s.Now().Add(noiseWindow))
			return
		case <-tick.C:
			s.savePeers(ctx)
			s.noise.roll(s.Now())
		}
	}
}

// read reads one socket until ctx is done. Several goroutines read each socket: while
// one looks at a packet another waits for the next.
func (s *Server) read(ctx context.Context, k *socket) {
	j := s.jobs.Get().(*job)
	for inRow := 0; ; {
		n, err := k.receive(j)
		if err != nil && (ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)) {
			return
		}
		if err != nil { // the network's trouble, such as an ICMP error that Windows reports here
			s.complain(slog.LevelWarn, "read", netip.Addr{}, "reading a RADIUS socket", "listener", k.name, "error", err)
			if inRow++; inRow > 16 {
				pause(ctx, 100*time.Millisecond)
			}
			continue
		}
		inRow = 0
		if s.receive(j, j.in[:n]) {
			j = s.jobs.Get().(*job)
		}
	}
}

// dispatch hands j to a goroutine that rests, or to a new one.
func (s *Server) dispatch(j *job) {
	s.handlers.Add(1)
	select {
	case s.todo <- j:
	default:
		s.workers.Go(func() { s.work(j) })
	}
}

// work handles j and then what comes next, until Run ends. A goroutine that stays keeps
// the stack that it has grown: growing one for each request was a fourteenth of the
// processor time of a sign-in.
func (s *Server) work(j *job) {
	for ok := true; ok; {
		s.handle(j)
		select {
		case s.resting <- struct{}{}:
		default:
			return
		}
		j, ok = <-s.todo
		<-s.resting
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
