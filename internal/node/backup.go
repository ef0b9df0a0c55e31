package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// restoredEpochs is how far a restored group goes ahead of its backup when nobody is heard
// who might know of later epochs.
const restoredEpochs = 1000

// BackupInfo says what a backup holds.
type BackupInfo struct {
	Group    string
	Server   string
	Epoch    uint64
	Revision int64
	Created  time.Time
	Records  int
	Users    int
}

// backup writes one encrypted file: the database at one revision and the group's keys.
func (s *server) backup(ctx context.Context, passphrase secret.Text, w io.Writer) error {
	f, err := os.CreateTemp(s.Config.DataDir, ".backup-*")
	if err != nil {
		return fmt.Errorf("room for the snapshot: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	sum := sha256.New()
	rev, err := s.node.Snapshot(ctx, io.MultiWriter(f, sum))
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m := manifest{V: manifestVersion, Group: s.node.Group(), Server: s.Config.Name, Epoch: s.node.Epoch(), Revision: rev,
		Created: s.Now().UTC().Truncate(time.Second), Version: s.Version, Size: info.Size(), SHA256: hex.EncodeToString(sum.Sum(nil))}
	return writeArchive(w, passphrase, s.scryptWork(), m, s.ring.Keyset(), f.Name())
}

func (s *server) scryptWork() int {
	if s.work != 0 {
		return s.work
	}
	return scryptWork
}

// VerifyBackup reads a backup to its end, checks every hash in it, restores a copy in a
// folder of its own and opens each user and credential of it. Nothing of it stays.
func VerifyBackup(ctx context.Context, r io.Reader, passphrase secret.Text, now func() time.Time) (info BackupInfo, err error) {
	dir, err := os.MkdirTemp("", "countersign-verify-*")
	if err != nil {
		return info, err
	}
	defer os.RemoveAll(dir)
	m, keys, err := readArchive(r, passphrase, dir)
	if err != nil {
		return info, err
	}
	snap, err := cluster.VerifySnapshot(filepath.Join(dir, snapshotName))
	if err != nil {
		return info, err
	}
	info = BackupInfo{Group: m.Group, Server: m.Server, Epoch: m.Epoch, Revision: m.Revision, Created: m.Created, Records: snap.Keys}
	s := &server{small: true, Options: Options{Config: config.Config{Name: m.Server, DataDir: filepath.Join(dir, "data"),
		Log: config.Log{Level: slog.LevelError + 1}}, Stderr: io.Discard, Now: now}}
	err = s.restore(ctx, m, keys, filepath.Join(dir, snapshotName), func(ctx context.Context) error {
		var walk error
		err := s.store.ListUsers(ctx, "", func(u mfa.User) bool {
			info.Users++
			_, walk = s.store.Account(ctx, u.ID, false)
			return walk == nil && ctx.Err() == nil
		})
		return errors.Join(err, walk, ctx.Err())
	})
	if err != nil {
		return info, fmt.Errorf("%w backup: a copy restored from it does not open: %w", mfa.ErrInvalid, err)
	}
	return info, nil
}

// RestoreBackup fills the empty data folder of this machine from a backup and starts a new
// epoch in it. confirm is "" or must be the GROUP/EPOCH that ends with that. What the lost
// server may have accepted after the backup was made is not accepted again: time steps up
// to now are refused, recovery codes and passes void, counters held until they are
// resynchronised.
func RestoreBackup(ctx context.Context, o Options, r io.Reader, passphrase secret.Text, confirm string) (err error) {
	s := &server{Options: o}
	if err := s.openLog(); err != nil {
		return err
	}
	defer s.log.Close()
	if err := o.Config.PrepareDataDir(); err != nil {
		return err
	}
	undo, err := s.claim()
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
	m, keys, err := readArchive(r, passphrase, work)
	if err != nil {
		return err
	}
	if ends := fmt.Sprintf("%s/%d", m.Group, m.Epoch); confirm != "" && confirm != ends {
		return fmt.Errorf("confirmed was %q, but this backup ends %s: nothing was changed", confirm, ends)
	}
	var h held
	err = s.restore(ctx, m, keys, filepath.Join(work, snapshotName), func(ctx context.Context) error {
		h, err = s.holdBack(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fmt.Fprintf(o.Stdout, "Restored group %s from the backup of %s (epoch %d, revision %d) as epoch %d: %d users.\n"+
		"Refused until they are renewed: %d sets of recovery codes and passes; until they are resynchronised: %d counter tokens (`countersign credential resync`).\n"+
		"Time-based codes up to now are refused; the next ones pass.\n",
		m.Group, m.Created.Format(time.RFC3339), m.Epoch, m.Revision, m.Epoch+restoredEpochs, h.users, h.void, h.counters)
	return nil
}

// restore starts the new epoch from a snapshot, under this server's keys, and calls change
// with its records open.
func (s *server) restore(ctx context.Context, m manifest, keyset keyring.Keyset, snapshot string, change func(context.Context) error) (err error) {
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
	if err := cluster.RestoreInto(ctx, o, cluster.Restore{Snapshot: snapshot, Epoch: m.Epoch + restoredEpochs, DecidedBy: "restore"}); err != nil {
		return err
	}
	if s.node, err = cluster.Open(ctx, o); err != nil {
		return err
	}
	defer s.node.Close()
	detail := fmt.Sprintf("backup of %s by %s, epoch %d, revision %d", m.Created.Format(time.RFC3339), m.Server, m.Epoch, m.Revision)
	return s.found(ctx, keyset, "backup restore", detail, change)
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
			drift := acct.Record.Floors[c.ID].Drift // of a token that is ahead, later steps may be used
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
