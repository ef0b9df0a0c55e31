package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
)

// Node is this server's member of the group's database. Its methods may be called from
// any goroutine. They fail with mfa.ErrUnavailable after Close.
type Node struct {
	o    Options
	log  *slog.Logger
	file epochFile // Highest and Rival under filing
	lock *folderLock
	etcd *embed.Etcd
	srv  *etcdserver.EtcdServer

	queue  *queue
	disk   *guard
	logged uint64 // last entry of the log when it was opened; see recommitted
	quota  int64  // bytes of the database above which puts are refused
	snaps  *keeper
	peers  *peerClient

	joining *JoinInfo // until CatchUp is done
	before  string    // the copy that counted before Join

	contact atomic.Pointer[time.Time] // the last time that the master answered; nil: never
	looking sync.Mutex                // held while somebody asks how far others have come
	reached atomic.Pointer[reached]   // the answer
	inVain  atomic.Uint64             // index that a replica did not have in time
	foreign atomic.Int64              // requests that PeerHandler refused
	fence   atomic.Pointer[error]     // why nothing is decided with this database any more; nil: it is
	reads   atomic.Uint64             // term in which reads see all that was acknowledged
	misses  atomic.Int32              // probes in a row that found no master; Run counts

	filing sync.Mutex // held while the epoch file is changed
	forked bool       // it is no longer this database's

	ctx    context.Context // ends when the node closes
	cancel context.CancelFunc
	mu     sync.Mutex
	closed bool
	ops    sync.WaitGroup // calls that use etcd
}

// Found creates the group's database, epoch 1, in a data folder without one, and opens it.
// It returns an error that says what is in the way, and leaves the folder as it was.
func Found(ctx context.Context, o Options) (*Node, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if o.Group == "" || o.Sign == nil {
		return nil, fmt.Errorf("cluster: Group and Sign must be set to found a group: %w", mfa.ErrInvalid)
	}
	if err := refuseNetwork(o.DataDir); err != nil {
		return nil, err
	}
	if err := mustBeEmpty(o); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	lock, err := lockFolder(o.DataDir)
	if err != nil {
		return nil, err
	}
	n, err := found(ctx, o, lock)
	if err != nil {
		lock.undo()
		return nil, err
	}
	return n, nil
}

func found(ctx context.Context, o Options, lock *folderLock) (*Node, error) {
	if err := mustBeEmpty(o); err != nil { // again, now that nobody else can change it
		return nil, err
	}
	if err := lock.claim(); err != nil {
		return nil, err
	}
	f := epochFile{
		V: epochFileVersion, Group: o.Group, Epoch: 1, Highest: 1, Copy: "epoch-1.1",
		Server: o.Name, Since: o.Now().UTC().Truncate(time.Second), DecidedBy: "init",
	}
	dir := copyDir(o.DataDir, f.Copy)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	n, err := start(o, f, lock, boot{token: newToken(o.Group, 1)})
	if err == nil {
		if err = n.seal(ctx); err != nil {
			n.shut()
		}
	}
	if err != nil {
		os.Remove(filepath.Join(o.DataDir, epochFileName))
		os.RemoveAll(filepath.Join(o.DataDir, dbDirName))
		os.Remove(filepath.Join(o.DataDir, ballastName))
		return nil, fmt.Errorf("found group %s in %s: %w", o.Group, o.DataDir, err)
	}
	return n, nil
}

// seal writes the epoch file of a new database once that works and is on disk.
func (n *Node) seal(ctx context.Context) error {
	if _, err := n.Barrier(ctx); err != nil {
		return err
	}
	n.file.ClusterID = clusterID(uint64(n.srv.Cluster().ID()))
	dir := copyDir(n.o.DataDir, n.file.Copy)
	if err := syncDirs(dir, filepath.Dir(dir), n.o.DataDir); err != nil {
		return err
	}
	return n.file.write(n.o.DataDir, n.o.Sign)
}

// mustBeEmpty refuses a folder that holds a database or something foreign.
func mustBeEmpty(o Options) error {
	f, err := survey(o)
	switch {
	case errors.Is(err, errJoining):
		return err
	case errors.Is(err, ErrEmpty):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%s holds the database of group %s (epoch %d) already: %w; start the server, or name an empty folder as data_dir",
		o.DataDir, f.Group, f.Epoch, mfa.ErrExists)
}

