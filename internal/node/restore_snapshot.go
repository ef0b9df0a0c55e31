package node

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/keyring"
)

// RestoreSnapshot is RestoreBackup from one of the snapshots that a server keeps in its data
// folder. file is DATA/snapshots/NAME, where DATA is that folder, moved aside: the keys in
// it open what is in the snapshot, and its epoch file says of which group it is. DATA is
// read only.
func RestoreSnapshot(ctx context.Context, o Options, file, confirm string) error {
	return restoreFolder(ctx, o, confirm, func(s *server, work string) (manifest, keyring.Keyset, error) {
		return s.readSnapshot(ctx, file, work)
	})
}

// readSnapshot finds out what a local snapshot is of, and leaves a copy of it in work.
func (s *server) readSnapshot(ctx context.Context, file, work string) (m manifest, keys keyring.Keyset, err error) {
	old := filepath.Dir(filepath.Dir(file))
	id, err := loadIdentity(old)
	if errors.Is(err, fs.ErrNotExist) {
		return m, keys, fmt.Errorf("only the keys of the server that made it open a snapshot, and they are not in %s: move the whole data folder aside and name the snapshot where it lies in it, or restore a backup",
			filepath.Join(old, keysDir))
	}
	if err != nil {
		return m, keys, err
	}
	look := &server{small: true, id: id, Options: Options{Stderr: io.Discard, Now: s.Now,
		Config: config.Config{Name: s.Config.Name, DataDir: filepath.Join(work, "look"), Log: config.Log{Level: slog.LevelError + 1}}}}
	if err := look.openLog(); err != nil {
		return m, keys, err
	}
	defer look.log.Close()
	options := look.clusterOptions()
	options.DataDir = old
	was, err := cluster.Look(options)
	if err != nil {
		return m, keys, err
	}
	if was.Group == coordinatorGroup {
		return m, keys, fmt.Errorf("%s is of an independent coordinator, which is restored from a backup", file)
	}
	ca, err := digestOfCA(filepath.Join(old, caName))
	if err != nil {
		return m, keys, err
	}
	info, err := cluster.VerifySnapshot(file)
	if err != nil {
		return m, keys, err
	}
	made, err := cluster.SnapshotMade(file)
	if err != nil {
		return m, keys, err
	}
	if err := copyFile(filepath.Join(work, snapshotName), file); err != nil {
		return m, keys, err
	}
	m = manifest{V: manifestVersion, Group: was.Group, Server: s.Config.Name, Epoch: max(was.Epoch, was.Highest), Revision: info.Revision,
		Created: made, CA: ca, Size: info.Size, local: true, trail: filepath.Join(old, trailDir)}
	return m, keys, look.readRecords(ctx, &m, &keys, filepath.Join(work, snapshotName))
}

// readRecords opens a copy of the snapshot in s's folder for what only its records tell.
func (s *server) readRecords(ctx context.Context, m *manifest, keys *keyring.Keyset, snapshot string) (err error) {
	o := s.clusterOptions()
	o.Group = m.Group
	if err := cluster.RestoreInto(ctx, o, cluster.Restore{Snapshot: snapshot, Epoch: m.Epoch + 1, DecidedBy: "restore"}); err != nil {
		return err
	}
	if s.node, err = cluster.Open(ctx, o); err != nil {
		return err
	}
	defer s.node.Close()
	if _, err := s.node.Barrier(ctx); err != nil {
		return err
	}
	if err := s.openStore(ctx); err != nil {
		return err
	}
	data := newStage(ctx, func(error) {})
	defer func() { err = errors.Join(err, data.stop()) }()
	data.run("records", s.store.Run)
	data.run("trail", s.trail.Run)
	if err := s.store.Sync(ctx); err != nil {
		return err
	}
	m.Members, *keys = s.store.Members(), s.ring.Keyset()
	return nil
}

// digestOfCA is the digest of the group's CA by which its servers are known.
func digestOfCA(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the certificate by which the group's other servers are known: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no certificate", file)
	}
	digest := sha256.Sum256(block.Bytes)
	return digest[:], nil
}

// copyFile makes to, which must not be there yet, from the file from.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
