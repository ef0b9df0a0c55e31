package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/pki"
	"countersign/internal/secret"
	"countersign/internal/store"
	"countersign/internal/trail"
)

const smallBallast = 4 << 20

// Names of what the server keeps sealed in the database.
const (
	sealedCA   = "ca"
	sealedHead = "trail/head/" // of the server with the name behind it
	sealedMark = "trail/mark/"
)

// clusterOptions are those of this server's database.
func (s *server) clusterOptions() cluster.Options {
	o := cluster.Options{
		DataDir: s.Config.DataDir, Name: s.Config.Name, Log: s.log.Logger("cluster"), Now: s.Now,
		Sign: s.id.signMessage, Verify: s.id.verifyMessage, Known: known(),
		Fatal: s.databaseEnds,
	}
	if s.peers != nil && s.peers.client != nil {
		o.Peer, o.PeerTLS = "https://"+s.peers.address, peerTLS(s.Config.DataDir)
	}
	if s.small {
		o.Ballast = smallBallast
	}
	if s.witness {
		o.Ballast, o.Snapshots = smallBallast, -1 // its copy is never what a group is restored from
	}
	return o
}

// databaseEnds tells, before the process ends, why it does and what to do.
func (s *server) databaseEnds(reason string) {
	if cluster.SetBack(reason) {
		s.own.Error("the copy of the database here is older than what this server has confirmed to the group, and the server ends", "reason", reason,
			"because", "its data folder was set back (a snapshot of the machine, a copy of the folder), or another machine runs on a copy of it",
			"next", fmt.Sprintf("a restart does not help: if %[1]s runs elsewhere, take this folder away; if not, run `countersign group forget %[1]s` on another server, start this one once more, which then leaves, and activate it anew", s.Config.Name))
		return
	}
	s.own.Error("the database cannot go on and the server ends; what was answered is durable", "reason", reason,
		"next", "look at the disk of data_dir; the supervisor starts the server again")
}

// openPort reads this server's keys and opens the peer port, if there is one.
func (s *server) openPort(ctx context.Context, fail func(error), running *stack) (err error) {
	dir := s.Config.DataDir
	if hasLeft(dir) {
		return errLeft(s.Config)
	}
	if err := s.fitsFolder(); err != nil {
		return err
	}
	s.id, err = loadIdentity(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Join(dir, "epoch.json")); err == nil {
			return fmt.Errorf("%s holds a database but not this server's keys (%s): put them back from a backup of this machine, or restore a backup of the group into an empty folder",
				dir, filepath.Join(dir, keysDir))
		}
		return nil // nothing here yet: openDatabase says so
	case err != nil:
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, rosterName)); err != nil {
		if _, err := os.Stat(filepath.Join(dir, "epoch.json")); err != nil {
			return nil
		}
	}
	if s.peers, err = s.openPeering(ctx); err != nil {
		return err
	}
	if s.peers != nil && s.peers.roster.Load().own(s.Config.Name).Role == mfa.RoleWitness {
		s.witness = true
		if err := refuseFronts(s.Config); err != nil {
			return err
		}
	}
	return s.listenPeer(ctx, fail, running)
}

