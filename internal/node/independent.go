package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"countersign/internal/admin"
	"countersign/internal/adminapi"
	"countersign/internal/cluster"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/pki"
	"countersign/internal/store"
	"countersign/internal/trail"
	"countersign/internal/web"
)

// coordinatorGroup is no group's name; its database is an independent coordinator's.
const coordinatorGroup = admin.CoordinatorGroup

const sweepEvery = time.Minute

// independent is an independent coordinator, as far as it has been started.
type independent struct {
	*server
	registry *registry.Service
	shown    atomic.Pointer[tls.Certificate]
	looked   atomic.Pointer[looked] // nil: it does not lead

	leading sync.Mutex
	term    uint64 // in which this coordinator began to lead last; under leading
}

// InitCoordinator founds an independent coordinator on this machine: its keys, its database
// and the CA of the groups that will use it.
func InitCoordinator(ctx context.Context, o Options) (err error) {
	c := &independent{server: &server{Options: o}}
	if err := c.openLog(); err != nil {
		return err
	}
	defer c.log.Close()
	if err := coordinatorConfig(o); err != nil {
		return err
	}
	if err := prepareFolder(o.Config); err != nil {
		return err
	}
	undo, err := c.claim()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			undo()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options := c.clusterOptions()
	options.Group = coordinatorGroup
	if c.node, err = cluster.Found(ctx, options); err != nil {
		return err
	}
	defer c.node.Close()
	keyset, err := keyring.New(nil, c.Now())
	if err != nil {
		return err
	}
	if err := store.PutKeyset(ctx, c.node, o.Config.Name, c.id.wrap.Recipient(), keyset); err != nil {
		return err
	}
	failed := make(chan error, 2)
	data := newStage(ctx, func(err error) { failed <- err })
	defer func() { err = errors.Join(err, data.stop()) }()
	if err := c.open(ctx, data); err != nil {
		return err
	}
	act := mfa.Act{Time: c.Now(), Server: o.Config.Name, By: "operator", Verb: "coordinator init", Object: o.Config.Name}
	return c.trail.Append(ctx, mfa.Record{Act: &act})
}

// coordinatorConfig checks that the file is a coordinator's.
func coordinatorConfig(o Options) error {
	c := o.Config
	where := c.Path
	if where == "" {
		where = "the settings"
	}
	switch l := c.Listen; {
	case l.Coordinator == "":
		return fmt.Errorf("%s: listen.coordinator is not set: it is the port that servers call, for example :443", where)
	case l.HTTPS != "" || len(l.RADIUS)+len(l.Accounting)+len(l.LDAP) > 0:
		return fmt.Errorf("%s: a coordinator runs no front-ends: is this a server's node file? A coordinator's has name, data_dir, listen.coordinator, listen.peer (if there are several), listen.metrics, log and tls", where)
	}
	_, _, _, err := addresses(c)
	return err
}

// open opens what the database and the folder hold, by the local copy: a coordinator that
// reaches no majority starts too, and says so. Tasks that must run go to data.
func (c *independent) open(ctx context.Context, data *stage) error {
	if !c.hasOthers() {
		if err := c.node.Recall(ctx); err != nil {
			return fmt.Errorf("the database in %s does not become ready: %w", c.Config.DataDir, err)
		}
	}
	keyset, err := store.LoadKeyset(ctx, c.node, c.Config.Name, c.id.wrap)
	if err != nil {
		return err
	}
	c.ring = keyring.NewRing(keyset)
	ca, err := registry.ReadCA(ctx, c.node, c.ring)
	if errors.Is(err, mfa.ErrNotFound) {
		ca, err = registry.EnsureCA(ctx, c.node, c.ring, "coordinator "+c.Config.Name, c.Now())
	}
	if err != nil {
		return err
	}
	if err := c.writeCA(ca.CertificatePEM()); err != nil {
		return err
	}
	c.trail, err = trail.Open(trail.Options{Dir: c.trailDir(), Server: c.Config.Name, Log: c.log.Logger("trail"), Now: c.Now})
	if err != nil {
		return err
	}
	data.run("trail", c.trail.Run)
	_, address, _, err := addresses(c.Config)
	if err != nil {
		return err
	}
	c.colleagues = &registry.Colleagues{KV: c.node, Ring: c.ring, Keyset: func(name, recipient string) (string, []byte, error) {
		return store.KeysetRecord(name, recipient, c.ring.Keyset())
	}}
	data.run("coordinators", c.colleagues.Run)
	if err := c.colleagues.Ready(ctx); err != nil {
		return err
	}
	if err := c.openOperators(ctx, data); err != nil {
		return err
	}
	c.registry = &registry.Service{Name: c.Config.Name, Addresses: []string{address}, Others: c.others, Leads: c.lead, KV: c.node, Ring: c.ring, CA: ca,
		Trail: c.trail, Limits: group.DefaultLimits, Now: c.Now, Log: c.log.Logger("coordinator")}
	return nil
}

