package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"countersign/internal/admin"
	"countersign/internal/adminapi"
	"countersign/internal/approval"
	"countersign/internal/authn"
	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/coordinator"
	"countersign/internal/directory"
	"countersign/internal/enroll"
	"countersign/internal/gateway"
	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/keyring"
	"countersign/internal/logging"
	phonecall "countersign/internal/method/call"
	"countersign/internal/method/push"
	"countersign/internal/policy"
	"countersign/internal/radiusd"
	"countersign/internal/session"
	"countersign/internal/store"
	"countersign/internal/trail"
	"countersign/internal/webpush"
)

const (
	stopTimeout  = 10 * time.Second // of the process: whoever stops it kills it soon
	againTimeout = time.Minute      // of a run that another follows in this process
	startTimeout = 5 * time.Minute  // a large database, a slow disk
)

// Options says which server to run. All fields must be set, but for Ready and Silence.
type Options struct {
	Config  config.Config
	Version string
	Stdout  io.Writer        // what a person is told
	Stderr  io.Writer        // the log, unless it goes to a file
	Now     func() time.Time //
	Ready   func(Addresses)  // called once when the server answers; may be nil

	// Silence is for how long a majority must have been silent to be taken for destroyed; 0:
	// group.DestroyedAfter. Tests set it.
	Silence time.Duration
}

// Addresses are what a running server listens on; a front-end that is off is empty.
type Addresses struct {
	Socket      string
	HTTPS       string
	Console     string
	Portal      string
	Metrics     string
	RADIUS      []string
	Accounting  []string
	Peer        string
	Coordinator string
}

// server is a running server, as far as it has been started.
type server struct {
	Options
	levels   *logging.Levels
	log      *logging.Log
	own      *slog.Logger // of this package
	id       identity
	started  time.Time
	instance string                // names this run of the program, at random
	small    bool                  // a demo or a test: no reserve on disk
	outdated atomic.Pointer[error] // another server says that this program is too old for the group
	witness  bool                  // votes only: no keys, no front-ends
	work     int                   // of a backup's passphrase; 0: scryptWork

	node      *cluster.Node
	ring      *keyring.Ring
	store     *store.Store
	trail     *trail.Trail
	index     *trail.Index
	ledger    *ledger
	parked    *parkedCopies
	checker   *directory.Checker
	members   *directory.Groups // who is in the groups of directories that help desks are limited to
	carrier   *gateway.Carrier
	follows   atomic.Pointer[gateway.Carrier] // the same, for who runs before it is there
	countries policy.Countries                // of addresses, for policy rules
	engine    *authn.Engine
	admin     *admin.Service
	enroll    *enroll.Service
	push      *push.Method
	pushes    *webpush.Sender
	copies    *copies
	calls     *phonecall.Method
	vapid     vapidKey
	approval  *approval.Service
	sessions  *session.Keeper
	certs     *certificates

	partCerts []*certificates // of console and portal, where the node file names some
	metrics   *metrics
	clock     *clockCheck
	mended    recovered
	isolated  bool // no master answered at the start
	cutTrail  bool // the trail is not what the database knew of it at the start
	radius    *radiusd.Server
	bound     Addresses
	standing  standing
	ping      ping
	alarms    alarms
	steady    atomic.Pointer[time.Time]        // when this server was last without a master; nil: not since the start
	mastered  atomic.Pointer[time.Time]        // when this server learnt who the master is now; nil: not yet, or there is only this one
	fronts    atomic.Pointer[[]group.Listener] // what listens, once all of it does

	peers       *peering // nil: no peer port
	heard       heard
	kept        kept // what the run before this one has heard
	group       *group.Service
	coordinator http.Handler
	admission   http.Handler              // what of that this server answers as the master
	link        *coordinator.Link         // to the group's independent coordinator; nil: it is its own
	founding    *outside                  // the coordinator of a group that is being founded
	formerly    []string                  // URLs of that of a group that is being restored
	was         atomic.Pointer[string]    // the membership that has just ended: join anew; "": none
	removed     atomic.Bool               // the database ended because this server was removed
	aside       atomic.Pointer[aside]     // why this server decides nothing; nil: it does
	joined      *cluster.Node             // the database, if the run before this one has joined anew
	next        *cluster.Node             // the same, for the next run
	parted      atomic.Pointer[time.Time] // since when the database is closed and fetched anew, while other servers decide; nil: it is there
	inVain      atomic.Pointer[error]     // why the last try to join came to nothing
	again       atomic.Bool               // this run ends because the next one is of a later epoch
	ahead       chan string               // servers that know a later epoch
	testified   chan told                 // what servers of a later epoch have said, as others passed it on
	testimony   testimony                 // the same, to be passed on
	absurd      rate.Sometimes            // says that one tells an epoch that cannot be
	promoting   sync.Mutex                // held while a new epoch is begun
	fail        func(error)               // ends this run
	colleagues  *registry.Colleagues      // the coordinators, if this is one of them; nil: it is a server
}