// openDatabase opens what the data folder holds, within the time that starting has, or
// joins the group that the folder was activated into, which takes as long as it takes.
func (s *server) openDatabase(ctx, starting context.Context) (err error) {
	if err := s.fitsGroup(starting); err != nil {
		return err
	}
	if s.joined != nil { // while the run before this one was still serving
		s.node, s.joined = s.joined, nil
		s.peers.opened(s.node)
		return nil
	}
	if s.activated() || s.before() != "" && s.witness {
		s.node, err = s.join(ctx, 0)
		return err
	}
	if s.before() != "" {
		return s.joinAgain(ctx, starting)
	}
	s.node, err = cluster.Open(starting, s.clusterOptions())
	if err == nil && s.peers != nil && !s.witness && s.node.Cast() {
		st, err := s.node.Status()
		s.node.Close()
		if err != nil {
			return err
		}
		s.was.Store(&st.MemberID)
		return s.joinAgain(ctx, starting)
	}
	if errors.Is(err, cluster.ErrEmpty) {
		return fmt.Errorf("%w: found a group with `countersign init --group NAME%s`, or join one with `countersign activate CODE%s`", err, s.configFlag(), s.configFlag())
	}
	if err == nil && s.node.Group() == coordinatorGroup {
		s.node.Close()
		return fmt.Errorf("%s holds an independent coordinator, not a server: run it with `countersign coordinator%s`, or name another folder as data_dir", s.Config.DataDir, s.configFlag())
	}
	if err != nil || s.peers == nil {
		return err
	}
	if err = s.place(ctx, starting); err != nil && s.node != nil {
		s.node.Close()
	}
	return err
}

// noteRemoval looks, before a server stops, whether it does because its database ended by
// itself, as it does if this server is no member any more.
func (s *server) noteRemoval() {
	if s.node == nil || s.peers == nil {
		return
	}
	select {
	case <-s.node.Removed():
		s.ended()
	default:
	}
}

// before is the membership that has just ended; "": none.
func (s *server) before() string {
	if was := s.was.Load(); was != nil {
		return *was
	}
	return ""
}

// ended notes that this server's membership is over, as far as it can tell: Run asks the
// master whether to join again.
func (s *server) ended() {
	if st, err := s.node.Status(); err == nil {
		s.was.Store(&st.MemberID)
		s.removed.Store(true)
	}
}

// errLeft says what to do with a folder whose server has left its group.
func errLeft(c config.Config) error {
	file := c.Path
	if file == "" {
		file = "FILE"
	}
	return fmt.Errorf("this server has left its group; what it had is still in %s: activate it into a group with `countersign activate CODE --config %s`", c.DataDir, file)
}

// configFlag is how the operator names the node file in a command.
func (s *server) configFlag() string {
	if s.Config.Path == "" {
		return " --config FILE"
	}
	return " --config " + s.Config.Path
}

// openStore unwraps the group's keys and opens records and trail.
func (s *server) openStore(ctx context.Context) error {
	keyset, err := store.LoadKeyset(ctx, s.node, s.Config.Name, s.id.wrap)
	if errors.Is(err, mfa.ErrNotFound) {
		return fmt.Errorf("%w; if founding or restoring was interrupted here, empty %s and do it again", err, s.Config.DataDir)
	}
	if err != nil {
		return err
	}
	s.ring = keyring.NewRing(keyset)
	s.store, err = store.Open(ctx, relay{s.node, s}, s.ring, store.Options{Epoch: s.node.Epoch(), Server: s.Config.Name, Identity: s.id.wrap,
		Group: s.grouped, Ping: s.masterAnswers, Frozen: s.refusesChanges, Keep: func(ctx context.Context, r mfa.Record) error { return s.ledger.Append(ctx, r) },
		BothSides: func(e mfa.Settled, detail string) { s.ledger.bothSides(e, detail) }, Delivery: s.delivered, Now: s.Now, Log: s.log.Logger("store")})
	if err != nil {
		return err
	}
	if s.peers != nil {
		s.peers.records.Store(s.store)
	}
	s.trail, err = trail.Open(trail.Options{Dir: s.trailDir(), Server: s.Config.Name, Log: s.log.Logger("trail"), Now: s.Now,
		Retain: s.retain})
	return err
}

func (s *server) trailDir() string { return filepath.Join(s.Config.DataDir, trailDir) }

