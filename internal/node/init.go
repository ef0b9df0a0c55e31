package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"countersign/internal/adminapi"
	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/store"
)

var groupName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Init founds a group on this machine: the data folder, this server's keys, epoch 1 of the
// database, the group's keyset and CA, the first record of the trail. A folder that holds
// something is refused and left as it was.
func Init(ctx context.Context, o Options, group string) error {
	s := &server{Options: o}
	if err := s.openLog(); err != nil {
		return err
	}
	defer s.log.Close()
	return s.init(ctx, group)
}

// prepareFolder makes the data folder, if a server can run in it.
func prepareFolder(c config.Config) error {
	if err := adminapi.CheckSocket(SocketPath(c.DataDir)); err != nil {
		return err
	}
	return c.PrepareDataDir()
}

func (s *server) init(ctx context.Context, group string) (err error) {
	if group == coordinatorGroup {
		return fmt.Errorf("no group can be called %s: that is the name of a coordinator's database", group)
	}
	if !groupName.MatchString(group) {
		return fmt.Errorf("group name %q: must be 1 to 63 letters, digits, dots, hyphens and underscores", group)
	}
	if err := prepareFolder(s.Config); err != nil {
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
	return s.foundDatabase(ctx, group, "init", "founded by `countersign init`")
}

// foundDatabase makes epoch 1 of a group's database, its keyset and the first record of its
// trail, in a folder that holds this server's keys.
func (s *server) foundDatabase(ctx context.Context, group, verb, detail string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options := s.clusterOptions()
	options.Group = group
	if s.node, err = cluster.Found(ctx, options); err != nil {
		return err
	}
	keyset, err := keyring.New(nil, s.Now())
	if err == nil {
		err = s.found(ctx, keyset, verb, detail, nil)
	}
	s.node.Close()
	return err
}

// claim makes sure that the folder is empty, but for what may be there, makes this server's keys in it, and returns
// what takes everything away again that was made since, but for what is to be kept.
func (s *server) claim(may ...string) (undo func(keep ...string), err error) {
	dir := s.Config.DataDir
	before, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("data_dir %s: %w", dir, err)
	}
	had := map[string]bool{}
	for _, e := range before {
		had[e.Name()] = true
		// Keys may be there, left by a founding that was interrupted, or laid out before.
		if !slices.Contains([]string{keysDir, leftDir, "lost+found", "lock"}, e.Name()) && !slices.Contains(may, e.Name()) {
			return nil, s.used()
		}
	}
	if s.id, err = makeIdentity(dir); err != nil {
		return nil, err
	}
	return func(keep ...string) {
		after, _ := os.ReadDir(dir)
		for _, e := range after {
			if !had[e.Name()] && e.Name() != "lock" && !slices.Contains(keep, e.Name()) {
				os.RemoveAll(filepath.Join(dir, e.Name()))
			}
		}
	}, nil
}

// used says what a folder holds that is not empty.
func (s *server) used() error {
	dir := s.Config.DataDir
	if _, err := os.Stat(filepath.Join(dir, "epoch.json")); err == nil {
		return fmt.Errorf("%s holds a group's data already, and was left as it is: start it with `countersign server%[2]s`; if this machine is in the wrong group, run `countersign group leave%[2]s` first; or name an empty folder as data_dir (or in COUNTERSIGN_DATA, which counts before it)", dir, s.configFlag())
	}
	if _, err := os.Stat(filepath.Join(dir, rosterName)); err == nil {
		return fmt.Errorf("%s is activated into a group already, and was left as it is: start it with `countersign server%[2]s`, or give that up with `countersign group leave --force%[2]s`", dir, s.configFlag())
	}
	return fmt.Errorf("%s is not empty, and was left as it is: name an empty folder as data_dir (or in COUNTERSIGN_DATA, which counts before it)", dir)
}

// foundCA makes the group's CA, or notes whose the group uses. A group that is restored
// becomes its own coordinator: the one that it had knows nothing of this machine.
func (s *server) foundCA(ctx context.Context) error {
	if s.founding != nil {
		return s.putOutside(ctx, *s.founding)
	}
	_, rev, err := s.getSealed(ctx, sealedOutside)
	if err == nil && rev != 0 {
		s.own.Warn("the group used an independent coordinator; restored, it is its own: take coordinator.urls out of the node file")
		var was outside
		if text, rerr := s.store.ReadSealed(ctx, sealedOutside); rerr == nil && json.Unmarshal(text.Expose(), &was) == nil {
			s.formerly = was.URLs
		}
		err = s.putOutside(ctx, outside{})
	}
	if err != nil {
		return err
	}
	_, err = s.ensureCA(ctx)
	return err
}

// found completes a database that is open and has no keyset for this server yet: keyset,
// CA, trail and its first record. change, if not nil, is called with the records at hand.
func (s *server) found(ctx context.Context, keyset keyring.Keyset, verb, detail string, change func(context.Context) error) (err error) {
	if _, err := s.node.Barrier(ctx); err != nil {
		return err
	}
	if err := store.PutKeyset(ctx, s.node, s.Config.Name, s.id.wrap.Recipient(), keyset); err != nil {
		return err
	}
	if err := s.openStore(ctx); err != nil {
		return err
	}
	failed := make(chan error, 4)
	data := newStage(ctx, func(err error) { failed <- err })
	defer func() { err = errors.Join(err, data.stop()) }()
	data.run("records", s.store.Run)
	data.run("trail", s.trail.Run)
	if err := s.store.Sync(ctx); err != nil {
		return err
	}
	if err := s.fitsRecords(); err != nil { // of a backup
		return err
	}
	if err := s.foundCA(ctx); err != nil {
		return err
	}
	if change != nil {
		if err := change(ctx); err != nil {
			return err
		}
	}
	act := mfa.Act{Time: s.Now(), Server: s.Config.Name, By: "operator", Verb: verb, Object: s.node.Group(), Detail: detail}
	if err := s.trail.Append(ctx, mfa.Record{Act: &act}); err != nil {
		return err
	}
	if err := s.saveHead(ctx, s.trail.Head()); err != nil {
		return err
	}
	return s.saveMark(ctx, mark{Position: s.trail.Head(), Time: s.Now()})
}
