package node

import (
	"errors"
	"testing"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
)

// A master that was away knows none of those who are left of a later epoch. It believes no
// stranger, but what a server on its record has signed, whoever brings it; and from then on
// it knows whom to ask.
func TestTestimony(t *testing.T) {
	o := options(folder(t))
	o.Config.Listen.Peer, o.Config.Listen.Coordinator = free(t), free(t)
	must(t, Init(t.Context(), o, "corp"))
	s, end := up(t, o)
	second, err := makeIdentity(t.TempDir())
	must(t, err)
	stranger, err := makeIdentity(t.TempDir())
	must(t, err)
	own, err := s.store.Member("nyc1")
	must(t, err)
	n2 := own
	n2.Name, n2.Peer, n2.Key, n2.Sign = "nyc2", free(t), "22", second.public()
	n3 := own
	n3.Name, n3.Peer, n3.Key, n3.Sign = "nyc3", free(t), "33", stranger.public()
	must(t, s.peers.replace(roster{"corp", []mfa.Member{own, n2}}, s.id))
	must(t, s.store.UpdateMember(t.Context(), "nyc2", func(m *mfa.Member) error { *m = n2; return nil }))
	must(t, s.store.Sync(t.Context()))

	word := func(by identity, change func(*group.Epoch)) group.SignedEpoch {
		e := group.Epoch{Group: "corp", Epoch: 2, Highest: 2, ClusterID: "00000000deadbeef", Name: "nyc2", Master: "nyc2", Members: []mfa.Member{n2, n3}, Time: time.Now()}
		change(&e)
		w, err := e.Sign(by.signMessage)
		must(t, err)
		return w
	}
	same := func(*group.Epoch) {}
	refused := peer.Testimony{Epochs: []group.SignedEpoch{
		word(stranger, same),
		word(stranger, func(e *group.Epoch) { e.Name = "nyc3" }),
		word(second, func(e *group.Epoch) { e.Group = "other" }),
		word(second, func(e *group.Epoch) { e.Epoch = 1 }),
		word(second, func(e *group.Epoch) { e.Epoch = 1 << 40 }),
		{Statement: []byte("null")}, {},
	}}
	must(t, s.hearTestimony(refused))
	if len(s.testified) != 0 || s.aside.Load() != nil {
		t.Fatalf("it believes %+v", <-s.testified)
	}
	must(t, s.hearTestimony(peer.Testimony{Epochs: append(refused.Epochs, word(second, same))}))
	for tick := time.NewTicker(10 * time.Millisecond); s.aside.Load() == nil; <-tick.C {
	}
	if err := end(); !errors.Is(err, errLaterEpoch) || !s.again.Load() {
		t.Errorf("it ended with %v", err)
	}

	// Nobody of that epoch answers: it decides nothing, and asks whoever is named to it next.
	s, end = up(t, o)
	if s.ready() == nil || s.node.Folder().Highest != 2 || len(s.peers.members()) != 2 {
		t.Fatalf("after the start: ready, or not of those of epoch 2: %+v", s.peers.members())
	}
	must(t, s.hearTestimony(peer.Testimony{Epochs: []group.SignedEpoch{word(second, same)}}))
	if len(s.testified) != 0 {
		t.Error("what it knows is told again")
	}
	n4 := n3
	n4.Name, n4.Key = "nyc4", "44"
	must(t, s.hearTestimony(peer.Testimony{Epochs: []group.SignedEpoch{word(stranger, func(e *group.Epoch) { e.Name, e.Members = "nyc3", []mfa.Member{n3, n4} })}}))
	if err := end2(s, end); !errors.Is(err, errLaterEpoch) {
		t.Errorf("it ended with %v", err)
	}
	if list, err := loadRoster(o.Config.DataDir, s.id); err != nil || len(list.Members) != 3 {
		t.Errorf("it asks %+v, %v", list, err)
	}
}

// end2 waits until s is about to start over.
func end2(s *server, end func() error) error {
	for tick := time.NewTicker(10 * time.Millisecond); !s.again.Load(); <-tick.C {
	}
	return end()
}

// Of each server the last word is kept, and the latest of all if there are too many.
func TestTestimonyIsBounded(t *testing.T) {
	var k testimony
	at := func(name string, epoch uint64, members ...string) signedWord {
		w := signedWord{said: group.Epoch{Name: name, Epoch: epoch, Time: time.Unix(int64(epoch), int64(len(members)))}}
		for _, m := range members {
			w.said.Members = append(w.said.Members, mfa.Member{Name: m})
		}
		return w
	}
	for _, c := range []struct {
		w    signedWord
		kept bool
	}{
		{at("n1", 1), false}, {at("n1", 3), true}, {at("n1", 3), false}, {at("n1", 2, "n2"), false}, {at("n1", 3, "n2"), true}, {at("n1", 4), true},
	} {
		if got := k.add(c.w); got != c.kept {
			t.Errorf("%+v: kept %v", c.w.said, got)
		}
	}
	for i := range maxTestimony {
		k.add(at(string(rune('a'+i)), uint64(10+i)))
	}
	if _, has := k.all["n1"]; len(k.all) != maxTestimony || has {
		t.Errorf("%d are kept", len(k.all))
	}
}