// recover brings trail and database together again after whatever stopped the server.
func (s *server) recover(ctx context.Context) error {
	s.clock = &clockCheck{log: s.log.Logger("clock"), synchronised: kernelSynchronised}
	s.ledger = &ledger{server: s.Config.Name, trail: s.trail, store: s.store, settings: s.store.Settings, now: s.Now,
		log: s.log.Logger("ledger"), load: s.loadMark, save: s.saveMark, check: s.checkHead}
	s.openParking(ctx)
	var m recovered
	var err error
	if !s.isolated {
		if err = s.checkHead(ctx); err == nil {
			m, err = s.ledger.recover(ctx)
		}
		s.isolated = errors.Is(err, mfa.ErrUnavailable) && s.grouped() // lost while it starts
	}
	if s.isolated {
		m, err = s.ledger.isolated(ctx)
	}
	if err != nil {
		return err
	}
	s.mended = m
	if m.raised > 0 || m.interrupted > 0 {
		s.own.Warn("read back what a stop had left", "records", m.read, "raised", m.raised, "interrupted", m.interrupted)
	} else {
		s.own.Debug("read back the trail", "records", m.read)
	}
	s.clock.jumped(m.last, s.Now())
	s.unpark(ctx)
	return nil
}

func (s *server) closeLedger() error {
	if s.ledger == nil || s.aside.Load() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout/2)
	defer cancel()
	if err := s.ledger.close(ctx); err != nil {
		s.own.Warn("the ledger's mark could not be moved to the end; the next start reads more of the trail back", "error", err)
	}
	return nil
}

// getSealed returns nothing for what is not there.
func (s *server) getSealed(ctx context.Context, name string) (secret.Text, int64, error) {
	if s.witness { // has no keys, and nothing of its own is sealed
		return secret.Text{}, 0, nil
	}
	t, rev, err := s.store.GetSealed(ctx, name)
	if errors.Is(err, mfa.ErrNotFound) {
		return secret.Text{}, 0, nil
	}
	return t, rev, err
}

// putSealed replaces what only this server writes.
func (s *server) putSealed(ctx context.Context, name string, plain []byte) error {
	_, rev, err := s.getSealed(ctx, name)
	if err != nil {
		return err
	}
	_, err = s.store.PutSealed(ctx, name, rev, plain)
	return err
}

func (s *server) loadMark(ctx context.Context) (m mark, err error) {
	return m, s.loadJSON(ctx, sealedMark+s.Config.Name, &m)
}

func (s *server) saveMark(ctx context.Context, m mark) error {
	return s.putSealed(ctx, sealedMark+s.Config.Name, m.marshal())
}

func (s *server) loadHead(ctx context.Context) (p trail.Position, err error) {
	return p, s.loadJSON(ctx, sealedHead+s.Config.Name, &p)
}

func (s *server) saveHead(ctx context.Context, p trail.Position) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return s.putSealed(ctx, sealedHead+s.Config.Name, b)
}

func (s *server) loadJSON(ctx context.Context, name string, v any) error {
	t, rev, err := s.getSealed(ctx, name)
	if err != nil || rev == 0 {
		return err
	}
	if err := json.Unmarshal(t.Expose(), v); err != nil {
		return fmt.Errorf("sealed record %s: %w", name, err)
	}
	return nil
}

// ensureCA returns the group's CA; the first server that asks makes it.
func (s *server) ensureCA(ctx context.Context) (pki.CA, error) {
	if t, err := s.store.ReadSealed(ctx, sealedCA); err == nil { // it is never replaced, and a start may have no master
		return pki.ParseCA(t)
	}
	for {
		t, rev, err := s.getSealed(ctx, sealedCA)
		if err != nil {
			return pki.CA{}, err
		}
		if rev != 0 {
			return pki.ParseCA(t)
		}
		ca, err := pki.NewCA(s.node.Group(), s.Now())
		if err != nil {
			return pki.CA{}, err
		}
		text, err := ca.Marshal()
		if err != nil {
			return pki.CA{}, err
		}
		if _, err := s.store.PutSealed(ctx, sealedCA, 0, text.Expose()); err == nil {
			return ca, nil
		} else if !errors.Is(err, mfa.ErrConflict) {
			return pki.CA{}, err
		}
	}
}
