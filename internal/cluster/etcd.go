package cluster

import (
	"fmt"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/pkg/v3/featuregate"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/rafthttp"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

const (
	segmentBytes = 8 << 20 // etcd's own 64 MB would make an empty database 138 MiB
	quotaBytes   = 8 << 30
	history      = "72h" // longer than an old master may be away and still be merged
	maxLearners  = 64    // the same on every member, or the smaller one refuses to start
	// Entries of the log that etcd keeps in memory. A sole member has nobody to catch up,
	// and one entry can hold 64 settlements. A replica that is further behind than groupLog
	// gets a whole copy.
	soleLog       = 500
	groupLog      = 5000
	maxTxnOps     = 512
	maxTxnBytes   = 1 << 20
	defragAtStart = 256 // MiB that can be given back
	peerSilence   = 3 * time.Second
)

// setVariables sets what etcd takes from package variables only.
var setVariables = sync.OnceFunc(func() {
	wal.SegmentSizeBytes = segmentBytes
	rafthttp.ConnReadTimeout, rafthttp.ConnWriteTimeout = peerSilence, peerSilence
})

// boot is what a new database begins with. A database that exists ignores it.
type boot struct {
	token   string // of the cluster that is founded or joined
	cluster string // joining: all members of it, this one included, as name=URL,...
}

// startEtcd starts the member in dir. What etcd would end the process for while it starts becomes the
// error; files may then stay open, so the process should end soon.
func startEtcd(o Options, dir string, b boot) (e *embed.Etcd, err error) {
	setVariables()
	peer, err := url.Parse(o.url())
	if err != nil {
		return nil, err
	}
	c := embed.NewConfig()
	c.Name, c.Dir = o.Name, dir
	c.ListenClientUrls, c.AdvertiseClientUrls = nil, nil
	c.ListenPeerUrls = nil
	c.AdvertisePeerUrls = []url.URL{*peer}
	c.EnableGRPCGateway = false
	c.InitialCluster, c.InitialClusterToken = o.Name+"="+o.url(), b.token
	if b.cluster != "" {
		c.InitialCluster, c.ClusterState = b.cluster, embed.ClusterStateFlagExisting
	}
	if o.peered() {
		c.PeerTLSInfo = o.PeerTLS.info()
	}
	c.TickMs, c.ElectionMs = uint(o.Tick.Milliseconds()), uint(o.Election.Milliseconds())
	c.MaxLearners = maxLearners
	c.QuotaBackendBytes = quotaBytes
	c.SnapshotCount, c.SnapshotCatchUpEntries = soleLog, soleLog/5
	if o.peered() {
		c.SnapshotCount, c.SnapshotCatchUpEntries = groupLog, groupLog
	}
	if o.snapshotAtOnce {
		c.SnapshotCount = 1 // 0 is etcd's default
	}
	c.MaxTxnOps = maxTxnOps
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, history
	c.BootstrapDefragThresholdMegabytes = defragAtStart
	c.UnsafeNoFsync = o.UnsafeNoFsync
	// Not InitialCorruptCheck: it waits 7 s for each member that does not answer, and a
	// server must serve its local copy at once.
	if g, ok := c.ServerFeatureGate.(featuregate.MutableFeatureGate); ok {
		if err := g.SetFromMap(map[string]bool{"CompactHashCheck": true, "SetMemberLocalAddr": o.parked}); err != nil {
			return nil, err
		}
	}

	var running atomic.Bool
	var once sync.Once
	end := func(reason string) {
		if !running.Load() {
			panic(reason) // caught below; etcd starts on this goroutine
		}
		once.Do(func() { // whoever comes second waits here for the end
			o.Log.Error("the database cannot go on; this process ends and must be started again", "reason", reason, "stack", string(debug.Stack()))
			if o.Fatal != nil {
				o.Fatal(reason)
			}
			os.Exit(1)
		})
	}
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newZap(o.Log, o.Now, end, o.parked))
	defer func() {
		if r := recover(); r != nil {
			e, err = nil, fmt.Errorf("start the database in %s: %v", dir, r)
		}
	}()
	if e, err = embed.StartEtcd(c); err != nil {
		return nil, fmt.Errorf("start the database in %s: %w", dir, err)
	}
	running.Store(true)
	return e, nil
}

// SetBack reports whether the database ended, for this reason, because its copy lacks what
// the master knows it to have: its folder is of an earlier moment, or another process serves
// a copy of it.
func SetBack(reason string) bool {
	return strings.HasPrefix(reason, "tocommit(") && strings.Contains(reason, "is out of range [lastIndex(")
}
