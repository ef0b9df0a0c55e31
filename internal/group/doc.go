// Package group holds the use cases of the group's servers: codes that admit a server,
// its admission by the master, its departure, and the number of votes that the group's
// size asks for. It defines the JSON bodies that servers send each other about them.
package group

import (
	"context"
	"crypto/x509"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Code is a joining code as the group keeps it.
type Code struct {
	ID      string // 16 hexadecimal digits
	Role    string
	Expires time.Time
	By      string
	Secret  secret.Text
}

// Store is what this package needs of the database. Admit makes m a server by the code in
// one commit, if check, which sees the code and what is recorded of that name (nil:
// nothing), allows it.
type Store interface {
	Members() []mfa.Member
	CreateJoinCode(ctx context.Context, c Code) error
	JoinCode(ctx context.Context, id string) (Code, error)
	// UsedCode is JoinCode for a code that has admitted a server, and has not expired long ago.
	UsedCode(ctx context.Context, id string) (Code, error)
	Admit(ctx context.Context, id string, m mfa.Member, check func(Code, *mfa.Member) error) error
	UpdateMember(ctx context.Context, name string, change func(*mfa.Member) error) error
	RemoveMember(ctx context.Context, name string) error
	CountUsers() int
	// Swap reads the planned promotion that is on its way at the master, or returns
	// mfa.ErrNotFound. BeginSwap returns mfa.ErrExists while there is one, EndSwap removes it.
	Swap(ctx context.Context) (mfa.Swap, error)
	BeginSwap(ctx context.Context, p mfa.Swap) error
	EndSwap(ctx context.Context, p mfa.Swap) error
}

// Node is one member of the group's database.
type Node struct {
	ID     string
	Name   string // "" until it has started once
	Peer   string // host:port
	Voter  bool
	Master bool
}

// JoinInfo is what a server needs to start its copy of the database.
type JoinInfo struct {
	Group          string `json:"group"`
	Epoch          uint64 `json:"epoch"`
	ClusterID      string `json:"cluster_id"`
	MemberID       string `json:"member_id"`
	InitialCluster string `json:"initial_cluster"`
	Revision       int64  `json:"revision"`
	Records        int64  `json:"records"`
	Bytes          int64  `json:"bytes"`
}

// Cluster is the database's membership. Its methods that change it work on the master only.
type Cluster interface {
	Nodes() ([]Node, error)
	AddLearner(ctx context.Context, name, peer string) (JoinInfo, error)
	Promote(ctx context.Context, id string) error
	Remove(ctx context.Context, id string) error
	MoveMaster(ctx context.Context, id string) error
	// Barrier returns once the master has answered.
	Barrier(ctx context.Context) (rev int64, err error)
	// MasterChanged is closed when this server next hears of another master, or of one at all.
	MasterChanged() <-chan struct{}
	Leads() bool // this server is the master
	Full() bool  // it takes no changes though it is: its disk is nearly full
	Master() string
	Revision() int64
	Group() string
	Epoch() uint64
}

// Recorder appends to the trail.
type Recorder interface {
	Append(ctx context.Context, records ...mfa.Record) error
}

// Report is what a server tells the others and the coordinator about itself.
type Report struct {
	Name      string     `json:"name"`
	Group     string     `json:"group"`
	Instance  string     `json:"instance"` // of this run of the program, random
	Version   string     `json:"version"`
	Schema    int        `json:"schema"` // newest of records that its program knows; 0: 1
	Role      string     `json:"role"`   // master, replica, joining, removed
	Voter     bool       `json:"voter"`
	Master    string     `json:"master"`
	MemberID  string     `json:"member_id"`
	Epoch     uint64     `json:"epoch"`
	ClusterID string     `json:"cluster_id"`
	Revision  int64      `json:"revision"`
	Lag       uint64     `json:"lag"`
	Quorum    bool       `json:"quorum"`
	Aside     string     `json:"aside,omitempty"`        // why it decides nothing
	Begins    uint64     `json:"begins_epoch,omitempty"` // it is about to begin this epoch, by a disaster promotion
	ReadOnly  string     `json:"read_only,omitempty"`    // why it could take no changes if it were the master
	Rival     string     `json:"rival,omitempty"`        // cluster id of another database of its epoch, of which it knows
	Since     time.Time  `json:"since"`                  // it runs
	Time      time.Time  `json:"time"`                   // on its clock
	Expires   time.Time  `json:"expires,omitzero"`       // the certificate of its peer port
	Listeners []Listener `json:"listeners,omitempty"`    // its front-ends
	Users     int        `json:"users"`
	SignIns   uint64     `json:"sign_ins"` // verdicts since it runs
	Unmerged  int        `json:"unmerged"` // what it settled without a master and has not merged yet
	Sights    []Sight    `json:"sights,omitempty"`
}

// Sight is something that a client sent to a front-end lately, and that led to no verdict.
type Sight struct {
	Time        time.Time `json:"time"`
	Application string    `json:"application,omitempty" doc:"absent: its address belongs to none"`
	Client      string    `json:"client" doc:"address"`
	What        string    `json:"what" doc:"what became of it, as countersign_radius_packets_total calls it; secret: the password was not readable; unsupported: it asked for something else than PAP"`
	Detail      string    `json:"detail,omitempty"`
}

// Listener is one front-end.
type Listener struct {
	Kind    string `json:"kind"`
	Address string `json:"address"`
	URL     string `json:"url,omitempty"` // of the console, by the name that advertise.console or advertise.https gives it
}

// Peers tells what other servers last said.
type Peers interface {
	// Heard returns the last report of a server, and whether it answers now.
	Heard(name string) (Report, bool)
}

// CA is the group's certificate authority: its own, from the database, or that of the
// independent coordinator that the group uses.
type CA func(ctx context.Context) (Issuer, error)

// Issuer issues certificates to the group's servers.
type Issuer interface {
	Certificate() *x509.Certificate // the authority's own
	// Issue returns a certificate (PEM) for the key (DER) of the server called name, which is
	// reached at addresses (host:port; "" counts for nothing).
	Issue(ctx context.Context, name string, addresses []string, publicKey []byte) ([]byte, error)
}

// Outside is the independent coordinator of a group, as far as joining codes concern it.
type Outside interface {
	Addresses() []string // host:port
	// Announce tells it the id's digest of a code, so that it passes requests on to the master.
	Announce(ctx context.Context, id string, expires time.Time) error
}
