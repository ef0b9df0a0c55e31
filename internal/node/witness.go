package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/adminapi"
	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/group"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/store"
	"countersign/internal/trail"
)

// certificateTimeout bounds asking one server for a certificate.
const certificateTimeout = 5 * time.Second

// errNoKeys: what a witness is asked for needs the group's keys.
var errNoKeys = fmt.Errorf("%w: this server is a witness: it votes, and has none of the group's keys; ask one of the group's other servers", mfa.ErrInvalid)

// witnessOperations are those of the admin API that a witness serves.
var witnessOperations = []string{"/status", "/doctor", "/log-level", "/group/members", "/group/forget", "/group/leave", "/group/promote", "/group/disaster",
	"/coordinator/status", "/audit/acts", "/audit/verify", "/openapi.json"}

// own returns the record of the server of that name; its zero value if there is none.
func (r roster) own(name string) mfa.Member {
	for _, m := range r.Members {
		if m.Name == name {
			return m
		}
	}
	return mfa.Member{}
}

// role is this server's in its group.
func (s *server) role() string {
	switch {
	case s.witness:
		return mfa.RoleWitness
	case s.colleagues != nil:
		return mfa.RoleCoordinator
	}
	return mfa.RoleServer
}

// votesOnly is a member's role as it is shown: a witness is one unless it leads.
func votesOnly(shown, role string) string {
	if shown == "replica" && role == mfa.RoleWitness {
		return mfa.RoleWitness
	}
	return shown
}

// recipient is what the group's keyset is wrapped to; "" on a witness, which gets none.
func (s *server) recipient() string {
	if s.witness {
		return ""
	}
	return s.id.wrap.Recipient()
}

// refuseFronts says which settings of a node file a witness cannot have.
func refuseFronts(c config.Config) error {
	var set []string
	for _, f := range []struct {
		setting string
		on      bool
	}{
		{"listen.https", c.Listen.HTTPS != ""},
		{"listen.console", c.Listen.Console != ""},
		{"listen.portal", c.Listen.Portal != ""},
		{"listen.radius", len(c.Listen.RADIUS) > 0},
		{"listen.radius_accounting", len(c.Listen.Accounting) > 0},
		{"listen.ldap", len(c.Listen.LDAP) > 0},
	} {
		if f.on {
			set = append(set, f.setting)
		}
	}
	if len(set) == 0 {
		return nil
	}
	where := c.Path
	if where == "" {
		where = "the node file"
	}
	return fmt.Errorf("a witness votes and signs nobody in: take %s out of %s; or admit this machine as a server, with a code made by `countersign group activation create --role server`",
		strings.Join(set, ", "), where)
}

// startWitness is start, from the open database on, of a server that only votes: member
// records, trail of acts, peer port, admin socket. It holds nothing that is sealed.
func (s *server) startWitness(ctx, starting context.Context, fail func(error), running *stack, prepare func(context.Context) error) error {
	if err := s.openWitnessStore(starting); err != nil {
		return err
	}
	data := newStage(ctx, fail)
	running.stage(data)
	data.run("records", s.store.Run)
	data.run("trail", s.trail.Run)
	if err := s.store.Ready(starting, 0); err != nil {
		return fmt.Errorf("load the records: %w", err)
	}
	if err := s.store.Touch(starting, meetTimeout); err != nil {
		s.own.Warn("no master answers: this witness starts all the same, votes, and goes on looking", "error", err)
	}
	if err := s.fitsRecords(); err != nil {
		return err
	}
	if err := s.assembleWitness(starting); err != nil {
		return err
	}
	s.assembleGroup()
	services := newStage(ctx, fail)
	running.stage(services)
	services.run("trail index", s.index.Run)
	services.run("clock", s.clock.run)
	s.runGroup(services)
	dropParked(s.Config.DataDir, s.node.Folder().Copy, s.Now(), s.own)
	services.run("watchdog", func(ctx context.Context) error { return watchdog(ctx, s.alive) })
	if prepare != nil {
		if err := prepare(starting); err != nil {
			return err
		}
	}
	return s.serve(ctx, fail, running)
}