// Run runs a server until ctx is done. Every goroutine has ended when it returns. An error
// is for the operator: what is in the way, and what to do.
func Run(ctx context.Context, o Options) error {
	was := ""
	last := &server{}
	for {
		s := &server{Options: o, joined: last.next}
		if last.next != nil {
			s.log, s.levels = last.log, last.levels // which the database writes to
		}
		s.was.Store(&was)
		err := s.run(ctx, nil)
		if s.joined != nil { // what comes before the database was in the way
			s.joined.Close()
		}
		if ctx.Err() != nil && errors.Is(err, context.Canceled) && s.joins() {
			err = nil // whoever stops a server that joins does not ask whether it could have
		}
		if last = s; s.next != nil && ctx.Err() == nil && !errors.Is(err, errStuck) {
			continue
		}
		if s.next != nil {
			s.next.Close()
			s.log.Close()
		}
		if errors.Is(err, errStuck) { // its ports and files are still held: a new process has none of that
			return err
		}
		if ctx.Err() == nil && s.again.Load() {
			was = ""
			continue
		}
		if errors.Is(err, errForgotten) && !s.removed.Load() { // the master said so
			return errors.Join(markLeft(o.Config.DataDir, ""), errLeft(o.Config))
		}
		if ctx.Err() != nil || !s.removed.Load() {
			return err
		}
		was = s.before() // taken out by a rebalance, or for good: the master tells when it is asked
	}
}

// run is Run; prepare, if not nil, is called when everything works and nothing is served.
func (s *server) run(ctx context.Context, prepare func(context.Context) error) (err error) {
	s.started, s.instance = s.Now(), rand.Text()
	s.ahead, s.testified, s.absurd = make(chan string, 4), make(chan told, 4), rate.Sometimes{First: 1, Interval: time.Minute}
	if err := noSuchFront(s.Config); err != nil {
		return err
	}
	if err := s.openLog(); err != nil {
		return err
	}
	defer func() {
		if s.next == nil {
			s.log.Close()
		}
	}()

	outer := ctx
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s.fail = fail
	var running stack
	defer func() {
		notify("STOPPING=1")
		s.noteRemoval()
		stopped := running.unwind(s.patience())
		switch cause := context.Cause(ctx); {
		case outer.Err() != nil && s.removed.Load() && err == nil && !errors.Is(stopped, errStuck):
			if stopped != nil { // the membership's end, which is over with the stop
				s.own.Info("stopped while this server was joining its group again", "had_ended", stopped)
				return
			}
		case err != nil || stopped != nil:
			err = errors.Join(err, stopped)
		case cause != nil && !errors.Is(cause, context.Canceled):
			err = cause
		}
		if err == nil {
			s.own.Info("stopped")
		}
	}()
	if err := s.start(ctx, func(e error) { fail(e) }, &running, prepare); err != nil {
		return err
	}
	notify("READY=1")
	s.own.Info("ready", s.readiness()...)
	if s.Ready != nil {
		s.Ready(s.bound)
	}
	<-ctx.Done()
	s.rejoin(outer)
	cause := context.Cause(ctx)
	if outer.Err() != nil {
		cause = context.Cause(outer)
	}
	s.own.Info("stopping", "cause", cause)
	return nil
}

// readiness is what the log says of a server that is ready: the addresses that it has.
func (s *server) readiness() []any {
	said := []any{"version", s.Version, "group", s.node.Group(), "epoch", s.node.Epoch(), "users", s.store.CountUsers()}
	if len(s.bound.RADIUS) > 0 {
		said = append(said, "radius", s.bound.RADIUS)
	}
	for _, one := range []struct{ kind, address string }{{"https", s.bound.HTTPS}, {"console", s.bound.Console}, {"portal", s.bound.Portal}, {"metrics", s.bound.Metrics}} {
		if one.address != "" {
			said = append(said, one.kind, one.address)
		}
	}
	return append(said, "after", s.Now().Sub(s.started).Round(time.Millisecond).String())
}

// patience is how long the end of this run may take.
func (s *server) patience() time.Duration {
	if s.next != nil || s.again.Load() || s.removed.Load() {
		return againTimeout
	}
	return stopTimeout
}

func (s *server) openLog() (err error) {
	if s.log == nil {
		l := s.Config.Log
		s.levels = logging.NewLevels(l.Level, l.Components, s.Now)
		s.log, err = logging.New(logging.Options{Format: l.Format, File: l.File, Stderr: s.Stderr, Levels: s.levels})
	}
	if err != nil {
		return err
	}
	s.own = s.log.Logger("node")
	return nil
}

