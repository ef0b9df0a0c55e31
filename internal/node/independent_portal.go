package node

import (
	"context"
	"fmt"
	"net/http"

	"countersign/internal/admin"
	"countersign/internal/authn"
	"countersign/internal/challenge"
	"countersign/internal/console"
	"countersign/internal/coordinator"
	"countersign/internal/directory"
	"countersign/internal/enroll"
	"countersign/internal/method/otp"
	"countersign/internal/mfa"
	"countersign/internal/session"
	"countersign/internal/store"
	"countersign/internal/trail"
	"countersign/internal/web"
)

// operatorsPrefix is where, in the database of the coordinators, the records of those lie who
// sign in to the management portal: a store as a group has one, beside those of package
// registry.
const operatorsPrefix = "operators/"

// openOperators opens the records of the coordinators' operators. There is no settling alone
// here: without a majority nobody signs in.
func (c *independent) openOperators(ctx context.Context, data *stage) (err error) {
	c.store, err = store.Open(ctx, store.Under(c.node, operatorsPrefix), c.ring, store.Options{Epoch: c.node.Epoch(), Server: c.Config.Name,
		Identity: c.id.wrap, Now: c.Now, Log: c.log.Logger("store")})
	if err != nil {
		return err
	}
	data.run("operators", c.store.Run)
	return c.store.Ready(ctx, 0)
}

// assembleOperators makes the engine that operators sign in through, and the use cases on
// them and their credentials: the same as a server has.
func (c *independent) assembleOperators() {
	all := methods(c.Now, c.store.Settings)
	keys := passkeys(coordinatorGroup, c.store.Settings, c.ring, c.store.Epoch, c.Now)
	all = append(all, keys.Method)
	c.checker = directory.New(c.store, directory.Options{Upgrade: c.store.Rehash, Now: c.Now, Log: c.log.Logger("directory")})
	c.engine = authn.New(authn.Config{Server: c.Config.Name, Store: c.store, First: c.checker, Methods: all, Trail: c.trail,
		Handles: challenge.Sealer{Keys: c.ring}, Settings: c.store.Settings, CodeLength: otp.CodeLength, Now: c.Now, Log: c.log.Logger("authn"),
		Admits:  func(app mfa.Application, user mfa.UserID) error { return c.admin.Admits(app, user) },
		Observe: func(a *mfa.Attempt) { warnCopied(c.log.Logger("authn"), a) }})
	c.sessions = &session.Keeper{Server: c.Config.Name, Store: c.store, Now: c.Now, Log: c.log.Logger("session")}
	head := func(context.Context) (trail.Position, error) { return trail.Position{}, nil } // the database keeps none
	lost := func(context.Context) ([]lostHead, error) { return nil, nil }
	c.admin = &admin.Service{Server: c.Config.Name, Users: c.store, Credentials: c.store, Applications: c.store, Directories: c.store, APITokens: c.store,
		Administrators: c.store, Settings: c.store, Keys: c.store, Radius: c.store, Trail: c.trail,
		Audit: audit{server: c.Config.Name, trail: c.trail, index: c.index, dir: c.trailDir(), head: head, lost: lost}, Node: coordinatorNode{c}, Passwords: c.checker,
		Engine: c.engine, Decider: c.engine, Digests: c.ring, Requests: c.store, Sessions: c.sessions, Sealed: c.store, Web: c.managementURL, Now: c.Now}
	c.enroll = &enroll.Service{Server: c.Config.Name, Issuer: "coordinator " + c.Config.Name, Store: c.store, Applications: c.store, Resolve: c.admin.Resolve,
		Settings:  c.store.Settings,
		Passcodes: passcodes{all}, Passkeys: keys, Trail: c.trail, Now: c.Now, Sessions: c.sessions}
}

// resumeChallenges has the engine go on watching the challenges that an earlier run asked and
// that have no verdict. A coordinator's trail is short: it is read as a whole.
func (c *independent) resumeChallenges() error {
	unanswered := open{}
	err := c.trail.Replay(trail.Position{}, func(_ trail.Position, r mfa.Record) error {
		unanswered.see(r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the trail in %s back for challenges that nobody answered: %w", c.trailDir(), err)
	}
	c.engine.Resume(unanswered.list())
	return nil
}

// runPortal starts what sign-ins at the portal need.
func (c *independent) runPortal(services *stage) {
	services.run("engine", c.engine.Run)
	services.run("passwords", c.checker.Run)
	services.run("sessions", c.sessions.Run)
	services.run("idempotency keys", c.admin.RunRequests)
}

// managementURL is where people find this coordinator's pages.
func (c *independent) managementURL() string { return "https://" + c.registry.Addresses[0] }

// public is all that the coordinator's port serves: what servers call, which goes to the one
// that leads, and the management portal, which each coordinator serves by itself.
func (c *independent) public() (http.Handler, error) {
	portal, err := console.New(console.Console{Server: c.Config.Name, GroupName: coordinatorGroup, Version: c.Version, Admin: c.admin, Enroll: c.enroll,
		Engine: c.engine, Sessions: c.sessions, Group: c, Coordinator: c, Seals: c.ring, Now: console.Clock(c.Now), Log: c.log.Logger("portal")})
	if err != nil {
		return nil, fmt.Errorf("management portal: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle(coordinator.Prefix, c.coordinator)
	mux.Handle("/", web.Proxies(c.Config.TrustedProxies).Handler(portal, c.log.Logger("http")))
	return mux, nil
}
