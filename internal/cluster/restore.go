package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
)

// revisionBump separates the revisions of two epochs: none of the new one was ever used
// by the old one after the snapshot.
const revisionBump = 1_000_000_000

// Restore says what RestoreInto makes a new epoch of.
type Restore struct {
	Snapshot  string // path of a file written by Node.Snapshot
	Epoch     uint64 // the new epoch; above every epoch known to the folder
	DecidedBy string // "restore", an operator, a coordinator; into the epoch file

	Unconfirmed bool            // no coordinator granted it; into the epoch file
	Receipt     json.RawMessage // what the new epoch has to remember, at most 8 KiB; Folder has it
}

// RestoreInto starts a new epoch in the data folder from a snapshot. Keys keep their values
// and revisions; the history is compacted and new revisions begin far above. The folder is
// empty, or holds an earlier epoch that nobody has open; its database stays where it is.
// The epoch file is written last: until then the folder is what it was.
func RestoreInto(ctx context.Context, o Options, r Restore) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	if o.Group == "" || o.Sign == nil || r.Epoch == 0 || r.DecidedBy == "" {
		return fmt.Errorf("cluster: Group, Sign, Epoch and DecidedBy must be set to restore: %w", mfa.ErrInvalid)
	}
	if err := refuseNetwork(o.DataDir); err != nil {
		return err
	}
	if _, err := VerifySnapshot(r.Snapshot); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.DataDir, epochFileName)); err != nil {
		if _, err := surveyFolder(o); !errors.Is(err, ErrEmpty) {
			return err
		}
		if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
	}
	lock, err := lockFolder(o.DataDir)
	if err != nil {
		return err
	}
	defer lock.release()
	old, err := surveyFolder(o) // a damaged database is a reason to restore, not to refuse
	if err != nil && !errors.Is(err, ErrEmpty) {
		return err
	}
	if r.Epoch <= old.Highest {
		return fmt.Errorf("epoch %d in %s: the folder knows epoch %d already: %w", r.Epoch, o.DataDir, old.Highest, mfa.ErrInvalid)
	}
	if err := lock.claim(); err != nil {
		return err
	}
	return restore(ctx, o, r, epochFile{})
}

// restore makes the new copy and then the epoch file, which says of what it was forked as
// from does (zero: of nothing that is known).
func restore(ctx context.Context, o Options, r Restore, from epochFile) (err error) {
	name, err := nextCopy(o.DataDir, r.Epoch)
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	parent := filepath.Join(o.DataDir, dbDirName)
	_, statErr := os.Stat(parent)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	dir := filepath.Join(parent, name)
	defer func() {
		if err != nil {
			if f, ferr := readEpochFile(o.DataDir, o.Verify); ferr == nil && f.Copy == name {
				return // it counts already; only the last sync failed
			}
			os.RemoveAll(dir)
			if statErr != nil {
				os.Remove(parent)
			}
		}
	}()
	id, err := unpack(ctx, o, r, dir)
	if err != nil {
		return fmt.Errorf("restore %s into %s: %w", r.Snapshot, dir, err)
	}
	if err := syncDirs(filepath.Join(dir, "member", "snap"), filepath.Join(dir, "member"), dir, parent, o.DataDir); err != nil {
		return err
	}
	f := epochFile{
		V: epochFileVersion, Group: o.Group, Epoch: r.Epoch, Highest: r.Epoch, ClusterID: id, Copy: name,
		Server: o.Name, Since: o.Now().UTC().Truncate(time.Second), DecidedBy: r.DecidedBy,
		Previous: from.ClusterID, Fork: from.Fork, Unconfirmed: r.Unconfirmed, Receipt: r.Receipt,
	}
	return f.write(o.DataDir, o.Sign)
}

// unpack has etcd make a database of one voter, this server, from the snapshot, and
// returns the id of its new cluster.
func unpack(ctx context.Context, o Options, r Restore, dir string) (id string, err error) {
	defer func() { // etcd panics, or ends the process, on what it cannot read or write
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	setVariables()
	fail := func(reason string) { panic(reason) }
	err = snapshot.NewV3(newZap(o.Log, o.Now, fail, false)).Restore(snapshot.RestoreConfig{
		SnapshotPath: r.Snapshot, OutputDataDir: dir,
		Name: o.Name, PeerURLs: []string{o.url()}, InitialCluster: o.Name + "=" + o.url(),
		InitialClusterToken: newToken(o.Group, r.Epoch),
		RevisionBump:        revisionBump, MarkCompacted: true,
	})
	if err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return clusterOf(dir)
}
