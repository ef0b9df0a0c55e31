package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/store"
)

// Backup implements adminapi.Coordinator: one encrypted file as of a group, with the records
// of all groups and the CA's key.
func (c *independent) Backup(ctx context.Context, by string, passphrase secret.Text, w io.Writer) error {
	act := mfa.Act{Time: c.Now(), Server: c.Config.Name, By: by, Verb: "backup create", Object: c.Config.Name}
	if err := c.trail.Append(ctx, mfa.Record{Act: &act}); err != nil {
		return err
	}
	digest := sha256.Sum256(c.registry.CA.Certificate().Raw)
	return c.writeBackup(ctx, passphrase, w, c.colleagues.Members(), digest[:])
}

// restoreCoordinator fills the folder, which holds this machine's keys, from the backup of a
// coordinator, and returns how many groups that knows. What was granted since the backup was
// made is not known: every group's epochs go ahead.
func (s *server) restoreCoordinator(ctx context.Context, m manifest, keyset keyring.Keyset, snapshot string) (groups int, err error) {
	c := &independent{server: s}
	if s.id.sign == nil {
		if err := os.MkdirAll(s.Config.DataDir, 0o700); err != nil {
			return 0, err
		}
		if s.id, err = makeIdentity(s.Config.DataDir); err != nil {
			return 0, err
		}
	}
	o := c.clusterOptions()
	o.Group = coordinatorGroup
	if err := cluster.RestoreInto(ctx, o, cluster.Restore{Snapshot: snapshot, Epoch: m.Epoch + 1, DecidedBy: "restore"}); err != nil {
		return 0, err
	}
	if c.node, err = cluster.Open(ctx, o); err != nil {
		return 0, err
	}
	defer c.node.Close()
	if _, err := c.node.Barrier(ctx); err != nil {
		return 0, err
	}
	if err := store.PutKeyset(ctx, c.node, c.Config.Name, c.id.wrap.Recipient(), keyset); err != nil {
		return 0, err
	}
	failed := make(chan error, 2)
	data := newStage(ctx, func(err error) { failed <- err })
	defer func() { err = errors.Join(err, data.stop()) }()
	if err := c.open(ctx, data); err != nil {
		return 0, err
	}
	if err := c.colleagues.RemoveOthers(ctx, c.Config.Name); err != nil {
		return 0, err
	}
	if _, err := c.holdBack(ctx); err != nil { // what operators have used since the backup was made
		return 0, err
	}
	if err := c.registry.SkipEpochs(ctx); err != nil {
		return 0, err
	}
	all, err := c.registry.Groups(ctx)
	if err != nil {
		return 0, err
	}
	act := mfa.Act{Time: c.Now(), Server: c.Config.Name, By: "operator", Verb: "backup restore", Object: c.Config.Name,
		Detail: fmt.Sprintf("backup of %s by coordinator %s, revision %d", m.Created.Format(time.RFC3339), m.Server, m.Revision)}
	return len(all), c.trail.Append(ctx, mfa.Record{Act: &act})
}

// coordinatorsLive asks the coordinators that a backup records. While they answer, with a
// majority, the operator must have typed what ends.
func (s *server) coordinatorsLive(ctx context.Context, m manifest, confirm string) error {
	what := fmt.Sprintf("%s/%d", m.Group, m.Epoch)
	if confirm != "" && confirm != what {
		return fmt.Errorf("confirmed was %q, but what ends with this restore is %s: nothing was changed", confirm, what)
	}
	live := ""
	for _, o := range askServers(ctx, m) {
		said := fmt.Sprintf("no answer (%v)", o.err)
		switch {
		case o.err == nil, errors.Is(o.err, mfa.ErrNotFound): // that it knows no group without a name
			live, said = o.member.Coordinator, "it lives"
		case errors.Is(o.err, mfa.ErrUnavailable):
			said = "it lives, but reaches no majority of the coordinators"
		}
		fmt.Fprintf(s.Stdout, "Asked coordinator %s at %s: %s.\n", o.member.Name, o.member.Coordinator, said)
	}
	if live != "" && confirm == "" {
		return fmt.Errorf("the coordinators live: %s answers. Nothing was changed. To add this machine to them, make a code there with `countersign coordinator activation create --coordinator`; to end what they are and all that they have recorded since the backup, stop them and give --confirm %s", live, what)
	}
	return nil
}

// restoreAsCoordinator is RestoreBackup for the backup of a coordinator.
func (s *server) restoreAsCoordinator(ctx context.Context, m manifest, keyset keyring.Keyset, work, confirm string) error {
	if err := coordinatorConfig(s.Options); err != nil {
		return fmt.Errorf("this is the backup of an independent coordinator: %w", err)
	}
	if err := s.coordinatorsLive(ctx, m, confirm); err != nil {
		return err
	}
	groups, err := s.restoreCoordinator(ctx, m, keyset, filepath.Join(work, snapshotName))
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	fmt.Fprintf(s.Stdout, "Restored coordinator %s from its backup of %s: %d groups. The epochs of each go ahead by 1000, so that none is granted twice. Stop the coordinator that was lost for good, if it still runs.\n",
		m.Server, m.Created.Format(time.RFC3339), groups)
	return nil
}
