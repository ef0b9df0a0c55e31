package coordinator

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"

	"countersign/internal/mfa"
)

// What says who the master is comes over strangers: it is believed as its server signed it,
// and whatever that signs, nothing breaks.
func FuzzStanding(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	sign := func(m []byte) ([]byte, error) { return ed25519.Sign(key, m), nil }
	known := func(server string) ed25519.PublicKey {
		if server == "n1" {
			return key.Public().(ed25519.PublicKey)
		}
		return nil
	}
	f.Add([]byte(`{"group":"corp","epoch":3,"master":"n1","time":"2026-01-02T12:00:00Z","by":"n1"}`))
	f.Add([]byte(`{"group":"corp","epoch":18446744073709551615,"by":"n1","by":"n2"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, statement []byte) {
		sig, _ := sign(append([]byte(signingContext), statement...))
		st, err := Signed{statement, sig}.Open(known)
		if err != nil {
			if !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("refused as %v", err)
			}
			return
		}
		if st.By != "n1" {
			t.Fatalf("%s is taken for the word of %q", statement, st.By)
		}
		s, err := Sign(st, sign)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.Open(known)
		a, _ := json.Marshal(st)
		if b, _ := json.Marshal(again); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s came back as %s, %v", a, b, err)
		}
		sig[0] ^= 1
		if _, err := (Signed{statement, sig}).Open(known); err == nil {
			t.Error("another signature is believed")
		}
		plain, _ := sign(statement)
		if _, err := (Signed{statement, plain}).Open(known); err == nil {
			t.Error("a signature of something else is believed")
		}
	})
}