// dropParked removes copies of epochs that ended a while ago: a witness cannot read what is
// in them, so they are kept only for somebody who looks for them.
func dropParked(dataDir, counts string, now time.Time, log *slog.Logger) {
	all, err := cluster.ParkedCopies(dataDir, counts)
	for _, p := range all {
		if now.Sub(p.Time) < parkedKeep {
			log.Warn("a copy of an epoch that ended lies here; a witness cannot take it over", "path", p.Path(dataDir), "epoch", p.Epoch,
				"removed_after", p.Time.Add(parkedKeep))
			continue
		}
		if err = errors.Join(err, cluster.DropParked(dataDir, p)); err == nil {
			log.Info("a parked copy was removed", "path", p.Path(dataDir), "parked", p.Time)
		}
	}
	if err != nil {
		log.Warn("a parked copy could not be removed; the next start tries again", "error", err)
	}
}

func (s *server) openWitnessStore(ctx context.Context) (err error) {
	s.ring = keyring.NewRing(keyring.Keyset{})
	s.store, err = store.Open(ctx, s.node, s.ring, store.Options{Epoch: s.node.Epoch(), Server: s.Config.Name, Witness: true, Group: s.grouped,
		Now: s.Now, Log: s.log.Logger("store")})
	if err != nil {
		return err
	}
	s.peers.records.Store(s.store)
	s.trail, err = trail.Open(trail.Options{Dir: s.trailDir(), Server: s.Config.Name, Log: s.log.Logger("trail"), Now: s.Now, Retain: s.retain})
	return err
}

// assembleWitness makes what a witness's operator may ask for. The interfaces that are
// left out belong to operations that adminAPI refuses.
func (s *server) assembleWitness(ctx context.Context) (err error) {
	if err := s.openLink(ctx); err != nil {
		return err
	}
	s.clock = &clockCheck{log: s.log.Logger("clock"), synchronised: kernelSynchronised}
	if s.index, err = trail.OpenIndex(s.trail); err != nil {
		return err
	}
	s.metrics = newMetrics()
	s.databaseGauges()
	s.admin = &admin.Service{
		Server: s.Config.Name, Users: s.store, Credentials: s.store, Applications: s.store, Directories: s.store, APITokens: s.store, Administrators: s.store,
		Settings: s.store, Keys: s.store, Radius: s.store, Trail: s.trail,
		Audit: audit{server: s.Config.Name, others: s.trails, ask: s.askTrail, figures: s.askFigures, trail: s.trail, index: s.index, dir: s.trailDir(), head: s.loadHead, lost: s.lost},
		Node:  operator{s}, Group: groupAdmin{s}, Tests: directoryTest{}, Now: s.Now,
	}
	return nil
}

// adminAPI is the admin API as this server serves it.
func (s *server) adminAPI() http.Handler {
	api := adminapi.New(s.admin, s.enroll, s.Version, s.log.Logger("api"))
	api.Coordinator(s.overview)
	if s.witness {
		return adminapi.Only(api, witnessOperations, errNoKeys)
	}
	return adminapi.While(api, s.joining)
}

// recorder is where acts of this server go.
func (s *server) recorder() group.Recorder {
	if s.witness {
		return s.trail
	}
	return s.ledger
}

// certify renews the certificate of the peer port: with the CA that lies in the database,
// by asking the independent coordinator, or, on a witness without one, the master.
func (s *server) certify(ctx context.Context) error {
	if !s.witness || s.link != nil {
		ca, err := s.groupCA(ctx)
		if err != nil {
			return err
		}
		return s.peers.issue(ctx, ca, s.Config)
	}
	out, err := s.askCertificate(ctx)
	if err != nil {
		return err
	}
	if len(out.PEM) == 0 {
		return errors.New("the master's answer holds no certificate")
	}
	return writeSynced(peerTLS(s.Config.DataDir).CertFile, out.PEM)
}

// askCertificate asks one server after the other until the master answers: which one that is
// a witness does not know whose certificate has expired, because nobody else talks to it.
func (s *server) askCertificate(ctx context.Context) (out peer.Certificate, err error) {
	err = fmt.Errorf("there is no server that it could ask: %w", mfa.ErrUnavailable)
	for _, m := range s.peers.members() {
		if m.Role == mfa.RoleWitness {
			continue
		}
		one, cancel := context.WithTimeout(ctx, certificateTimeout)
		err = s.peers.client.Call(one, m.Peer, http.MethodPost, peer.PathCertificate, peer.CertificateRequest{PublicKey: s.peers.spki}, &out)
		cancel()
		if err == nil {
			return out, nil
		}
		err = fmt.Errorf("%s at %s: %w", m.Name, m.Peer, err)
	}
	return out, err
}