// Open opens the database of a data folder. It returns as soon as the local copy can be
// read, whether other members of the group can be reached or not; a sole voter must complete a Barrier before it decides anything by it. An error
// wraps ErrEmpty if there is nothing yet and ErrLocked if another process has the folder;
// whatever the reason, a folder that is refused is left as it was.
func Open(ctx context.Context, o Options) (*Node, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.DataDir, epochFileName)); err != nil {
		_, err := survey(o) // nothing to lock; says what is there instead
		if err == nil {
			err = fmt.Errorf("%s is being changed by another process", o.DataDir)
		}
		return nil, err
	}
	if err := refuseNetwork(o.DataDir); err != nil {
		return nil, err
	}
	lock, err := lockFolder(o.DataDir)
	if err != nil {
		return nil, err
	}
	f, err := survey(o)
	if err != nil {
		lock.undo()
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		lock.undo()
		return nil, err
	}
	if err := lock.claim(); err != nil {
		lock.undo()
		return nil, err
	}
	dropForkFiles(o.DataDir)
	logged, err := lastLogged(filepath.Join(copyDir(o.DataDir, f.Copy), "member", "wal"))
	if err != nil {
		lock.release()
		return nil, fmt.Errorf("database %s: %w", copyDir(o.DataDir, f.Copy), err)
	}
	n, err := start(o, f, lock, boot{})
	if err != nil {
		lock.release()
		return nil, err
	}
	n.logged = logged
	if got := clusterID(uint64(n.srv.Cluster().ID())); got != f.ClusterID {
		n.Close()
		return nil, fmt.Errorf("database %s is of cluster %s, but %s says %s", copyDir(o.DataDir, f.Copy), got, epochFileName, f.ClusterID)
	}
	return n, nil
}

// start brings up etcd on the copy that f names. The caller holds the lock.
func start(o Options, f epochFile, lock *folderLock, b boot) (*Node, error) {
	client, err := newPeerClient(o)
	if err != nil {
		return nil, err
	}
	e, err := startEtcd(o, copyDir(o.DataDir, f.Copy), b)
	if err != nil {
		return nil, err
	}
	n := &Node{o: o, log: o.Log, file: f, lock: lock, etcd: e, srv: e.Server, quota: ourQuota, peers: client}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.queue = &queue{send: n.send, base: n.ctx, timeout: o.Timeout, lanes: o.Batches, limit: batchLimit}
	if o.NoBatch {
		n.queue.lanes, n.queue.limit = 1<<30, 1
	}
	n.disk = &guard{dir: o.DataDir, size: o.Ballast, log: o.Log, space: diskSpace}
	n.disk.check()
	n.snaps = &keeper{node: n, dir: filepath.Join(o.DataDir, snapshotDirName), keep: o.Snapshots, now: o.Now}
	return n, nil
}

// newToken returns a token that no other cluster has; etcd derives the cluster id from it.
func newToken(group string, epoch uint64) string {
	return fmt.Sprintf("%s/%d/%s", group, epoch, rand.Text())
}

// refuseNetwork refuses a data folder on a network file system, or in one still to be made
// there: locks and syncs are not what they seem.
func refuseNetwork(dir string) error {
	for {
		kind, err := networkDisk(dir)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		if kind != "" {
			return fmt.Errorf("%s lies on %s: a database needs a local disk; name a folder on one as data_dir: %w", dir, kind, mfa.ErrInvalid)
		}
		return nil
	}
}

func syncDirs(dirs ...string) error {
	for _, d := range dirs {
		if err := syncDir(d); err != nil {
			return fmt.Errorf("sync folder: %w", err)
		}
	}
	return nil
}

// Epoch returns the generation of the database, from 1.
func (n *Node) Epoch() uint64 { return n.file.Epoch }

// Group returns the name of the group that the database belongs to.
func (n *Node) Group() string { return n.file.Group }

// ClusterID returns etcd's id of the cluster, 16 hexadecimal digits: one for each epoch.
func (n *Node) ClusterID() string { return n.file.ClusterID }

var (
	errClosed  = fmt.Errorf("the database is closed: %w", mfa.ErrUnavailable)
	errStopped = fmt.Errorf("this server is no longer a member of the group: %w", mfa.ErrUnavailable)
)

// enter begins a call that uses etcd; leave by n.ops.Done.
func (n *Node) enter() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errClosed
	}
	select {
	case <-n.srv.StoppingNotify():
		return errStopped
	default:
	}
	n.ops.Add(1)
	return nil
}

// closeGrace is how long Close lets commits finish that are on their way.
const closeGrace = 500 * time.Millisecond

// Close ends every call on the node, closes the database and gives the folder back. It
// does not wait for a master, but for functions passed to Scan and Watch to return: they
// must not block for long.
func (n *Node) Close() {
	if n.shut() {
		n.lock.release()
	}
}

// shut closes etcd but keeps the folder locked. It reports false if it was closed before.
func (n *Node) shut() bool {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return false
	}
	n.closed = true
	n.mu.Unlock()
	n.queue.drain(closeGrace)
	n.cancel()
	n.ops.Wait()
	n.queue.wg.Wait()
	n.etcd.Close()
	n.peers.close()
	return true
}
