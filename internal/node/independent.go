package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"countersign/internal/admin"
	"countersign/internal/adminapi"
	"countersign/internal/cluster"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/pki"
	"countersign/internal/secret"
	"countersign/internal/store"
	"countersign/internal/trail"
)

// coordinatorGroup is the name that the database of an independent coordinator has, so that
// it is not taken for a group's. No group may be called so.
const coordinatorGroup = "countersign-coordinator"

const sweepEvery = 10 * time.Minute

// independent is an independent coordinator, as far as it has been started.
type independent struct {
	*server
	registry *registry.Service
	shown    atomic.Pointer[tls.Certificate]
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
	if err := o.Config.PrepareDataDir(); err != nil {
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
	case l.HTTPS != "" || l.Metrics != "" || len(l.RADIUS)+len(l.Accounting)+len(l.LDAP) > 0:
		return fmt.Errorf("%s: a coordinator runs no front-ends: is this a server's node file? A coordinator's has name, data_dir, listen.coordinator and log", where)
	case l.Peer != "":
		return fmt.Errorf("%s: listen.peer is set, but this version runs one coordinator, not several: remove it", where)
	case c.TLS.CertFile != "":
		return fmt.Errorf("%s: tls.cert_file is set, but servers believe only certificates of the coordinator's own CA in this version: remove it", where)
	}
	_, err := advertised("coordinator", c.Advertise.Coordinator, c.Listen.Coordinator)
	return err
}

// open opens what the database and the folder hold. Tasks that must run go to data.
func (c *independent) open(ctx context.Context, data *stage) error {
	if _, err := c.node.Barrier(ctx); err != nil {
		return fmt.Errorf("the database in %s does not become ready: %w", c.Config.DataDir, err)
	}
	keyset, err := store.LoadKeyset(ctx, c.node, c.Config.Name, c.id.wrap)
	if err != nil {
		return err
	}
	c.ring = keyring.NewRing(keyset)
	ca, err := registry.EnsureCA(ctx, c.node, c.ring, "coordinator "+c.Config.Name, c.Now())
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
	address, err := advertised("coordinator", c.Config.Advertise.Coordinator, c.Config.Listen.Coordinator)
	if err != nil {
		return err
	}
	c.registry = &registry.Service{Name: c.Config.Name, Addresses: []string{address}, KV: c.node, Ring: c.ring, CA: ca, Trail: c.trail,
		Limits: group.DefaultLimits, Now: c.Now, Log: c.log.Logger("coordinator")}
	return nil
}

// RunCoordinator runs an independent coordinator until ctx is done.
func RunCoordinator(ctx context.Context, o Options) (err error) {
	c := &independent{server: &server{Options: o}}
	c.started = c.Now()
	if err := coordinatorConfig(o); err != nil {
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
		stopped := running.unwind(stopTimeout)
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
	c.own.Info("stopping")
	return nil
}

func (c *independent) start(ctx context.Context, fail func(error), running *stack) (err error) {
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c.id, err = loadIdentity(c.Config.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no coordinator in %s: found one with `countersign coordinator init%s`", c.Config.DataDir, c.configFlag())
	}
	if err != nil {
		return err
	}
	options := c.clusterOptions()
	options.Group = coordinatorGroup
	if c.node, err = cluster.Open(starting, options); err != nil {
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
	port, err := c.listenTCP("listen.coordinator", c.Config.Listen.Coordinator)
	if err != nil {
		return err
	}
	running.push("close the port", func() error { _ = port.Close(); return nil })
	socket, err := adminapi.ListenSocket(SocketPath(c.Config.DataDir))
	if err != nil {
		return err
	}
	c.bound = Addresses{Coordinator: port.Addr().String(), Socket: SocketPath(c.Config.DataDir)}
	c.registry.Begin()
	edges := newStage(ctx, fail)
	running.stage(edges)
	edges.run("coordinator", func(ctx context.Context) error {
		return adminapi.Serve(ctx, tls.NewListener(port, c.tlsConfig()), coordinator.Independent(c.registry, ctx.Done()), c.log.Logger("coordinator"))
	})
	api := adminapi.NewCoordinator(c, c.Version, c.log.Logger("api"))
	edges.run("admin socket", func(ctx context.Context) error { return adminapi.Serve(ctx, socket, api, c.log.Logger("http")) })
	edges.run("own care", c.care)
	return nil
}

// care renews the coordinator's own certificate and removes old codes, until ctx is done.
func (c *independent) care(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		err := errors.Join(c.renewOwn(), c.registry.Sweep(ctx))
		if err != nil && ctx.Err() == nil {
			c.own.Error("the coordinator's own certificate or old codes could not be cared for; the next try is in a while", "error", err)
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
	pool := x509.NewCertPool()
	pool.AddCert(c.registry.CA.Certificate())
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.shown.Load(), nil }}
}

// Overview implements adminapi.Coordinator.
func (c *independent) Overview(ctx context.Context) (group.Overview, error) {
	return c.registry.Overview(ctx)
}

// CreateActivation implements adminapi.Coordinator.
func (c *independent) CreateActivation(ctx context.Context, by string, r admin.FoundingRequest) (admin.ActivationCode, error) {
	life := 10 * time.Minute
	if r.Seconds > 0 {
		life = time.Duration(r.Seconds) * time.Second
	}
	text, expires, err := c.registry.CreateFoundingCode(ctx, by, r.Group, life)
	return admin.ActivationCode{Code: &secret.Wire{Text: secret.FromString(text)}, Group: r.Group, Role: group.RoleFounder, Expires: expires}, err
}

// Retire implements adminapi.Coordinator.
func (c *independent) Retire(ctx context.Context, by string, r admin.RetireRequest) (admin.Removed, error) {
	if r.Server == "" {
		return admin.Removed{Removed: r.Group}, c.registry.RetireGroup(ctx, by, r.Group)
	}
	return admin.Removed{Removed: r.Group + "/" + r.Server}, c.registry.RetireServer(ctx, by, r.Group, r.Server)
}
