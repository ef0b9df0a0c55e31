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
	"time"

	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

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
	ca, err := s.groupCA(ctx)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(ca.Certificate().Raw)
	return s.writeBackup(ctx, passphrase, w, s.store.Members(), digest[:])
}

// writeBackup is backup; members are the servers that a restore asks first, ca is the digest
// of the CA by which it knows them.
func (s *server) writeBackup(ctx context.Context, passphrase secret.Text, w io.Writer, members []mfa.Member, ca []byte) error {
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
	m := manifest{V: manifestVersion, Members: members, CA: ca, Group: s.node.Group(), Server: s.Config.Name, Epoch: s.node.Epoch(), Revision: rev,
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
	if m.Group == coordinatorGroup {
		s.Config.Listen.Coordinator = "localhost:1" // nothing listens
		if err := s.openLog(); err != nil {
			return info, err
		}
		_, err := s.restoreCoordinator(ctx, m, keys, filepath.Join(dir, snapshotName))
		return info, err
	}
	err = s.restore(ctx, m, m.Epoch+1, keys, filepath.Join(dir, snapshotName), func(ctx context.Context) error {
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
