package node

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/admin"
	"countersign/internal/approval"
	"countersign/internal/authn"
	"countersign/internal/callback"
	"countersign/internal/challenge"
	"countersign/internal/directory"
	"countersign/internal/enroll"
	"countersign/internal/gateway"
	phonecall "countersign/internal/method/call"
	"countersign/internal/method/otp"
	"countersign/internal/method/push"
	"countersign/internal/mfa"
	"countersign/internal/phone"
	"countersign/internal/pki"
	"countersign/internal/radiusd"
	"countersign/internal/trail"
	"countersign/internal/web"
	"countersign/internal/webpush"
)

func (s *server) retain() time.Duration {
	return time.Duration(s.store.Settings().Retain) * 24 * time.Hour
}

// assemble makes the engine, the use cases and what they need.
func (s *server) assemble(ctx context.Context) (err error) {
	if err := s.openLink(ctx); err != nil {
		return err
	}
	ca, err := s.groupCA(ctx)
	if err != nil {
		return err
	}
	if err := s.writeCA(pki.CertificatePEM(ca.Certificate())); err != nil {
		return err
	}
	s.certs = &certificates{config: s.Config, now: s.Now, log: s.log.Logger("tls")}
	if own, ok := ca.(ownCA); ok {
		s.certs.ca = own.CA
	} else {
		s.certs.shared = s.peers.cert.Load
	}
	if err := s.certs.renew(); err != nil {
		return err
	}
	if err := s.loadPartCerts(); err != nil {
		return err
	}
	if s.index, err = trail.OpenIndex(s.trail); err != nil {
		return err
	}
	s.metrics = newMetrics()
	if err = s.loadCountries(); err != nil {
		return err
	}
	s.checker = directory.New(s.store, directory.Options{Upgrade: s.store.Rehash, Now: s.Now, Log: s.log.Logger("directory")})
	s.copies = s.newCopies()
	s.carrier = gateway.New(gateway.Options{Gateways: s.store.Gateways, Now: s.Now, Log: s.log.Logger("gateway"), Spend: sending{s}.spend,
		Again: sending{s}.again, Callback: sending{s}.callback, Tell: sending{s}.tell})
	s.follows.Store(s.carrier)
	s.pushes = webpush.New(webpush.Options{Key: pushing{s}.private, Subject: func() string { return s.siteURL("portal") }, Now: s.Now})
	s.push = push.New(push.Options{Sender: pushing{s}, Store: s.store, Settings: s.store.Settings, Now: s.Now, Log: s.log.Logger("push")})
	s.calls = &phonecall.Method{Caller: calling{s}, Answers: s.store, PINs: s.pinned(), Guesses: s.pinned(), Fraud: s.actOnFraud, Mask: phone.Mask, Now: s.Now, Log: s.log.Logger("call")}
	all := append(methods(s.Now, s.store.Settings), sending{s}.method(mfa.MethodSMS), sending{s}.method(mfa.MethodEmail), s.push, s.calls)
	keys := passkeys(s.node.Group(), s.store.Settings, s.ring, s.store.Epoch, s.Now)
	all = append(all, keys.Method)
	prompts, err := web.LoadPrompts()
	if err != nil {
		return err
	}
	s.engine = authn.New(authn.Config{
		Say:    func(language, said string) string { return prompts[language].Say(said) },
		Server: s.Config.Name, Store: s.store, First: s.checker, Methods: all, Trail: s.ledger,
		Handles: challenge.Sealer{Keys: s.ring}, Settings: s.store.Settings, CodeLength: otp.CodeLength, Now: s.Now, Waits: s.store,
		Admits:  func(app mfa.Application, user mfa.UserID) error { return s.admin.Admits(app, user) },
		Observe: s.observe, Fraud: s.actOnFraud, Digest: s.ring.DigestOf, PIN: s.checker.MatchPIN, Country: s.countries.Of, Replicated: s.node.Replicated, Log: s.log.Logger("authn"),
	})
	s.engine.Resume(s.ledger.open)
	s.admin = &admin.Service{
		Server: s.Config.Name, Users: s.store, Credentials: s.store, Applications: s.store, Directories: s.store, Gateways: s.store, Recordings: s.store, Messenger: messenger{s}, APITokens: s.store, Administrators: s.store,
		Settings: s.store, Keys: s.store, Radius: s.store, Trail: s.ledger,
		Audit: audit{server: s.Config.Name, others: s.trails, ask: s.askTrail, figures: s.askFigures, trail: s.trail, index: s.index, dir: s.trailDir(), head: s.loadHead, lost: s.lost},
		Node:  operator{s}, Group: groupAdmin{s}, Parked: s.store, Tests: directoryTest{}, Passwords: s.checker, PINs: s.checker, Country: s.countries.Of, Engine: s.engine,
		Decider: decider{s}, Digests: s.ring, Requests: s.store, Now: s.Now,
	}
	s.enroll = &enroll.Service{Server: s.Config.Name, Issuer: s.node.Group(), Store: s.store, Applications: s.store, Resolve: s.admin.Resolve,
		Settings: s.store.Settings, Passcodes: passcodes{all}, Prover: sending{s}, Passkeys: keys, Trail: s.ledger, Now: s.Now,
		Devices: s.store, DevicePage: s.devicePage, Asker: trials{s}}
	s.approval = &approval.Service{Server: s.Config.Name, Group: s.node.Group(), Store: s.store, Trail: s.ledger, Fraud: s.actOnFraud, PIN: s.pinned().CheckPIN, Guessed: s.pinned().Guessed, Settings: s.store.Settings,
		VAPID: pushing{s}.public, Judge: pushing{s}.judge, Now: s.Now,
		TakeAway: func(ctx context.Context, by mfa.Caller, id mfa.CredentialID) error {
			return s.enroll.Own(by).Remove(ctx, string(id))
		}}
	s.assembleGroups()
	s.admin.Callbacks = &callback.Sender{Now: s.Now, Log: s.log.Logger("callback")}
	s.assembleWeb()
	s.radius = &radiusd.Server{
		Auth: s.Config.Listen.RADIUS, Acct: s.Config.Listen.Accounting, Authenticator: decider{s},
		Timeout:      func() time.Duration { return s.store.Settings().Attempt.Duration() },
		Waiting:      func() time.Duration { return s.store.Settings().Wait.Duration() },
		Applications: s.store, NASes: s.store, Ready: decider{s}.ready, Metrics: s.metrics, Log: s.log.Logger("radius"), Now: s.Now,
	}
	s.gauges()
	return nil
}

