package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
)

// RestoreBackup fills the empty data folder of this machine from a backup and starts a new
// epoch in it. The servers that the backup records are asked first: while the group has a
// master that answers, confirm must be the GROUP/EPOCH that ends with that; otherwise it may
// be "". A folder that holds nothing but a trail counts as empty: what that has settled since
// the backup is merged, and the trail goes on. What the lost
// server may have accepted after the backup was made is not accepted again: time steps up
// to now are refused, recovery codes and passes void, counters held until they are
// resynchronised.
func RestoreBackup(ctx context.Context, o Options, r io.Reader, passphrase secret.Text, confirm string) error {
	return restoreFolder(ctx, o, confirm, func(_ *server, work string) (manifest, keyring.Keyset, error) {
		return readArchive(r, passphrase, work)
	})
}

// restoreFolder is RestoreBackup for what read finds out and leaves as snapshotName in the
// folder work.
func restoreFolder(ctx context.Context, o Options, confirm string, read func(s *server, work string) (manifest, keyring.Keyset, error)) (err error) {
	s := &server{Options: o}
	if err := s.openLog(); err != nil {
		return err
	}
	defer s.log.Close()
	if err := prepareFolder(o.Config); err != nil {
		return err
	}
	undo, err := s.claim(trailDir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			undo()
		}
	}()
	work := filepath.Join(o.Config.DataDir, restoreDir)
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	m, keys, err := read(s, work)
	if err != nil {
		return err
	}
	if m.Group == coordinatorGroup {
		return s.restoreAsCoordinator(ctx, m, keys, work, confirm)
	}
	return s.restoreGroup(ctx, m, keys, filepath.Join(work, snapshotName), confirm)
}

// restoreGroup asks the servers that m names, and starts the new epoch.
func (s *server) restoreGroup(ctx context.Context, m manifest, keys keyring.Keyset, snapshot, confirm string) error {
	others := askServers(ctx, m)
	for _, o := range others {
		fmt.Fprintln(s.Stdout, o)
	}
	epoch, err := epochAfter(m, others, confirm)
	if err != nil {
		return err
	}
	var h held
	var survived survived
	err = s.restore(ctx, m, epoch, keys, snapshot, func(ctx context.Context) error {
		if h, err = s.holdBack(ctx); err != nil {
			return err
		}
		if survived, err = s.mergeSurviving(ctx, m, filepath.Dir(snapshot)); err != nil {
			return err
		}
		return s.noteRestore(ctx, m)
	})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fmt.Fprintf(s.Stdout, "Restored group %s from the %s of %s (epoch %d, revision %d) as epoch %d: %d users.\n"+
		"Refused until they are renewed: %d sets of recovery codes and passes; until they are resynchronised: %d counter tokens (`countersign credential resync`).\n"+
		"Time-based codes up to now, and of as many steps more as totp_window says, are refused (30 to 60 seconds, as a rule); the next ones pass.\n",
		m.Group, m.what(), m.Created.Format(time.RFC3339), m.Epoch, m.Revision, epoch, h.users, h.void, h.counters)
	fmt.Fprintln(s.Stdout, survived)
	if len(s.formerly) > 0 {
		fmt.Fprintf(s.Stdout, "The group used the coordinator at %s. Restored, it is its own coordinator: that one knows nothing of this machine's keys. Take\n"+
			"coordinator.urls out of the node file, set listen.coordinator if other servers are to join, and have the coordinator forget the group:\n"+
			"`countersign coordinator retire %s` there.\n", strings.Join(s.formerly, ", "), m.Group)
	}
	return nil
}