// RunCoordinator runs an independent coordinator until ctx is done.
func RunCoordinator(ctx context.Context, o Options) error {
	was := ""
	for {
		c := &independent{server: &server{Options: o}}
		c.was.Store(&was)
		err := c.run(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, errStuck):
			return err
		case errors.Is(err, errForgotten) && !c.removed.Load():
			return errors.Join(markLeft(o.Config.DataDir, coordinatorGroup), errOut(o.Config))
		case !c.removed.Load():
			return err
		}
		was = c.before() // taken out to become a learner, or for good: who leads tells when it is asked
	}
}

func (c *independent) run(ctx context.Context) (err error) {
	c.started, c.instance = c.Now(), rand.Text()
	c.ahead, c.testified, c.absurd = make(chan string, 4), make(chan told, 4), rate.Sometimes{First: 1, Interval: time.Minute}
	if err := coordinatorConfig(c.Options); err != nil {
		return err
	}
	if err := c.openLog(); err != nil {
		return err
	}
	defer c.log.Close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var running stack
	defer func() {
		notify("STOPPING=1")
		c.noteRemoval()
		stopped := running.unwind(c.patience())
		switch cause := context.Cause(ctx); {
		case err != nil || stopped != nil:
			err = errors.Join(err, stopped)
		case cause != nil && !errors.Is(cause, context.Canceled):
			err = cause
		}
		if err == nil {
			c.own.Info("stopped")
		}
	}()
	if err := c.start(ctx, func(e error) { fail(e) }, &running); err != nil {
		return err
	}
	notify("READY=1")
	c.own.Info("coordinator ready", "version", c.Version, "name", c.Config.Name, "coordinator", c.bound.Coordinator,
		"after", c.Now().Sub(c.started).Round(time.Millisecond).String())
	if c.Ready != nil {
		c.Ready(c.bound)
	}
	<-ctx.Done()
	c.own.Info("stopping", "cause", context.Cause(ctx))
	return nil
}

func (c *independent) start(ctx context.Context, fail func(error), running *stack) (err error) {
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if hasLeft(c.Config.DataDir) {
		return errOut(c.Config)
	}
	c.id, err = loadIdentity(c.Config.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no coordinator in %s: found one with `countersign coordinator init%s`, or join others with `countersign coordinator join CODE%s`", c.Config.DataDir, c.configFlag(), c.configFlag())
	}
	if err != nil {
		return err
	}
	if err := c.openColleagues(starting); err != nil {
		return err
	}
	if err := c.listenPeer(ctx, fail, running); err != nil {
		return err
	}
	if err := c.openRegistry(ctx, starting); err != nil {
		return err
	}
	running.push("close the database", func() error { c.node.Close(); return nil })
	base := newStage(ctx, fail)
	running.stage(base)
	base.run("database", c.node.Run)
	data := newStage(ctx, fail)
	running.stage(data)
	if err := c.open(starting, data); err != nil {
		return err
	}
	if err := c.renewOwn(); err != nil {
		return err
	}
	c.certs = &certificates{config: c.Config, now: c.Now, log: c.own}
	if err := c.loadGiven(); err != nil {
		return err
	}
	if err := c.assembleCare(); err != nil {
		return err
	}
	_ = c.lead() // if it does, it listens from now on
	edges := newStage(ctx, fail)
	c.assembleColleagues(edges.ctx.Done())
	services := newStage(ctx, fail)
	running.stage(services)
	c.runColleagues(services)
	c.runPortal(services)
	running.stage(edges)
	return c.serve(edges)
}

