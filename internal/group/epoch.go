package group

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"countersign/internal/mfa"
)

// epochReach is how far above the known one an epoch may be to be believed. A restore goes
// ahead by 1000, a promotion by one.
const epochReach = 1_000_000

// clusterIDRE is the form of etcd's id of a cluster.
var clusterIDRE = regexp.MustCompile(`^[0-9a-f]{16}$`)

var (
	// ErrEpochEnded: the caller's epoch has ended, this server's is a later one.
	ErrEpochEnded = fmt.Errorf("%w: this epoch has ended", mfa.ErrInvalid)
	// ErrAbsurdEpoch: an epoch so far ahead that it can only be a mistake or a lie.
	ErrAbsurdEpoch = errors.New("an epoch that cannot be")
)

// Epoch is what a server says about the epoch of its database.
type Epoch struct {
	Group       string       `json:"group"`
	Epoch       uint64       `json:"epoch"`
	ClusterID   string       `json:"cluster_id"`
	Highest     uint64       `json:"highest_epoch_seen"`
	Since       time.Time    `json:"since"`
	DecidedBy   string       `json:"decided_by"`
	Unconfirmed bool         `json:"unconfirmed,omitempty"`
	Master      string       `json:"master,omitempty"` // that answers it; "": none does
	Members     []mfa.Member `json:"members"`          // of that epoch, this server's own record included
	Name        string       `json:"name"`             // who says so
	Time        time.Time    `json:"time"`             // on its clock
}

// SignedEpoch is an Epoch as its server's identity key signed it.
type SignedEpoch struct {
	Statement json.RawMessage `json:"statement"`
	Signature []byte          `json:"signature"`
}

// epochContext keeps the signature from being taken for one of something else.
const epochContext = "countersign epoch 1\n"

// Sign signs e.
func (e Epoch) Sign(sign func([]byte) ([]byte, error)) (SignedEpoch, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return SignedEpoch{}, err
	}
	sig, err := sign(append([]byte(epochContext), b...))
	return SignedEpoch{b, sig}, err
}

// Believe returns what the server from, which is on record here, says about its epoch, if
// that is signed by its key and of this group. known is the highest epoch known here: the
// error wraps ErrAbsurdEpoch if the one told is out of reach.
func (s SignedEpoch) Believe(from mfa.Member, group string, known uint64) (Epoch, error) {
	var e Epoch
	if err := json.Unmarshal(s.Statement, &e); err != nil {
		return Epoch{}, fmt.Errorf("epoch of server %s: %w: %w", from.Name, mfa.ErrInvalid, err)
	}
	refuse := func(format string, args ...any) (Epoch, error) {
		return Epoch{}, fmt.Errorf("epoch of server %s at %s: %w: %s", from.Name, from.Peer, mfa.ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case len(from.Sign) != ed25519.PublicKeySize || !ed25519.Verify(from.Sign, append([]byte(epochContext), s.Statement...), s.Signature):
		return refuse("what it says is not signed by the key on record")
	case e.Name != from.Name:
		return refuse("it is the word of server %q", e.Name)
	case e.Group != group:
		return refuse("it is of group %q, not of %q", e.Group, group)
	case e.Epoch == 0 || !clusterIDRE.MatchString(e.ClusterID):
		return refuse("it tells epoch %d, cluster %q", e.Epoch, e.ClusterID)
	case e.Epoch > known && e.Epoch-known > epochReach:
		return Epoch{}, fmt.Errorf("server %s at %s tells epoch %d while %d is known here, and is not believed: %w", from.Name, from.Peer, e.Epoch, known, ErrAbsurdEpoch)
	}
	if e.Highest < e.Epoch || e.Highest > known && e.Highest-known > epochReach {
		e.Highest = e.Epoch // what it has heard of, but not believed by us
	}
	return e, nil
}

// RivalOf returns the cluster id of another database of the epoch of which r's server, which
// serves this one, knows; "": it tells of none.
func (r Report) RivalOf(epoch uint64, clusterID string) string {
	if r.Epoch != epoch || r.ClusterID != clusterID || r.Rival == clusterID || !clusterIDRE.MatchString(r.Rival) {
		return ""
	}
	return r.Rival
}

// EpochGrant is an independent coordinator's word that a server may begin an epoch.
type EpochGrant struct {
	Group     string          `json:"group"`
	Epoch     uint64          `json:"epoch"`
	Candidate string          `json:"candidate"`
	By        string          `json:"by"`     // the coordinator
	Signed    json.RawMessage `json:"signed"` // as the coordinator signed it
}

// Granter is an independent coordinator. It grants the epoch after from once, to one
// candidate. The error wraps ErrRefused if it does not, because the master reports to it or
// the epoch is granted already; any other error leaves that open.
type Granter interface {
	Grant(ctx context.Context, group string, from uint64, candidate string) (EpochGrant, error)
}

// ErrRefused: the coordinator has decided against it.
var ErrRefused = errors.New("the coordinator refuses")
