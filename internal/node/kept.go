package node

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"countersign/internal/group"
)

const (
	keptName  = "heard.json"
	keptEvery = 5 * time.Second
	maxKept   = 1 << 20 // bytes of the file
)

// kept is what the other servers had reported before this run began, for the receipt of a
// promotion. Nothing is decided by it.
type kept struct {
	mu  sync.Mutex
	all []group.Kept
}

// of returns what is kept of a server; nil: nothing.
func (k *kept) of(name string) *group.Kept {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.IndexFunc(k.all, func(o group.Kept) bool { return o.Name == name }); i >= 0 {
		one := k.all[i]
		return &one
	}
	return nil
}

// load reads the file; one that is missing or damaged tells nothing.
func (k *kept) load(dataDir string) {
	b, err := os.ReadFile(filepath.Join(dataDir, keptName))
	var all []group.Kept
	if err != nil || len(b) > maxKept || json.Unmarshal(b, &all) != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = all
}

// keepHeard writes down every few seconds what the other servers last reported, until ctx
// is done. It is not synced: what a power cut takes is some seconds.
func (s *server) keepHeard(ctx context.Context) error {
	s.kept.load(s.Config.DataDir)
	tick := time.NewTicker(keptEvery)
	defer tick.Stop()
	defer s.writeHeard()
	for {
		s.writeHeard()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// writeHeard writes down what was heard so far, or kept from before.
func (s *server) writeHeard() {
	var list []group.Kept
	for _, m := range s.peers.members() {
		one := s.kept.of(m.Name)
		if seen, ok := s.heard.Last(m.Name); ok && seen.Report.Epoch > 0 {
			one = &group.Kept{Name: m.Name, At: seen.Last.UTC().Truncate(time.Second), Epoch: seen.Report.Epoch, ClusterID: seen.Report.ClusterID,
				Revision: seen.Report.Revision, Led: seen.Report.Leads()}
		}
		if one != nil && m.Name != s.Config.Name {
			list = append(list, *one)
		}
	}
	b, err := json.Marshal(list)
	if err == nil && len(list) > 0 {
		err = replaceFile(filepath.Join(s.Config.DataDir, keptName), append(b, '\n'))
	}
	if err != nil {
		s.own.Debug("what other servers reported could not be written", "file", keptName, "error", err)
	}
}

// replaceFile puts b in the place of the file, whole or not at all.
func replaceFile(path string, b []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
