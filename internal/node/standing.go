package node

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"countersign/internal/coordinator"
	"countersign/internal/mfa"
)

const (
	standingName    = "standing.json"
	standingEvery   = 10 * time.Second // between two questions to the coordinator
	standingAgain   = 2 * time.Second  // the same, if it did not answer
	standingTimeout = 3 * time.Second
	standingKept    = time.Minute // the file's time may be so old
	maxStanding     = 64 << 10
)

// standing is the coordinator's last signed answer to who the master is. It is kept in the
// data folder, so that it is known when nothing answers, also after a start.
type standing struct {
	mu      sync.Mutex
	last    coordinator.Standing // zero: none was ever heard
	at      time.Time            // when, on this server's clock
	here    time.Time            // the same, if it was since the start
	written time.Time            // time in the file
}

// standingFile is what the file holds.
type standingFile struct {
	V     int       `json:"v"`
	Heard time.Time `json:"heard"`
	coordinator.Signed
}

// Last returns the last answer and when it came; zero: never.
func (k *standing) Last() (coordinator.Standing, time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last, k.at
}

// since is when an answer came last since this server was started; zero: none.
func (k *standing) since() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.here
}

// load reads the file, if there is one, and believes it only with the signature of a server
// that key knows. known is the highest epoch known here.
func (k *standing) load(dataDir, group string, known uint64, key func(server string) ed25519.PublicKey) error {
	return k.loadBy(dataDir, group, known, func(s coordinator.Signed) (coordinator.Standing, error) { return s.Open(key) })
}

// loadBy is load for whatever open believes.
func (k *standing) loadBy(dataDir, group string, known uint64, open func(coordinator.Signed) (coordinator.Standing, error)) error {
	path := filepath.Join(dataDir, standingName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var f standingFile
	var st coordinator.Standing
	if err == nil && len(b) > maxStanding {
		err = errors.New("is too large")
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && f.V != 1 {
		err = fmt.Errorf("format %d, this program knows 1", f.V)
	}
	if err == nil {
		st, err = open(f.Signed)
	}
	if err == nil && st.Group != group {
		err = fmt.Errorf("is of group %q", st.Group)
	}
	if err == nil {
		err = reachable(st, known)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last, k.at, k.written = st, f.Heard, f.Heard
	return nil
}

// reachable refuses an epoch so far above known, the highest known here, that it can only be
// a mistake or a lie: once it was heard, no other would be believed.
func reachable(st coordinator.Standing, known uint64) error {
	if st.Epoch > known && st.Epoch-known > maxEpochStep {
		return fmt.Errorf("%s tells epoch %d while %d is known here, and is not believed: %w", st.By, st.Epoch, known, mfa.ErrInvalid)
	}
	return nil
}

// heard takes an answer that came at now, when known was the highest epoch known here, and writes it if it says something new or the
// file is old.
func (k *standing) heard(dataDir string, s coordinator.Signed, key func(server string) ed25519.PublicKey, known uint64, now time.Time) error {
	st, err := s.Open(key)
	if err != nil {
		return err
	}
	return k.take(dataDir, st, s, known, now)
}

// take is heard for an answer that is believed.
func (k *standing) take(dataDir string, st coordinator.Standing, s coordinator.Signed, known uint64, now time.Time) error {
	if err := reachable(st, known); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if st.Epoch < k.last.Epoch {
		return fmt.Errorf("server %s says that epoch %d counts, but epoch %d was heard before", st.By, st.Epoch, k.last.Epoch)
	}
	same := st.Name == k.last.Name && st.Epoch == k.last.Epoch
	k.last, k.at, k.here = st, now, now
	if age := now.Sub(k.written); same && age >= 0 && age < standingKept {
		return nil
	}
	b, err := json.Marshal(standingFile{1, now.UTC(), s})
	if err == nil {
		err = writeSynced(filepath.Join(dataDir, standingName), append(b, '\n'))
	}
	if err == nil {
		k.written = now
	}
	return err
}

// signKey returns the key that a server on record signs with; nil: none.
func (p *peering) signKey(server string) ed25519.PublicKey {
	for _, m := range p.members() {
		if m.Name == server {
			return m.Sign
		}
	}
	return nil
}

// signStanding says who the master is: this server, which is called only if it is.
func (s *server) signStanding() (coordinator.Signed, error) {
	f, since := s.node.Folder(), s.started
	if t := s.mastered.Load(); t != nil {
		since = *t
	}
	st := coordinator.Standing{Group: f.Group, Epoch: f.Epoch, Name: s.Config.Name, Time: s.Now().UTC(), By: s.Config.Name, Last: s.Config.Name,
		Since: since.UTC(), DecidedBy: f.DecidedBy}
	if r, err := s.store.EpochRecord(); err == nil && r.Epoch == f.Epoch && r.ClusterID == f.ClusterID {
		st.DecidedBy = r.DecidedBy // a replica's own file knows whom it joined
	}
	return coordinator.Sign(st, s.id.signMessage)
}

// keepStanding asks the coordinator who the master is, until ctx is done.
func (s *server) keepStanding(ctx context.Context) error {
	if err := s.standing.load(s.Config.DataDir, s.node.Group(), s.node.Folder().Highest, s.peers.signKey); err != nil {
		s.own.Warn("the coordinator's last answer, which was kept, is not believed", "error", err)
	}
	for {
		wait := standingEvery
		if err := s.askStanding(ctx); err != nil && ctx.Err() == nil {
			wait = standingAgain
			s.own.Debug("the coordinator does not say who the master is", "error", err) // there is an alarm for it
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

func (s *server) askStanding(ctx context.Context) error {
	var signed coordinator.Signed
	if s.group.Cluster.Leads() {
		var err error
		if signed, err = s.signStanding(); err != nil {
			return err
		}
	} else {
		master, err := s.master()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, standingTimeout)
		defer cancel()
		if err := s.peers.client.Call(ctx, master.Peer, http.MethodGet, coordinator.PathMaster, nil, &signed); err != nil {
			return fmt.Errorf("%s at %s: %w", master.Name, master.Peer, err)
		}
	}
	return s.standing.heard(s.Config.DataDir, signed, s.peers.signKey, s.node.Folder().Highest, s.Now())
}
