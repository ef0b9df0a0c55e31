package group

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// Whose word on an epoch is believed.
func TestBelieve(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	_, other, _ := ed25519.GenerateKey(nil)
	by := func(key ed25519.PrivateKey) func([]byte) ([]byte, error) {
		return func(m []byte) ([]byte, error) { return ed25519.Sign(key, m), nil }
	}
	n2 := mfa.Member{Name: "n2", Peer: "n2:7443", Sign: public}
	good := Epoch{Group: "corp", Epoch: 3, ClusterID: "00000000deadbeef", Highest: 4, Since: time.Unix(1, 0).UTC(), Name: "n2"}
	for _, c := range []struct {
		name   string
		change func(*Epoch)
		key    ed25519.PrivateKey
		from   mfa.Member
		is     error // nil: believed
	}{
		{"a server on record", func(*Epoch) {}, private, n2, nil},
		{"as far as can be", func(e *Epoch) { e.Epoch, e.Highest = 2+epochReach, 2+epochReach }, private, n2, nil},
		{"another key", func(*Epoch) {}, other, n2, mfa.ErrInvalid},
		{"no key on record", func(*Epoch) {}, private, mfa.Member{Name: "n2"}, mfa.ErrInvalid},
		{"another's word", func(e *Epoch) { e.Name = "n3" }, private, n2, mfa.ErrInvalid},
		{"another group", func(e *Epoch) { e.Group = "other" }, private, n2, mfa.ErrInvalid},
		{"no epoch", func(e *Epoch) { e.Epoch = 0 }, private, n2, mfa.ErrInvalid},
		{"no cluster", func(e *Epoch) { e.ClusterID = "" }, private, n2, mfa.ErrInvalid},
		{"out of reach", func(e *Epoch) { e.Epoch = 3 + epochReach }, private, n2, ErrAbsurdEpoch},
		{"the highest there is", func(e *Epoch) { e.Epoch = ^uint64(0) }, private, n2, ErrAbsurdEpoch},
	} {
		e := good
		c.change(&e)
		s, err := e.Sign(by(c.key))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Believe(c.from, "corp", 2); c.is == nil && (err != nil || got.Epoch != e.Epoch) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %+v, %v; want %v", c.name, got, err, c.is)
		}
	}
	// What it has only heard of does not lead far away.
	e := good
	e.Highest = ^uint64(0)
	s, _ := e.Sign(by(private))
	if got, err := s.Believe(n2, "corp", 2); err != nil || got.Highest != 3 {
		t.Errorf("an absurd epoch that n2 has heard of: %+v, %v", got, err)
	}
	changed := s
	changed.Statement = json.RawMessage(string(s.Statement[:len(s.Statement)-1]) + " }")
	if _, err := changed.Believe(n2, "corp", 2); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a changed statement: %v", err)
	}
}
