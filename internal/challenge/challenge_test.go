package challenge

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

type keys map[keyring.KeyID]secret.Text

func (k keys) Primary() keyring.KeyID { return 7 }
func (k keys) Key(_ string, id keyring.KeyID) (secret.Text, error) {
	if t, ok := k[id]; ok {
		return t, nil
	}
	return secret.Text{}, errors.New("no such key")
}

func sealer() Sealer {
	return Sealer{Keys: keys{7: secret.New(bytes.Repeat([]byte{1}, 32)), 6: secret.New(bytes.Repeat([]byte{2}, 32))}}
}

func full() mfa.Handle {
	return mfa.Handle{Attempt: mfa.AttemptID{1, 2, 3}, Application: "aaaaaaaaaaaaaaaa", User: "bbbbbbbbbbbbbbbb", Nonce: 1<<63 | 1,
		Started: time.UnixMilli(1764057600123).UTC(), Expires: time.Unix(1764057720, 0).UTC(), Epoch: 1001, Credential: "cccccccccccccccc",
		State: bytes.Repeat([]byte{9}, 32), Wrong: 2, Groups: []uint64{1, 1 << 63}, Source: "2001:db8::7"}
}

func TestSealOpen(t *testing.T) {
	// The most that there can be: as many groups as rules may name, a message that was sent, an IPv6 address.
	most := full()
	most.State, most.Groups = bytes.Repeat([]byte{9}, 20), []uint64{1, 2, 3, 4, 5, 6, 7, 8}
	most.Source = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"
	rung, least := most, full()
	rung.Called, least.Called = true, true
	all := map[string]mfa.Handle{"full": full(), "the most": most, "the most, and a call": rung, "a call": least}
	for _, source := range []string{"", "203.0.113.7", "::1", "02-00-5E-10-00-00:guests", "fe80::1%eth0", "::ffff:203.0.113.7", "2001:DB8::7", "+49 30 5550100"} {
		h := full()
		h.Source = source
		all["from "+source] = h
	}
	spelled := full()
	spelled.Application, spelled.User, spelled.Credential = "vpn", "aaaaaaaaaaaaaaa1", ""
	all["ids that are not ours"] = spelled
	for name, h := range all {
		b, err := sealer().Seal(h)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(b) > MaxSize {
			t.Errorf("%s: %d bytes, at most %d", name, len(b), MaxSize)
		}
		got, err := sealer().Open(b)
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%s: got %+v (%v), want %+v", name, got, err, h)
		}
		if bytes.Contains(b, []byte("bbbbbbbb")) {
			t.Errorf("%s: the token shows the user", name)
		}
	}
}

func TestOpenRefusesEveryChange(t *testing.T) {
	b, err := sealer().Seal(full())
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		for bit := range 8 {
			forged := bytes.Clone(b)
			forged[i] ^= 1 << bit
			if _, err := sealer().Open(forged); !errors.Is(err, mfa.ChallengeInvalid) {
				t.Fatalf("byte %d bit %d flipped: %v, want challenge_invalid", i, bit, err)
			}
		}
	}
	for n := range b {
		if _, err := sealer().Open(b[:n]); !errors.Is(err, mfa.ChallengeInvalid) {
			t.Fatalf("cut to %d bytes: %v, want challenge_invalid", n, err)
		}
	}
	other := Sealer{Keys: keys{7: secret.New(bytes.Repeat([]byte{3}, 32))}}
	if _, err := other.Open(b); !errors.Is(err, mfa.ChallengeInvalid) {
		t.Errorf("with another group's key: %v, want challenge_invalid", err)
	}
}

// A source that is no address, and too long for a token, is left out: the attempt goes on.
func TestSealLeavesOutALongSource(t *testing.T) {
	h := full()
	h.Source = strings.Repeat("x", 65)
	b, err := sealer().Seal(h)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sealer().Open(b); err != nil || got.Source != "" || got.Nonce != h.Nonce {
		t.Errorf("got %+v (%v)", got, err)
	}
	h.Groups, h.Source = []uint64{1, 2, 3, 4, 5, 6}, strings.Repeat("x", 40)
	if b, err = sealer().Seal(h); err != nil || len(b) > MaxSize {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestSealRefusesOversize(t *testing.T) {
	h := full()
	h.State = make([]byte, 65)
	if _, err := sealer().Seal(h); err == nil {
		t.Error("a state of 65 bytes was sealed")
	}
	h = full()
	h.Groups = make([]uint64, 20)
	if _, err := sealer().Seal(h); err == nil {
		t.Error("20 groups were sealed into 200 bytes")
	}
}

func FuzzOpen(f *testing.F) {
	b, _ := sealer().Seal(full())
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := sealer().Open(b); err == nil && !reflect.DeepEqual(h, full()) {
			t.Errorf("%x opens as %+v", b, h)
		}
	})
}

func FuzzDecode(f *testing.F) {
	b, _ := encode(full())
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(h)
		if err != nil {
			return
		}
		h2, err := decode(again)
		if h2.Source == "" { // it had no room
			h.Source = ""
		}
		if err != nil || !reflect.DeepEqual(h, h2) {
			t.Errorf("%+v encodes to what decodes as %+v (%v)", h, h2, err)
		}
	})
}
