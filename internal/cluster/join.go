package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
)

// joiningFileName is there while a copy is being filled; it holds the name of that copy.
// The copy of an interrupted join is never started again: its member may have promised
// the master more than a new process would find.
const joiningFileName = "joining"

// errJoining: a join was interrupted here. It wraps ErrEmpty.
var errJoining = fmt.Errorf("joining the group was interrupted: %w", ErrEmpty)

// Join starts a new copy of the group's database, as the member that AddLearner has just
// added. Mount the node's PeerHandler at once, the master sends the data there, and call
// CatchUp; until that has returned the copy is not to be used, and the folder is what it
// was before. The folder is empty, or holds an earlier membership of this server in the
// same group that nobody has open: that database stays in place until CatchUp is done.
//
// It waits, as long as ctx allows, for one of the members in info to answer. After an
// error or an interruption ask for a new JoinInfo.
func Join(ctx context.Context, o Options, info JoinInfo) (*Node, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	switch {
	case o.Sign == nil || !o.peered():
		return nil, fmt.Errorf("cluster: Sign, Peer and PeerTLS must be set to join a group: %w", mfa.ErrInvalid)
	case o.Group != "" && o.Group != info.Group || !nameRE.MatchString(info.Group) || info.Epoch == 0 || !clusterIDRE.MatchString(info.ClusterID):
		return nil, fmt.Errorf("join group %q: the answer is for group %q, epoch %d, cluster %q: %w", o.Group, info.Group, info.Epoch, info.ClusterID, mfa.ErrInvalid)
	}
	o.Group = info.Group
	if err := refuseNetwork(o.DataDir); err != nil {
		return nil, err
	}
	if _, err := surveyJoin(o, info); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	lock, err := lockFolder(o.DataDir)
	if err != nil {
		return nil, err
	}
	n, err := join(ctx, o, info, lock)
	if err != nil {
		lock.release()
		return nil, fmt.Errorf("join group %s: %w", info.Group, err)
	}
	return n, nil
}

// surveyJoin checks that the folder may take a new copy, and returns what it holds.
func surveyJoin(o Options, info JoinInfo) (epochFile, error) {
	f, err := surveyFolder(o)
	if err != nil && !errors.Is(err, ErrEmpty) {
		return f, err
	}
	if err == nil && f.Highest > info.Epoch {
		return f, fmt.Errorf("%s knows epoch %d, but was asked to join epoch %d, which ended: ask the master of epoch %d: %w",
			o.DataDir, f.Highest, info.Epoch, f.Highest, mfa.ErrInvalid)
	}
	return f, nil
}