// start brings the server up, stage by stage, from the database to the front-ends.
func (s *server) start(ctx context.Context, fail func(error), running *stack, prepare func(context.Context) error) error {
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.openPort(starting, fail, running); err != nil {
		return err
	}
	if err := s.openDatabase(ctx, starting); err != nil {
		return err
	}
	running.push("close the database", func() error { s.node.Close(); return nil })
	base := newStage(ctx, fail)
	running.stage(base)
	base.run("database", s.node.Run)
	if !s.hasOthers() && !s.node.Cast() {
		if err := s.node.Recall(starting); err != nil {
			return fmt.Errorf("the database in %s does not become ready: %w", s.Config.DataDir, err)
		}
	}

	if s.witness {
		return s.startWitness(ctx, starting, fail, running, prepare)
	}
	if err := s.openStore(starting); err != nil {
		return err
	}
	data := newStage(ctx, fail)
	running.stage(data)
	data.run("records", s.store.Run)
	data.run("trail", s.trail.Run)
	if err := s.load(starting); err != nil {
		return fmt.Errorf("load the records: %w", err)
	}
	if err := s.fitsRecords(); err != nil {
		return err
	}
	if err := s.beginEpoch(starting); err != nil {
		return fmt.Errorf("record how epoch %d began: %w", s.node.Epoch(), err)
	}
	running.push("close the ledger", s.closeLedger)
	if err := s.recover(starting); err != nil {
		return err
	}

	if err := s.assemble(starting); err != nil {
		return err
	}
	running.push("close the connections to gateways", func() error { s.carrier.Close(); return nil })
	running.push("close the connections to push services", func() error { s.pushes.Close(); return nil })
	s.assembleGroup()
	services := newStage(ctx, fail)
	running.stage(services)
	services.run("engine", s.engine.Run)
	services.run("push", s.push.Run)
	services.run("calls", s.calls.Run)
	services.run("waits", s.tidyWaits)
	services.run("passwords and directories", s.checker.Run)
	services.run("directory groups", s.members.Run)
	services.run("callbacks", func(ctx context.Context) error { return s.admin.RunCallbacks(ctx, s.log.Logger("callback")) })
	services.run("administration", s.admin.Run)
	services.run("use of tokens", s.admin.RunUses)
	services.run("idempotency keys", s.admin.RunRequests)
	services.run("trail index", s.index.Run)
	services.run("sessions", s.sessions.Run)
	services.run("receipts", s.carrier.Run)
	services.run("notices", s.carryNotices)
	services.run("copied passkeys", s.copies.run)
	if s.aside.Load() == nil {
		services.run("trail head", func(ctx context.Context) error { return s.trail.SaveHead(ctx, s.saveHead) })
		services.run("ledger", s.ledger.run)
		services.run("parked copies", s.parked.run)
		services.run("former copies", s.keepFormer)
	}
	services.run("clock", s.clock.run)
	services.run("certificates", s.certs.run)
	for _, c := range s.partCerts {
		services.run("certificates of "+c.part, c.run)
	}
	services.run("settings", s.watchSettings)
	s.runGroup(services)
	services.run("watchdog", func(ctx context.Context) error { return watchdog(ctx, s.alive) })
	if prepare != nil {
		if err := prepare(starting); err != nil {
			return err
		}
	}
	return s.serve(ctx, fail, running)
}

// runGroup starts what a server does for its group, a witness too.
func (s *server) runGroup(services *stage) {
	s.runSchema(services)
	services.run("alarms", s.watchAlarms)
	if s.peers == nil {
		return
	}
	services.run("other servers", s.hear)
	services.run("member records", s.keepRoster)
	services.run("last heard", s.keepHeard)
	services.run("testimony", s.gatherTestimony)
	services.run("own record", s.introduce)
	services.run("peer certificate", s.renewPeer)
	services.run("votes", s.group.Run)
	services.run("master", s.announce)
	if s.link != nil {
		services.run("coordinator", s.tellOutside)
		services.run("new servers", s.answerLetters)
	} else {
		services.run("coordinator's answer", s.keepStanding)
	}
}

// serve opens the front-ends: all of them or none.
func (s *server) serve(ctx context.Context, fail func(error), running *stack) error {
	edges := newStage(ctx, fail)
	api := s.adminAPI()
	web, err := s.web(api)
	if err != nil {
		return err
	}
	fronts, err := s.listen()
	if err != nil {
		return err
	}
	running.stage(edges)
	open := s.listeners()
	s.fronts.Store(&open)
	httpLog := s.log.Logger("http")
	edges.run("admin socket", func(ctx context.Context) error { return adminapi.Serve(ctx, fronts.socket, api, httpLog) })
	s.serveSites(edges, fronts.sites, web)
	if fronts.coordinator != nil {
		edges.run("coordinator", func(ctx context.Context) error {
			return adminapi.Serve(ctx, fronts.coordinator, s.besideConsole(s.coordinator), s.log.Logger("coordinator"))
		})
	}
	if fronts.metrics != nil {
		mux := healthMux(s.metrics, s.reasons, s.warnings)
		edges.run("metrics", func(ctx context.Context) error { return adminapi.Serve(ctx, fronts.metrics, mux, httpLog) })
	}
	if len(s.Config.Listen.RADIUS)+len(s.Config.Listen.Accounting) > 0 {
		edges.run("radius", s.radius.Run)
	}
	return nil
}
