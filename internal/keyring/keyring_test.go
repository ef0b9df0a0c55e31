package keyring

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/secret"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newKeyset(t testing.TB) Keyset {
	t.Helper()
	k, err := New(nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rotate(t testing.TB, k Keyset) Keyset {
	t.Helper()
	k, err := k.Rotate(nil, noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t testing.TB, r *Ring, kind, owner, id, plain string) []byte {
	t.Helper()
	b, err := r.Seal(kind, owner, id, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealedOpensOnlyAsTheSameRecord(t *testing.T) {
	r := NewRing(newKeyset(t))
	sealed := seal(t, r, "credential", "alice", "c/alice/1", "seed")
	tests := []struct {
		name, kind, owner, id string
		want                  error
	}{
		{"the same", "credential", "alice", "c/alice/1", nil},
		{"other kind", "user", "alice", "c/alice/1", ErrDamaged},
		{"other owner", "credential", "bob", "c/alice/1", ErrDamaged},
		{"other key", "credential", "alice", "c/alice/2", ErrDamaged},
		{"fields shifted", "credentialalice", "", "c/alice/1", ErrDamaged},
	}
	for _, tt := range tests {
		got, err := r.Open(tt.kind, tt.owner, tt.id, sealed)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if want := "seed"; tt.want == nil && string(got.Expose()) != want {
			t.Errorf("%s: got %q, want %q", tt.name, got.Expose(), want)
		}
	}
}

func TestEveryChangedBitIsRefused(t *testing.T) {
	r := NewRing(newKeyset(t))
	sealed := seal(t, r, "k", "o", "i", "secret")
	for i := range sealed {
		for bit := range 8 {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1 << bit
			if _, err := r.Open("k", "o", "i", bad); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnknownKey) {
				t.Fatalf("byte %d bit %d changed: error %v", i, bit, err)
			}
		}
	}
	for n := range sealed {
		if _, err := r.Open("k", "o", "i", sealed[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: error %v", n, err)
		}
	}
	if _, err := r.Open("k", "o", "i", append(bytes.Clone(sealed), 0)); !errors.Is(err, ErrDamaged) {
		t.Fatalf("one byte longer: error %v", err)
	}
}

func TestSealIsRandomAndKeepsNothingInClear(t *testing.T) {
	r := NewRing(newKeyset(t))
	a, b := seal(t, r, "k", "o", "i", "hunter2hunter2"), seal(t, r, "k", "o", "i", "hunter2hunter2")
	if bytes.Equal(a, b) {
		t.Error("sealing the same twice gave the same bytes")
	}
	if bytes.Contains(a, []byte("hunter2")) {
		t.Error("the clear text is in the sealed record")
	}
	if len(a) != len("hunter2hunter2")+Overhead {
		t.Errorf("sealed length %d, want %d", len(a), len("hunter2hunter2")+Overhead)
	}
}

func TestRotation(t *testing.T) {
	old := newKeyset(t)
	r := NewRing(old)
	before := seal(t, r, "k", "o", "i", "secret")
	digest := r.Digest("alice")
	sub, err := r.Key("challenge", r.Primary())
	if err != nil {
		t.Fatal(err)
	}
	rotated := rotate(t, old)
	r.Replace(rotated)

	if got, err := r.Open("k", "o", "i", before); err != nil || string(got.Expose()) != "secret" {
		t.Errorf("sealed before rotation: %q, %v", got.Expose(), err)
	}
	after := seal(t, r, "k", "o", "i", "secret")
	if id, _ := KeyOf(after); id != rotated.Primary() || id == old.Primary() {
		t.Errorf("sealed after rotation under key %s, want the new primary %s", id, rotated.Primary())
	}
	if _, err := NewRing(old).Open("k", "o", "i", after); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("the old keyset opens what the new key sealed: %v", err)
	}
	if got := r.Digest("alice"); got != digest {
		t.Errorf("digest of a login form changed from %s to %s", digest, got)
	}
	if got, err := r.Key("challenge", old.Primary()); err != nil || !got.Equal(sub) {
		t.Errorf("subkey of the old key changed (%v)", err)
	}
	if got, _ := r.Key("challenge", rotated.Primary()); got.Equal(sub) {
		t.Error("subkeys of two keys are equal")
	}
	if !rotated.Includes(old) || old.Includes(rotated) || rotated.Includes(newKeyset(t)) {
		t.Error("Includes is wrong about old, rotated or foreign keysets")
	}
	infos := rotated.Keys()
	if len(infos) != 2 || infos[0].Primary || !infos[1].Primary || !infos[0].Created.Equal(noon) {
		t.Errorf("Keys() = %+v", infos)
	}
}

func TestRotationEndsAtTheLimit(t *testing.T) {
	k := newKeyset(t)
	for range maxKeys - 1 {
		k = rotate(t, k)
	}
	if got, err := Unmarshal(k.Marshal()); err != nil || !got.Includes(k) {
		t.Errorf("full keyset: %v", err)
	}
	if _, err := k.Rotate(nil, noon); err == nil {
		t.Error("a full keyset could be rotated")
	}
}

// The record key is plain HKDF-SHA-256, so that another implementation can open backups.
func TestSubkeyIsHKDF(t *testing.T) {
	k := newKeyset(t)
	got, err := NewRing(k).Key("purpose", k.Primary())
	if err != nil {
		t.Fatal(err)
	}
	want, err := hkdf.Key(sha256.New, k.keys[0].secret.Expose(), []byte("countersign subkey 1"), "\x07purpose", 32)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Expose(), want) {
		t.Errorf("subkey %x, want HKDF's %x", got.Expose(), want)
	}
}

func TestDigestsHaveAPurpose(t *testing.T) {
	r := NewRing(newKeyset(t))
	if r.DigestOf("a", "bc") == r.DigestOf("ab", "c") || r.DigestOf("a", "x") == r.DigestOf("b", "x") {
		t.Error("digests of different purposes are equal")
	}
	if other := NewRing(newKeyset(t)); other.Digest("alice") == r.Digest("alice") {
		t.Error("two groups have the same digest of a login")
	}
	if got := r.Digest("alice"); len(got) != 26 || strings.Contains(got, "alice") {
		t.Errorf("Digest = %q, want 26 characters", got)
	}
}

func TestWrap(t *testing.T) {
	a, b, c := identity(t), identity(t), identity(t)
	k := newKeyset(t)
	wrapped, err := k.Wrap(a.Recipient(), b.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, k.index.Expose()) {
		t.Error("the wrapped keyset shows a key")
	}
	for _, id := range []Identity{a, b} {
		reread, err := ParseIdentity(secret.FromString(string(id.Text().Expose()) + "\n"))
		if err != nil || reread.Recipient() != id.Recipient() {
			t.Fatalf("reread identity: %v", err)
		}
		got, err := Unwrap(wrapped, reread)
		if err != nil || !got.Includes(k) || got.Primary() != k.Primary() {
			t.Errorf("Unwrap by a recipient: %v", err)
		}
	}
	if _, err := Unwrap(wrapped, c); err == nil || !strings.Contains(err.Error(), c.Recipient()) {
		t.Errorf("Unwrap by a stranger: error %v, want one that names the stranger's key", err)
	}
	wrapped[len(wrapped)-1] ^= 1
	if _, err := Unwrap(wrapped, a); err == nil {
		t.Error("a damaged keyset was unwrapped")
	}
}

func TestBadInput(t *testing.T) {
	k, id := newKeyset(t), identity(t)
	good := k.Marshal().Expose()
	dup := rotate(t, k).Marshal().Expose()
	dup = bytes.Clone(dup)
	copy(dup[headerSize+entrySize:], dup[headerSize:headerSize+4])
	for name, b := range map[string][]byte{
		"empty":             nil,
		"version 2":         append([]byte{2}, good[1:]...),
		"short":             good[:len(good)-1],
		"long":              append(bytes.Clone(good), 0),
		"no key":            append(bytes.Clone(good[:headerSize-1]), 0),
		"primary unknown":   append(append(append(bytes.Clone(good[:1+keySize]), 0, 0, 0, 0), 1), good[headerSize:]...),
		"the same id twice": dup,
	} {
		if _, err := Unmarshal(secret.New(b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("Unmarshal of %s: error %v, want ErrMalformed", name, err)
		}
	}
	for name, f := range map[string]func() error{
		"seal with an empty ring":   func() error { _, err := new(Ring).Seal("k", "o", "i", nil); return err },
		"rotate an empty keyset":    func() error { _, err := Keyset{}.Rotate(nil, noon); return err },
		"wrap an empty keyset":      func() error { _, err := Keyset{}.Wrap(id.Recipient()); return err },
		"wrap to nobody":            func() error { _, err := k.Wrap(); return err },
		"wrap to nonsense":          func() error { _, err := k.Wrap("age1nonsense"); return err },
		"unwrap with zero identity": func() error { _, err := Unwrap(good, Identity{}); return err },
		"unwrap too much":           func() error { _, err := Unwrap(make([]byte, maxWrapped+1), id); return err },
		"parse a bad identity":      func() error { _, err := ParseIdentity(secret.FromString("AGE-SECRET-KEY-1X")); return err },
		"subkey of an unknown key":  func() error { _, err := NewRing(k).Key("p", 0); return err },
		"no randomness":             func() error { _, err := New(strings.NewReader("short"), noon); return err },
	} {
		if err := f(); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "AGE-SECRET") {
			t.Errorf("%s: the error shows the identity: %v", name, err)
		}
	}
}

func TestNothingPrintsAKey(t *testing.T) {
	k, id := newKeyset(t), identity(t)
	r := NewRing(k)
	seal(t, r, "k", "o", "i", "x") // keyed states exist
	raw := k.keys[0].secret.Expose()
	type holder struct {
		k  Keyset
		r  *Ring
		id Identity
	}
	h := holder{k, r, id}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{h, &h, k, &k, r, id, &id, k.Marshal()} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	decimal := strings.Trim(fmt.Sprint(raw[:8]), "[]")
	for _, bad := range []string{hex.EncodeToString(raw), string(raw), decimal, "AGE-SECRET", hex.EncodeToString([]byte("AGE-SECRET"))} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("printed: %q", bad)
		}
	}
}