// restore starts a new epoch from a snapshot, under this server's keys, and calls change
// with its records open.
func (s *server) restore(ctx context.Context, m manifest, epoch uint64, keyset keyring.Keyset, snapshot string, change func(context.Context) error) (err error) {
	if s.log == nil {
		if err := s.openLog(); err != nil {
			return err
		}
	}
	if s.id.sign == nil {
		if err := os.MkdirAll(s.Config.DataDir, 0o700); err != nil {
			return err
		}
		if s.id, err = makeIdentity(s.Config.DataDir); err != nil {
			return err
		}
	}
	o := s.clusterOptions()
	o.Group = m.Group
	if err := cluster.RestoreInto(ctx, o, cluster.Restore{Snapshot: snapshot, Epoch: epoch, DecidedBy: "restore"}); err != nil {
		return err
	}
	if s.node, err = cluster.Open(ctx, o); err != nil {
		return err
	}
	defer s.node.Close()
	detail := fmt.Sprintf("%s of %s by %s, epoch %d, revision %d", m.what(), m.Created.Format(time.RFC3339), m.Server, m.Epoch, m.Revision)
	return s.found(ctx, keyset, "backup restore", detail, change)
}

// noteRestore records how this epoch began. It holds nothing: holdBack has done that, user
// by user.
func (s *server) noteRestore(ctx context.Context, m manifest) error {
	r := store.EpochRecord{Epoch: s.node.Epoch(), ClusterID: s.node.ClusterID(), Previous: store.PreviousEpoch{Epoch: m.Epoch, ForkRevision: m.Revision},
		Since: s.Now().UTC().Truncate(time.Second), DecidedBy: "restore", By: "operator"}
	for _, one := range m.Members {
		r.Members = append(r.Members, one.Name)
	}
	return s.store.UpdateEpochRecord(ctx, func(was *store.EpochRecord) error { *was = r; return nil })
}

// held counts what a restore holds back.
type held struct{ users, void, counters int }

// holdBack makes sure that nothing is accepted again that was accepted after the backup
// was made.
func (s *server) holdBack(ctx context.Context) (h held, err error) {
	const workers = 16
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	users := make(chan mfa.UserID)
	var tasks sync.WaitGroup
	var mu sync.Mutex
	for range workers {
		tasks.Go(func() {
			for id := range users {
				void, counters, err := s.holdUser(ctx, id)
				if err != nil {
					fail(err)
				}
				mu.Lock()
				h.users, h.void, h.counters = h.users+1, h.void+void, h.counters+counters
				mu.Unlock()
			}
		})
	}
	var ids []mfa.UserID
	err = s.store.ListUsers(ctx, "", func(u mfa.User) bool {
		ids = append(ids, u.ID)
		return true
	})
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		users <- id
	}
	close(users)
	tasks.Wait()
	return h, errors.Join(err, context.Cause(ctx))
}

// holdUser does it for one user.
func (s *server) holdUser(ctx context.Context, id mfa.UserID) (void, counters int, err error) {
	acct, err := s.store.Account(ctx, id, false)
	if err != nil {
		return 0, 0, err
	}
	floors := map[mfa.CredentialID]mfa.Floor{}
	now, skew := s.Now().Unix(), s.store.Settings().Skew
	for _, c := range acct.Credentials {
		switch c.Method {
		case mfa.MethodTOTP:
			drift := acct.Record.Floors.Of(c.ID).Drift // of a token that is ahead, later steps may be used
			floors[c.ID] = mfa.Floor{Next: uint64(now)/uint64(max(1, c.Period)) + uint64(max(0, drift)+skew) + 1, Drift: drift}
		case mfa.MethodRecovery, mfa.MethodTAP:
			floors[c.ID] = mfa.Floor{Spent: ^uint64(0)}
			void++
		case mfa.MethodHOTP:
			_, err := s.store.UpdateCredential(ctx, id, c.ID, func(c *mfa.Credential) error {
				c.Hold = mfa.ResyncRequired
				return nil
			})
			if err != nil {
				return 0, 0, err
			}
			counters++
		}
	}
	if len(floors) == 0 {
		return void, counters, nil
	}
	return void, counters, s.store.UpdateRecord(ctx, id, func(r *settlement.Record) error {
		for c, f := range floors {
			*r = r.Raise(c, f)
		}
		return nil
	})
}
