package cluster

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"time"

	"countersign/internal/mfa"
)

// Options says where a node lives and who it is. DataDir, Name, Group, Log, Now and Verify
// must be set, for Open but Group; Sign for all that write the epoch file.
type Options struct {
	DataDir string // absolute or relative to the working directory
	Name    string // of this server; unique in the group; letters, digits, ".", "-", "_"
	Group   string // Open: empty accepts the group that the folder belongs to
	Log     *slog.Logger
	Now     func() time.Time

	// Peer is the https URL (https://host:port) under which other members reach this one.
	// Empty: there is no peer port and the server stays alone in its group. Other than what
	// the group has recorded: Run tells the group the new one, for a voter.
	Peer string
	// PeerTLS is what this member shows to other members and trusts. It must be set with Peer.
	PeerTLS PeerTLS

	// Sign signs the epoch file with this server's key; Verify returns an error for what
	// this server's key has not signed.
	Sign   func(message []byte) ([]byte, error)
	Verify func(message, signature []byte) error

	// Fatal runs before the process exits with status 1 because etcd cannot go on (a disk
	// error): flush here what must not be lost. Optional. It must not call the node.
	Fatal func(reason string)

	// Known lists the names in DataDir that other parts of the program own ("trail",
	// "keys"). Anything else in a folder without epoch file makes it a foreign folder.
	Known []string

	Ballast   int64         // bytes of the ballast file; 0: 256 MiB; negative: none
	Snapshots int           // local snapshots kept; 0: 24; negative: none are made
	Batches   int           // batches of commits in flight; 0: 1
	Timeout   time.Duration // of one read or write; 0: 1.8 s
	Tick      time.Duration // of raft, the same on all members; 0: 100 ms, without Peer 10 ms
	Election  time.Duration // 0: 1 s, without Peer 100 ms (a sole voter has nobody to wait for)

	NoBatch       bool // one transaction for each commit; to compare
	UnsafeNoFsync bool // tests only: a crash of the machine loses acknowledged writes

	snapshotAtOnce bool // of raft, whatever it applies
	parked         bool // a copy that is read: it calls nobody
}

// peered reports whether the server has a peer port.
func (o Options) peered() bool { return o.Peer != "" }

// url is what etcd is told as this member's address.
func (o Options) url() string {
	if o.parked {
		return nowherePeer
	}
	return cmp.Or(o.Peer, defaultPeer)
}

// PeerTLS names PEM files. Certificate and key are read again for each connection, so that
// a renewed pair needs no restart.
type PeerTLS struct {
	CertFile string // for server and client authentication
	KeyFile  string
	CAFile   string // the group's CA
}

const (
	defaultBallast   = 256 << 20
	defaultSnapshots = 24
	defaultBatches   = 1                       // a second one halves the batches: more syncs and more processor time for each commit
	defaultTimeout   = 1800 * time.Millisecond // an election takes less, and a refusal comes within 2 s
	singleTick       = 10 * time.Millisecond
	singleElection   = 100 * time.Millisecond
	groupTick        = 100 * time.Millisecond
	groupElection    = time.Second
	defaultPeer      = "https://localhost:7443"
	// nowherePeer is an address of no machine (RFC 5737, section 3). Etcd that is to call from
	// there fails before it has sent anything.
	nowherePeer = "https://192.0.2.1:7443"
)

var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// complete checks o and fills in the defaults.
func (o Options) complete() (Options, error) {
	switch {
	case o.DataDir == "":
		return o, fmt.Errorf("data_dir is not set: %w", mfa.ErrInvalid)
	case !nameRE.MatchString(o.Name):
		return o, fmt.Errorf("name %q: want 1 to 63 letters, digits, dots, hyphens or underscores: %w", o.Name, mfa.ErrInvalid)
	case o.Group != "" && !nameRE.MatchString(o.Group):
		return o, fmt.Errorf("group %q: want 1 to 63 letters, digits, dots, hyphens or underscores: %w", o.Group, mfa.ErrInvalid)
	case o.Log == nil || o.Now == nil || o.Verify == nil:
		return o, fmt.Errorf("cluster: Log, Now and Verify must be set: %w", mfa.ErrInvalid)
	}
	tick, election := groupTick, groupElection
	if !o.peered() {
		tick, election = singleTick, singleElection
	}
	if u, err := url.Parse(o.url()); err != nil || u.Scheme != "https" || u.Port() == "" {
		return o, fmt.Errorf("peer address %q: want https://host:port: %w", o.Peer, mfa.ErrInvalid)
	}
	if o.peered() && (o.PeerTLS.CertFile == "" || o.PeerTLS.KeyFile == "" || o.PeerTLS.CAFile == "") {
		return o, fmt.Errorf("cluster: PeerTLS must name certificate, key and CA when Peer is set: %w", mfa.ErrInvalid)
	}
	set(&o.Ballast, defaultBallast)
	set(&o.Snapshots, defaultSnapshots)
	set(&o.Batches, defaultBatches)
	set(&o.Timeout, defaultTimeout)
	set(&o.Tick, tick)
	set(&o.Election, election)
	o.Ballast = max(o.Ballast, 0)
	o.Snapshots = max(o.Snapshots, 0)
	return o, nil
}

func set[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
