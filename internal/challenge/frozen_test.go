package challenge

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	"countersign/internal/mfa"
)

// first is what the first version of this program sealed of full.
const first = "01020300000000000000" + // attempt
	"1061616161616161616161616161616161" + "1062626262626262626262626262626262" + "1063636363636363636363636363636363" + // ids
	"20" + "0909090909090909090909090909090909090909090909090909090909090909" + // state
	"8000000000000001" + "fba09bd0ab33" + "f8c495c906" + "e907" + // nonce, times, epoch
	"02" + "02" + "00000000000000018000000000000000" // wrong answers, groups

// A challenge that a server of the version before has asked is answered at one that is newer: in
// a rolling upgrade both are there.
func TestHandlesOfTheFirstVersionOpen(t *testing.T) {
	plain, err := hex.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	want := full()
	want.Source = ""
	got, err := sealer().Open(sealAs(t, 1, plain))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	for _, version := range []byte{0, 3, 4} {
		if _, err := sealer().Open(sealAs(t, version, plain)); !errors.Is(err, mfa.ChallengeInvalid) {
			t.Errorf("version %d: %v, want challenge_invalid", version, err)
		}
	}
}

// Of what the version before can say, nothing is sealed that only this one opens.
func TestHandlesOfTheSecondVersion(t *testing.T) {
	h := full()
	for _, c := range []struct {
		called  bool
		version byte
	}{{false, 2}, {true, 3}} {
		h.Called = c.called
		if b, err := sealer().Seal(h); err != nil || b[0] != c.version {
			t.Errorf("called %t: version %d, %v, want %d", c.called, b[0], err, c.version)
		}
	}
	if _, err := sealer().Open(sealAs(t, 3, append([]byte{2}, make([]byte, 80)...))); !errors.Is(err, mfa.ChallengeInvalid) {
		t.Errorf("a flag that nobody knows: %v", err)
	}
}

// sealAs seals plain as version with the primary key of sealer.
func sealAs(t *testing.T, version byte, plain []byte) []byte {
	t.Helper()
	key, err := sealer().Keys.Key(purpose, 7)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := gcm(key)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, header+nonce)
	b[0] = version
	binary.BigEndian.PutUint32(b[1:], 7)
	if _, err := rand.Read(b[header:]); err != nil {
		t.Fatal(err)
	}
	return aead.Seal(b, b[header:header+nonce], plain, bytes.Clone(b[:header]))
}