// observe is told of every verdict.
func (s *server) observe(a *mfa.Attempt) {
	s.metrics.observe(a)
	s.metrics.copied(s.own, a)
	s.copies.seen(a)
}

// gauges adds the figures that are read when they are asked for.
func (s *server) gauges() {
	m := s.metrics
	s.databaseGauges()
	m.gauge("users", "Users in the database.", func() float64 { return float64(s.store.CountUsers()) })
	m.gauge("unmerged", "Settlements and restrictions that this server made without a master and has not merged yet.", func() float64 {
		return float64(s.store.Unmerged())
	})
	m.gauge("unreplicated_total", "Verdicts whose settlement the replica of a pair did not have in time.", func() float64 {
		return float64(m.unreplicated.Load())
	})
	m.gauge("password_checks_waiting", "Password checks that wait for a slot.", func() float64 { return float64(s.checker.Waiting()) })
	m.gauge("certificate_expiry_seconds", "When the https certificate expires, seconds since 1970.", func() float64 {
		return float64(s.certExpiry().Unix())
	})
	m.registry.MustRegister(settingMetrics{s})
}

// databaseGauges adds those that a witness has too.
func (s *server) databaseGauges() {
	m := s.metrics
	m.registry.MustRegister(alarmMetrics{&s.alarms})
	m.gauge("ready", "1: sign-ins can be decided.", func() float64 {
		if s.ready() != nil {
			return 0
		}
		return 1
	})
	m.gauge("epoch", "Generation of the database.", func() float64 { return float64(s.node.Epoch()) })
	m.gauge("revision", "Revision of the local copy of the database.", func() float64 {
		st, _ := s.node.Status()
		return float64(st.Revision)
	})
	m.gauge("database_bytes", "Size of the database file.", func() float64 {
		st, _ := s.node.Status()
		return float64(st.DBSize)
	})
	m.gauge("trail_records_total", "Sequence number of the trail's last record.", func() float64 { return float64(s.trail.Head().Seq) })
	m.gauge("clock_synchronised", "1: the kernel says that its clock is synchronised; 0: it is not; -1: not known.", func() float64 {
		return map[int32]float64{0: -1, 1: 1, 2: 0}[s.clock.state.Load()]
	})
	m.gauge("start_seconds", "When the server started, seconds since 1970.", func() float64 { return float64(s.started.Unix()) })
}

// writeCA leaves the CA's certificate in the data folder, for clients to trust.
func (s *server) writeCA(pem []byte) error {
	path := filepath.Join(s.Config.DataDir, caName)
	if old, err := os.ReadFile(path); err == nil && string(old) == string(pem) {
		return nil
	}
	return writeSynced(path, pem)
}
