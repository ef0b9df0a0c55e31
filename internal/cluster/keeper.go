package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"countersign/internal/mfa"
)

const (
	snapshotDirName = "snapshots"
	snapshotEvery   = time.Hour
)

// keeper makes the local snapshots.
type keeper struct {
	node *Node
	dir  string
	keep int // 0: none are made
	now  func() time.Time
}

// local is one file of the keeper.
type local struct {
	path string
	time time.Time
	rev  int64
}

const localTime = "20060102T150405Z"

var localRE = regexp.MustCompile(`^(\d{8}T\d{6}Z)-([1-9][0-9]{0,18})\.snapshot$`)

// SnapshotMade tells by the name of a local snapshot when it was made.
func SnapshotMade(file string) (time.Time, error) {
	name := filepath.Base(file)
	m := localRE.FindStringSubmatch(name)
	if m == nil {
		return time.Time{}, fmt.Errorf("%s: not the name of a local snapshot: %w", file, mfa.ErrInvalid)
	}
	return time.Parse(localTime, m[1])
}

// list returns the local snapshots, oldest first, and removes what a crash left half done.
func (k *keeper) list() ([]local, error) {
	entries, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []local
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".tmp" {
			os.Remove(filepath.Join(k.dir, e.Name()))
			continue
		}
		m := localRE.FindStringSubmatch(e.Name())
		if m == nil {
			continue // somebody else's
		}
		t, err := SnapshotMade(e.Name())
		if err != nil {
			continue
		}
		rev, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil {
			continue
		}
		all = append(all, local{filepath.Join(k.dir, e.Name()), t, rev})
	}
	// By revision first: a clock that jumped back must not make the newest look oldest.
	slices.SortFunc(all, func(a, b local) int {
		return cmp.Or(cmp.Compare(a.rev, b.rev), a.time.Compare(b.time))
	})
	return all, nil
}

// tick makes a snapshot if one is due: the last is an hour old (or from a time to come) and
// something has changed since. It keeps the newest ones.
func (k *keeper) tick(ctx context.Context) error {
	if k.keep == 0 {
		return nil
	}
	all, err := k.list()
	if err != nil {
		return fmt.Errorf("local snapshots: %w", err)
	}
	now := k.now().UTC().Truncate(time.Second)
	if len(all) > 0 {
		last := all[len(all)-1]
		if age := now.Sub(last.time); age >= 0 && age < snapshotEvery || last.rev == k.node.srv.KV().Rev() {
			return nil
		}
	}
	if size := k.node.srv.Backend().Size(); k.node.disk.short(size) {
		return fmt.Errorf("local snapshot: the disk has no room for %s beside its reserve", bytesText(size))
	}
	if err := k.make(ctx, now); err != nil {
		return fmt.Errorf("local snapshot: %w", err)
	}
	for len(all)+1 > k.keep {
		if err := os.Remove(all[0].path); err != nil {
			return fmt.Errorf("local snapshots: %w", err)
		}
		all = all[1:]
	}
	return nil
}

func (k *keeper) make(ctx context.Context, now time.Time) error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(k.dir, "*.tmp")
	if err != nil {
		return err
	}
	rev, err := k.node.Snapshot(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(k.dir, fmt.Sprintf("%s-%d.snapshot", now.Format(localTime), rev)))
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(k.dir)
}
