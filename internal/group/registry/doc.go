// Package registry holds the use cases of an independent coordinator: the groups that it
// knows and their servers, founding codes, certificates, who the master is, and the epochs
// that disaster promotions start. It holds none of a group's keys, and of a joining code
// only a digest.
//
// Its records, in a database of its own:
//
//	ca            the authority of the servers' certificates, sealed
//	g/GROUP       epoch, master, the last epoch granted
//	s/GROUP/NAME  a server: its addresses and the digest of its key
//	f/ID          a founding code that nobody has used yet, its secret sealed
//	j/DIGEST      a joining code that a server of the group has made: group and expiry
//	c/NAME        a coordinator, where there are several
//	n/ID          a code that admits another coordinator, its secret sealed
//
// Where there are several coordinators, one of them answers, the master of their database,
// and the others pass on to it: what is heard (heartbeats, requests of new servers) is in
// its memory alone.
package registry

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"countersign/internal/group"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// KV is what this package needs of the database; see store.KV.
type KV interface {
	Get(ctx context.Context, key string) (value []byte, rev int64, err error)
	Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) (rev int64, err error)
	Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (rev int64, ok bool, err error)
}

// Recorder appends to the coordinator's trail.
type Recorder interface {
	Append(ctx context.Context, records ...mfa.Record) error
}

// Service carries out the use cases. All exported fields must be set; it is safe for
// concurrent use.
type Service struct {
	Name      string   // of this coordinator
	Addresses []string // host:port under which servers call it
	// Others are the addresses of the other coordinators; nil: there are none.
	Others func() []string
	// Leads returns an error if this coordinator is not, or not any more, the one that the
	// others pass on to; nil: there are no others. No epoch is granted by what it heard before.
	Leads  func() error
	KV     KV
	Ring   *keyring.Ring
	CA     pki.CA
	Trail  Recorder
	Limits group.Limits // Silent: after which a server that does not report is taken for gone
	Now    func() time.Time
	Log    *slog.Logger

	mu      sync.Mutex
	began   time.Time                    // when this coordinator began to listen to reports; see Begin
	awake   time.Time                    // when it was last seen to run; see Watch
	heard   map[string]*group.Heartbeats // by group
	letters map[string]*box              // by group
}

// Begin says that reports come in from now on. What was heard before is forgotten: until
// Limits.Silent has passed since, nobody is taken for gone.
func (s *Service) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began, s.heard, s.letters = s.Now(), map[string]*group.Heartbeats{}, map[string]*box{}
}

// addresses are those of all coordinators, this one's first.
func (s *Service) addresses() []string {
	all := slices.Clone(s.Addresses)
	if s.Others == nil {
		return all
	}
	for _, a := range s.Others() {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// beats is what the servers of a group have reported.
func (s *Service) beats(groupName string) *group.Heartbeats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard == nil {
		s.heard = map[string]*group.Heartbeats{}
	}
	h := s.heard[groupName]
	if h == nil {
		h = &group.Heartbeats{}
		s.heard[groupName] = h
	}
	return h
}

// alive returns the last words of the servers of a group that reported lately.
func (s *Service) alive(groupName string) (all []group.Seen) {
	for _, w := range s.beats(groupName).All() {
		if s.Now().Sub(w.Last) < s.Limits.Silent {
			all = append(all, w)
		}
	}
	return all
}