func join(ctx context.Context, o Options, info JoinInfo, lock *folderLock) (*Node, error) {
	old, err := surveyJoin(o, info) // again, now that nobody else can change it
	if err != nil {
		return nil, err
	}
	if err := lock.claim(); err != nil {
		return nil, err
	}
	if err := dropHalfCopy(o.DataDir, old.Copy); err != nil {
		return nil, err
	}
	self, members, err := askMembers(ctx, o, info)
	if err != nil {
		return nil, err
	}
	name, err := nextCopy(o.DataDir, info.Epoch)
	if err != nil {
		return nil, err
	}
	if err := writeFileAtomic(filepath.Join(o.DataDir, joiningFileName), []byte(name+"\n")); err != nil {
		return nil, err
	}
	dir := copyDir(o.DataDir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	n, err := start(o, epochFile{
		V: epochFileVersion, Group: info.Group, Epoch: info.Epoch, Highest: info.Epoch, ClusterID: info.ClusterID, Copy: name,
		Server: o.Name, Since: o.Now().UTC().Truncate(time.Second), DecidedBy: "join",
	}, lock, boot{token: info.Group, cluster: members})
	if err != nil {
		return nil, errors.Join(err, dropHalfCopy(o.DataDir, old.Copy))
	}
	got := clusterID(uint64(n.srv.Cluster().ID()))
	if got != info.ClusterID || n.srv.MemberID() != self {
		n.shut()
		return nil, errors.Join(fmt.Errorf("the members are of cluster %s, but the master said %s: %w", got, info.ClusterID, mfa.ErrInvalid),
			dropHalfCopy(o.DataDir, old.Copy))
	}
	n.joining, n.before = &info, old.Copy
	return n, nil
}

// dropHalfCopy removes the copy that an interrupted join has left, never the one that counts.
func dropHalfCopy(dataDir, counts string) error {
	path := filepath.Join(dataDir, joiningFileName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if name := strings.TrimSpace(string(b)); copyRE.MatchString(name) && name != counts {
		if err := os.RemoveAll(copyDir(dataDir, name)); err != nil {
			return err
		}
	}
	if counts == "" {
		os.Remove(filepath.Join(dataDir, dbDirName)) // if nothing else is in it
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(dataDir)
}

// askMembers asks the members that info names for the members of now, which may have
// changed since, until one answers that knows this server.
func askMembers(ctx context.Context, o Options, info JoinInfo) (self types.ID, initial string, err error) {
	told, err := types.NewURLsMap(info.InitialCluster)
	if err != nil {
		return 0, "", fmt.Errorf("members %q: %w (%w)", info.InitialCluster, mfa.ErrInvalid, err)
	}
	client, err := newPeerClient(o)
	if err != nil {
		return 0, "", err
	}
	defer client.close()
	last := fmt.Errorf("no member but this server is named in %q: %w", info.InitialCluster, mfa.ErrInvalid)
	for {
		for _, url := range told.URLs() {
			if url == o.Peer {
				continue
			}
			members, cluster, err := client.members(ctx, url)
			switch {
			case err != nil:
				last = err
				continue
			case cluster != info.ClusterID:
				last = fmt.Errorf("%s is of cluster %s, not %s: %w", url, cluster, info.ClusterID, mfa.ErrInvalid)
				continue
			}
			last = fmt.Errorf("%s does not know this server as %s yet: %w", url, o.Peer, mfa.ErrNotFound)
			for _, m := range members {
				if len(m.PeerURLs) == 1 && m.PeerURLs[0] == o.Peer && m.IsLearner && clusterID(uint64(m.ID)) == info.MemberID {
					return m.ID, initialCluster(members, m.ID, o.Name), nil
				}
			}
		}
		t := time.NewTimer(retryEvery)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return 0, "", fmt.Errorf("no member could be asked: %w (%w)", last, context.Cause(ctx))
		}
	}
}

// Progress is how far a join has come. The totals are those of the master when it admitted
// this server.
type Progress struct {
	Records, TotalRecords int64
	Bytes, TotalBytes     int64
	Revision, Target      int64
}

// CatchUp waits until this copy holds everything that was acknowledged before it is asked,
// and makes it the one that counts: then the node is as one that Open returned. It calls
// progress about twice a second. If it fails, close the node; what it had is dropped by the
// next Join. On a node that has not just joined it does nothing.
func (n *Node) CatchUp(ctx context.Context, progress func(Progress)) error {
	if n.joining == nil {
		return nil
	}
	if err := n.enter(); err != nil {
		return err
	}
	defer n.ops.Done()
	for {
		try, cancel := context.WithTimeout(ctx, progressEvery)
		err := n.linearUntil(try)
		cancel()
		progress(n.progress(ctx))
		if err == nil && n.srv.KV().Rev() >= n.joining.Revision {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("catch up with the group: %w (%w)", context.Cause(ctx), err)
		case <-n.ctx.Done():
			return errClosed
		case <-n.srv.StoppingNotify():
			return fmt.Errorf("catch up with the group: %w; its master has removed it meanwhile, ask to join again", errStopped)
		default:
		}
	}
	if err := n.countThis(); err != nil {
		return fmt.Errorf("catch up with the group: %w", err)
	}
	n.joining = nil
	return nil
}

const progressEvery = 500 * time.Millisecond

// countThis makes the new copy the one that counts, and removes the one before if that is
// of the same epoch: this one holds all of it. That of another epoch is parked.
func (n *Node) countThis() error {
	dir := copyDir(n.o.DataDir, n.file.Copy)
	if err := syncDirs(filepath.Join(dir, "member", "snap"), filepath.Join(dir, "member"), dir, filepath.Dir(dir), n.o.DataDir); err != nil {
		return err
	}
	old, err := readEpochFile(n.o.DataDir, n.o.Verify)
	if err == nil {
		n.file.Highest = max(n.file.Highest, old.Highest)
	}
	if err == nil && old.ClusterID != n.file.ClusterID {
		if err := park(n.o, old, n.file); err != nil {
			return err
		}
	}
	if err := n.file.write(n.o.DataDir, n.o.Sign); err != nil {
		return err
	}
	if n.before != "" && n.before != n.file.Copy && old.ClusterID == n.file.ClusterID {
		if err := os.RemoveAll(copyDir(n.o.DataDir, n.before)); err != nil {
			n.log.Warn("the copy of the earlier membership could not be removed; remove it by hand", "path", copyDir(n.o.DataDir, n.before), "error", err)
		}
	}
	if err := os.Remove(filepath.Join(n.o.DataDir, joiningFileName)); err != nil {
		return err
	}
	return syncDir(n.o.DataDir)
}

// progress looks at what has arrived. While a snapshot comes in it is a file that grows,
// and no record can be read yet.
func (n *Node) progress(ctx context.Context) Progress {
	p := Progress{TotalRecords: n.joining.Records, TotalBytes: n.joining.Bytes, Target: n.joining.Revision}
	p.Records, p.Revision = n.count(ctx)
	p.Bytes = n.srv.Backend().SizeInUse()
	snap := filepath.Join(copyDir(n.o.DataDir, n.file.Copy), "member", "snap")
	entries, _ := os.ReadDir(snap)
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, "tmp") || strings.HasSuffix(name, ".snap.db") {
			if i, err := e.Info(); err == nil {
				p.Bytes = max(p.Bytes, i.Size())
			}
		}
	}
	return p
}

// count returns the number of records in the local copy, and its revision.
func (n *Node) count(ctx context.Context) (records, rev int64) {
	from, end := prefixRange("")
	tx := n.srv.KV().Read(mvcc.ConcurrentReadTxMode, traceutil.TODO())
	defer tx.End()
	r, err := tx.Range(ctx, from, end, mvcc.RangeOptions{CountOnly: true})
	if err != nil {
		return 0, 0
	}
	return int64(r.Count), r.Rev
}
