package cluster

import (
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
	Peer    string // https URL under which other members reach this one; empty: none yet
	Log     *slog.Logger
	Now     func() time.Time

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
	Timeout   time.Duration // of one read or write; 0: 2 s
	Tick      time.Duration // of raft; 0: 10 ms (a sole voter has nobody to wait for)
	Election  time.Duration // 0: 100 ms

	NoBatch       bool // one transaction for each commit; to compare
	UnsafeNoFsync bool // tests only: a crash of the machine loses acknowledged writes
}

const (
	defaultBallast   = 256 << 20
	defaultSnapshots = 24
	defaultBatches   = 1 // a second one halves the batches: more syncs and more processor time for each commit
	defaultTimeout   = 2 * time.Second
	defaultTick      = 10 * time.Millisecond
	defaultElection  = 100 * time.Millisecond
	defaultPeer      = "https://localhost:7443"
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
	if o.Peer == "" {
		o.Peer = defaultPeer
	}
	if u, err := url.Parse(o.Peer); err != nil || u.Scheme != "https" || u.Port() == "" {
		return o, fmt.Errorf("peer address %q: want https://host:port: %w", o.Peer, mfa.ErrInvalid)
	}
	set(&o.Ballast, defaultBallast)
	set(&o.Snapshots, defaultSnapshots)
	set(&o.Batches, defaultBatches)
	set(&o.Timeout, defaultTimeout)
	set(&o.Tick, defaultTick)
	set(&o.Election, defaultElection)
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