func TestRingIsReplacedUnderLoad(t *testing.T) {
	k := newKeyset(t)
	r := NewRing(k)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				b, err := r.Seal("k", "o", "i", []byte("x"))
				if err == nil {
					_, err = r.Open("k", "o", "i", b)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		k = rotate(t, k)
		r.Replace(k)
	}
	wg.Wait()
}

func identity(t testing.TB) Identity {
	t.Helper()
	i, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func FuzzUnmarshal(f *testing.F) {
	k := newKeyset(f)
	f.Add(k.Marshal().Expose())
	f.Add(rotate(f, k).Marshal().Expose())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := Unmarshal(secret.New(b))
		if err != nil {
			return
		}
		if got := k.Marshal().Expose(); !bytes.Equal(got, b) {
			t.Errorf("%x was read and written as %x", b, got)
		}
	})
}

func FuzzOpen(f *testing.F) {
	r := NewRing(newKeyset(f))
	f.Add("k", "o", "i", seal(f, r, "k", "o", "i", "x"))
	f.Add("k", "o", "i", []byte{1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, kind, owner, id string, b []byte) {
		if plain, err := r.Open(kind, owner, id, b); err == nil {
			if len(plain.Expose())+Overhead != len(b) {
				t.Errorf("opened %d bytes from %d", plain.Len(), len(b))
			}
			b = bytes.Clone(b)
			b[len(b)-1] ^= 1
			if _, err := r.Open(kind, owner, id, b); err == nil {
				t.Error("a changed record opens as well")
			}
		}
		sealed, err := r.Seal(kind, owner, id, b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Open(kind, owner, id, sealed)
		if err != nil || !bytes.Equal(got.Expose(), b) {
			t.Errorf("sealed %x, opened %x, %v", b, got.Expose(), err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	r := NewRing(newKeyset(b))
	plain := []byte("12345678901234567890")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Seal("credential", "abcdefghijklmnop", "c/abcdefghijklmnop/abcdefghijklmnop", plain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	r := NewRing(newKeyset(b))
	sealed := seal(b, r, "credential", "abcdefghijklmnop", "c/abcdefghijklmnop/abcdefghijklmnop", "12345678901234567890")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open("credential", "abcdefghijklmnop", "c/abcdefghijklmnop/abcdefghijklmnop", sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	r := NewRing(newKeyset(b))
	b.ReportAllocs()
	for b.Loop() {
		r.Digest("alice@corp.example")
	}
}
