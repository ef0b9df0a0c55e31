package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
)

// A server that was away while an epoch began may know none of those that are left of the
// group when it comes back: they were admitted since, and whoever admitted them is gone. It
// believes no stranger; but what a server on its record has signed about the later epoch it
// believes from anybody's hand. So each server of a later epoch keeps what the others say.

const (
	testimonyName  = "epochs.json"
	testimonyEvery = 10 * time.Second // between two rounds of asking
	maxTestimony   = 8                // servers whose word is kept
	maxTestified   = 4 << 20          // bytes of the file
)

// testimony is what servers have said, the last word of each, by name.
type testimony struct {
	mu  sync.Mutex
	all map[string]signedWord
}

// signedWord is one server's word.
type signedWord struct {
	said   group.Epoch
	signed group.SignedEpoch
}

// readWord reads a word that is not believed yet.
func readWord(signed group.SignedEpoch) (w signedWord, ok bool) {
	err := json.Unmarshal(signed.Statement, &w.said)
	w.signed = signed
	return w, err == nil && w.said.Name != ""
}

// add keeps w if it says more than what is there, and reports whether it did. Of the first
// epoch nobody has to be told.
func (k *testimony) add(w signedWord) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	old, has := k.all[w.said.Name]
	newer := w.said.Epoch > old.said.Epoch || w.said.Epoch == old.said.Epoch && w.said.Time.After(old.said.Time) && !sameMembers(w.said, old.said)
	if w.said.Epoch < 2 || has && !newer {
		return false
	}
	if k.all == nil {
		k.all = map[string]signedWord{}
	}
	k.all[w.said.Name] = w
	for len(k.all) > maxTestimony {
		delete(k.all, k.oldest())
	}
	return true
}

func sameMembers(a, b group.Epoch) bool {
	return slices.EqualFunc(a.Members, b.Members, func(a, b mfa.Member) bool { return a.Name == b.Name && a.Key == b.Key && a.Peer == b.Peer })
}

func (k *testimony) oldest() (name string) {
	for n, w := range k.all {
		if o, has := k.all[name]; !has || cmp.Or(cmp.Compare(w.said.Epoch, o.said.Epoch), w.said.Time.Compare(o.said.Time)) < 0 {
			name = n
		}
	}
	return name
}

// list returns all that is kept, the lowest epoch first.
func (k *testimony) list() peer.Testimony {
	k.mu.Lock()
	defer k.mu.Unlock()
	words := make([]signedWord, 0, len(k.all))
	for _, w := range k.all {
		words = append(words, w)
	}
	slices.SortFunc(words, func(a, b signedWord) int {
		return cmp.Or(cmp.Compare(a.said.Epoch, b.said.Epoch), cmp.Compare(a.said.Name, b.said.Name))
	})
	t := peer.Testimony{Epochs: []group.SignedEpoch{}}
	for _, w := range words {
		t.Epochs = append(t.Epochs, w.signed)
	}
	return t
}

// tellTestimony is what is kept here, and this server's own word.
func (s *server) tellTestimony() peer.Testimony {
	t := s.testimony.list()
	if own, err := s.tellEpoch(); err == nil {
		t.Epochs = append(t.Epochs, own)
	}
	return t
}

// testify sends what is kept here to m, which does not know this server, and is of an
// earlier epoch.
func (s *server) testify(ctx context.Context, m mfa.Member) {
	if err := s.peers.client.Call(ctx, m.Peer, http.MethodPost, peer.PathTestimony, s.tellTestimony(), nil); err != nil && ctx.Err() == nil {
		s.own.Debug("a server of an earlier epoch was not told of this one", "server", m.Name, "error", err)
	}
}

// hearTestimony takes what somebody sends who may be on no record here. It counts as far as
// it is signed by a server that is.
func (s *server) hearTestimony(t peer.Testimony) error {
	n := s.peers.live.Load()
	if n == nil {
		return nil // place asks
	}
	f, members := n.Folder(), s.peers.members()
	for _, signed := range t.Epochs[:min(len(t.Epochs), maxTestimony+1)] {
		w, ok := readWord(signed)
		i := slices.IndexFunc(members, func(m mfa.Member) bool { return m.Name == w.said.Name })
		if !ok || i < 0 {
			continue
		}
		e, err := signed.Believe(members[i], f.Group, f.Highest)
		if err != nil || e.Epoch <= f.Epoch || e.Epoch < f.Highest {
			continue
		}
		if e.Epoch == f.Highest && s.aside.Load() != nil && !addMembers(&e, members) {
			continue // nobody in it whom this server has not asked
		}
		e.Master = "" // it may be long ago that there was one
		select {
		case s.testified <- told{from: members[i], epoch: e, passedOn: true}:
		default: // it is told again
		}
	}
	return nil
}

// addMembers adds to e those on record here, and reports whether it has one who is not.
func addMembers(e *group.Epoch, here []mfa.Member) (more bool) {
	in := func(m mfa.Member, list []mfa.Member) bool {
		return slices.ContainsFunc(list, func(o mfa.Member) bool { return o.Name == m.Name && o.Key == m.Key })
	}
	for _, m := range e.Members {
		more = more || !in(m, here)
	}
	for _, m := range here {
		if !slices.ContainsFunc(e.Members, func(o mfa.Member) bool { return o.Name == m.Name }) {
			e.Members = append(e.Members, m)
		}
	}
	return more
}

// gatherTestimony asks the other servers now and then, in a later epoch than the first, for
// what they say and keep, until ctx is done.
func (s *server) gatherTestimony(ctx context.Context) error {
	s.testimony.load(s.Config.DataDir)
	tick := time.NewTicker(testimonyEvery)
	defer tick.Stop()
	for {
		if s.node.Epoch() > 1 && s.aside.Load() == nil {
			s.gatherOnce(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *server) gatherOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, epochTimeout)
	defer cancel()
	f, more := s.node.Folder(), false
	for _, m := range s.peers.members() {
		var t peer.Testimony
		if m.Name == s.Config.Name || s.peers.client.Call(ctx, m.Peer, http.MethodGet, peer.PathTestimony, nil, &t) != nil {
			continue
		}
		for _, signed := range t.Epochs[:min(len(t.Epochs), maxTestimony+1)] {
			if w, ok := readWord(signed); ok && w.said.Group == f.Group && w.said.Epoch <= f.Epoch && w.said.Name != s.Config.Name {
				more = s.testimony.add(w) || more
			}
		}
	}
	if !more {
		return
	}
	b, err := json.Marshal(s.testimony.list())
	if err == nil {
		err = writeSynced(filepath.Join(s.Config.DataDir, testimonyName), append(b, '\n'))
	}
	if err != nil {
		s.own.Warn("what other servers say of this epoch could not be written", "file", testimonyName, "error", err)
	}
}

// load reads what was kept before the start. Nothing here is believed, so a damaged file
// only tells less.
func (k *testimony) load(dataDir string) {
	b, err := os.ReadFile(filepath.Join(dataDir, testimonyName))
	if err != nil || len(b) > maxTestified {
		return
	}
	var t peer.Testimony
	if json.NewDecoder(bytes.NewReader(b)).Decode(&t) != nil {
		return
	}
	for _, signed := range t.Epochs {
		if w, ok := readWord(signed); ok {
			k.add(w)
		}
	}
}
