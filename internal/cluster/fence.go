package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/mfa"
)

// Folder is what the epoch file of a data folder says.
type Folder struct {
	Group       string
	Epoch       uint64
	Highest     uint64 // epoch that this server has heard of; more than Epoch: the copy here is of an epoch that ended
	ClusterID   string
	Copy        string
	Since       time.Time
	DecidedBy   string
	Previous    string // cluster that it was forked from; "": of none
	Fork        int64
	Unconfirmed bool
	Rival       string // cluster of the same epoch that was met; "": none
	Receipt     json.RawMessage
}

func (f epochFile) folder() Folder {
	return Folder{f.Group, f.Epoch, f.Highest, f.ClusterID, f.Copy, f.Since, f.DecidedBy, f.Previous, f.Fork, f.Unconfirmed, f.Rival, f.Receipt}
}

// Look reads the epoch file of a data folder and opens nothing. The error wraps ErrEmpty if
// there is no database.
func Look(o Options) (Folder, error) {
	o, err := o.complete()
	if err != nil {
		return Folder{}, err
	}
	f, err := surveyFolder(o)
	return f.folder(), err
}

// Folder returns what the epoch file says now.
func (n *Node) Folder() Folder {
	n.filing.Lock()
	defer n.filing.Unlock()
	return n.file.folder()
}

// SawEpoch remembers, over restarts, that the group is at epoch. A lower one than is known
// is nothing new.
func (n *Node) SawEpoch(epoch uint64) error {
	return n.remember(func(f *epochFile) { f.Highest = max(f.Highest, epoch) })
}

// SawRival remembers, over restarts, that there is another database of this epoch: two
// servers were promoted without contact.
func (n *Node) SawRival(clusterID string) error {
	if clusterID == n.file.ClusterID {
		return fmt.Errorf("cluster %s is this one: %w", clusterID, mfa.ErrInvalid)
	}
	return n.remember(func(f *epochFile) { f.Rival = clusterID })
}

func (n *Node) remember(change func(*epochFile)) error {
	n.filing.Lock()
	defer n.filing.Unlock()
	next := n.file
	change(&next)
	if n.forked {
		return nil // the epoch file is of the epoch that was forked
	}
	if next.Highest == n.file.Highest && next.Rival == n.file.Rival {
		return nil
	}
	if err := next.write(n.o.DataDir, n.o.Sign); err != nil {
		return err
	}
	n.file.Highest, n.file.Rival = next.Highest, next.Rival
	return nil
}

// Fence ends all decisions that are made with this database: from now on it has no master,
// for the reason given. The local copy can be read as before, and Barrier waits for it. nil
// takes the fence away.
func (n *Node) Fence(why error) {
	if why == nil {
		n.fence.Store(nil)
		return
	}
	n.fence.Store(&why)
}

// Fork starts a new epoch from the local copy: its only member is this server. The database
// that is open stays what it is, and stays where it is; the next Open opens the new epoch.
// The fence must be up. Until Fork has returned without an error the folder is what it was.
func (n *Node) Fork(ctx context.Context, r Restore) (err error) {
	if err := n.enter(); err != nil {
		return err
	}
	defer n.ops.Done()
	n.filing.Lock()
	defer n.filing.Unlock()
	switch {
	case n.fence.Load() == nil:
		return errors.New("cluster: a database that decides is not forked: raise the fence first")
	case n.o.Sign == nil || r.DecidedBy == "" || len(r.Receipt) > maxEpochFile/2:
		return fmt.Errorf("cluster: Sign and DecidedBy must be set, and Receipt be short, to fork: %w", mfa.ErrInvalid)
	case r.Epoch <= n.file.Highest:
		return fmt.Errorf("epoch %d: this server knows epoch %d already: %w", r.Epoch, n.file.Highest, mfa.ErrInvalid)
	}
	if size := 2 * n.srv.Backend().Size(); n.disk.short(size) {
		return fmt.Errorf("%w: a new epoch needs %s on the disk of %s beside its reserve: free space and promote again", mfa.ErrReadOnly, bytesText(size), n.o.DataDir)
	}
	file, err := os.CreateTemp(n.o.DataDir, ".fork-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	from := n.file
	from.Fork, err = n.Snapshot(ctx, io.Writer(file))
	if err == nil {
		err = file.Sync()
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	r.Snapshot = file.Name()
	o := n.o
	o.Group = n.file.Group
	err = restore(ctx, o, r, from)
	if f, ferr := readEpochFile(o.DataDir, o.Verify); ferr == nil && f.Epoch == r.Epoch {
		n.forked = true // it counts, even if the last sync has failed
		return nil
	}
	return err
}

// dropForkFiles removes what an interrupted Fork has left.
func dropForkFiles(dataDir string) {
	names, _ := filepath.Glob(filepath.Join(dataDir, ".fork-*"))
	for _, name := range names {
		os.Remove(name)
	}
}