// serve opens the ports, all or none.
func (c *independent) serve(edges *stage) error {
	public, err := c.public()
	if err != nil {
		return err
	}
	port, err := c.listenTCP("listen.coordinator", c.Config.Listen.Coordinator)
	if err != nil {
		return err
	}
	health, err := c.listenTCP("listen.metrics", c.Config.Listen.Metrics)
	if err != nil {
		_ = port.Close()
		return err
	}
	socket, err := adminapi.ListenSocket(SocketPath(c.Config.DataDir))
	if err != nil {
		_ = port.Close()
		if health != nil {
			_ = health.Close()
		}
		return err
	}
	if health != nil {
		c.bound.Metrics = health.Addr().String()
		edges.run("metrics", func(ctx context.Context) error {
			return adminapi.Serve(ctx, health, c.healthHandler(), c.log.Logger("http"))
		})
	}
	c.bound.Coordinator, c.bound.Socket = port.Addr().String(), SocketPath(c.Config.DataDir)
	open := c.listeners()
	c.fronts.Store(&open)
	edges.run("coordinator", func(ctx context.Context) error {
		return adminapi.Serve(ctx, tls.NewListener(port, c.tlsConfig()), web.OverTLS(public), c.log.Logger("coordinator"))
	})
	edges.run("first administrator", c.offerSetup)
	api := adminapi.NewCoordinator(c, c.admin, c.enroll, c.Version, c.log.Logger("api"))
	edges.run("admin socket", func(ctx context.Context) error { return adminapi.Serve(ctx, socket, api, c.log.Logger("http")) })
	edges.run("own care", c.care)
	return nil
}

// care renews the coordinator's own certificates and removes old codes, until ctx is done.
func (c *independent) care(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		err := errors.Join(c.renewOwn(), c.renewPeer(), c.loadGiven(), c.sweep(ctx))
		if err != nil && ctx.Err() == nil {
			c.own.Error("the coordinator's own certificates or old codes could not be cared for; the next try is in a while", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// renewOwn issues the certificate that the coordinator shows, if there is none or it is due.
// It shows the CA's beside: who has an activation code knows that by its digest alone.
func (c *independent) renewOwn() error {
	if now := c.shown.Load(); now != nil && !pki.Due(now.Leaf, c.Now()) {
		return nil
	}
	pair, err := c.registry.OwnCertificate(c.Now())
	if err != nil {
		return err
	}
	cert, err := pair.TLS()
	if err != nil {
		return err
	}
	cert.Certificate = append(cert.Certificate, c.registry.CA.Certificate().Raw)
	c.shown.Store(&cert)
	return nil
}

// tlsConfig lets strangers come without a certificate; who shows one must have it from here.
func (c *independent) tlsConfig() *tls.Config {
	own := coordinator.ServerTLS(c.registry.CA.Certificate(), c.shown.Load)
	given := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: own.NextProtos,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.certs.current.Load(), nil }}
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if c.certs.current.Load() == nil || slices.Contains(hello.SupportedProtos, coordinator.Protocol) {
			return own, nil
		}
		return given, nil
	}}
}

// loadGiven reads the operator's certificate, if the node file names one: people see it who
// look at the coordinator's port. Servers know a coordinator by that of its CA.
func (c *independent) loadGiven() error {
	if c.Config.TLS.CertFile == "" {
		return nil
	}
	return c.certs.load()
}
