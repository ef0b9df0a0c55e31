package oath

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func TestParseSecret(t *testing.T) {
	const want = "12345678901234567890"
	tests := []struct {
		name, typed string
		ok          bool
	}{
		{"plain", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", true},
		{"lower case", "gezdgnbvgy3tqojqgezdgnbvgy3tqojq", true},
		{"groups of four", "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ", true},
		{"dashes", "gezd-gnbv-gy3t-qojq-gezd-gnbv-gy3t-qojq", true},
		{"line break at the end", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\r\n", true},
		{"hex", "hex:3132333435363738393031323334353637383930", true},
		{"hex with colons", "HEX:31:32:33:34:35:36:37:38:39:30:31:32:33:34:35:36:37:38:39:30", true},
		{"hex with spaces", "hex: 3132 3334 3536 3738 3930 3132 3334 3536 3738 3930", true},
		{"empty", "", false},
		{"only separators", " - - ", false},
		{"too short", "GEZDGNBVGY3TQ", false},
		{"digit 1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", false},
		{"digit 0", "0EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", false},
		{"half a byte too many", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQA", false},
		{"three characters too many", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQAAA", false},
		{"padding in the middle", "GEZDGNBV====GY3TQOJQGEZDGNBVGY3TQOJQ", false},
		{"padding too long", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ========", false},
		{"padding too short", "GEZDGNBVGY3TQOJQGE=====", false},
		{"line break inside", "GEZDGNBVGY3TQOJQ\nGEZDGNBVGY3TQOJQ", false},
		{"dotless i", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\u0131", false},
		{"NUL", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ\x00", false},
		{"hex, odd", "hex:313", false},
		{"hex, no digit", "hex:3132333435363738393031323334353637383g30", false},
		{"hex, short", "hex:313233343536373839", false},
		{"colons outside hex", "GEZD:GNBV:GY3T:QOJQ:GEZD:GNBV:GY3T:QOJQ", false},
		{"too long", "hex:" + strings.Repeat("31", 129), false},
		{"far too long", strings.Repeat("A", 1<<20), false},
	}
	for _, tt := range tests {
		got, err := ParseSecret(secret.FromString(tt.typed))
		switch {
		case tt.ok && (err != nil || !got.Equal(secret.FromString(want))):
			t.Errorf("%s: got %q, %v, want %q", tt.name, got.Expose(), err, want)
		case !tt.ok && (!errors.Is(err, mfa.ErrInvalid) || !got.Empty()):
			t.Errorf("%s: got %q, %v, want ErrInvalid", tt.name, got.Expose(), err)
		case err != nil && tt.typed != "" && strings.Contains(err.Error(), tt.typed):
			t.Errorf("%s: the error holds the secret: %v", tt.name, err)
		}
	}
}

func TestParseSecretWithPadding(t *testing.T) {
	for n := MinSecret; n < MinSecret+5; n++ {
		want := secret.New(bytes.Repeat([]byte{0xa5}, n))
		padded := string(FormatSecret(want).Expose())
		for len(padded)%8 != 0 {
			padded += "="
		}
		if got, err := ParseSecret(secret.FromString(padded)); err != nil || !got.Equal(want) {
			t.Errorf("%d bytes as %s: got %x, %v", n, padded, got.Expose(), err)
		}
	}
}

func TestNewSecret(t *testing.T) {
	for a, size := range map[Algorithm]int{SHA1: 20, SHA256: 32, SHA512: 64} {
		s, err := NewSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 64)), a)
		if err != nil || !s.Equal(secret.New(bytes.Repeat([]byte{7}, size))) {
			t.Errorf("%s: got %x, %v, want %d bytes of the reader", a, s.Expose(), err, size)
		}
		one, err1 := NewSecret(nil, a)
		two, err2 := NewSecret(nil, a)
		if err1 != nil || err2 != nil || one.Equal(two) || one.Len() != size {
			t.Errorf("%s: two secrets of %d bytes, equal %v, errors %v, %v", a, one.Len(), one.Equal(two), err1, err2)
		}
	}
	if s, err := NewSecret(bytes.NewReader(make([]byte, 19)), SHA1); err == nil || !s.Empty() {
		t.Errorf("reader ends early: got %d bytes, %v, want an error", s.Len(), err)
	}
	if _, err := NewSecret(nil, "MD5"); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("unknown algorithm: err = %v, want ErrInvalid", err)
	}
}

func TestParseAlgorithm(t *testing.T) {
	for in, want := range map[string]Algorithm{"SHA1": SHA1, "sha1": SHA1, "SHA-256": SHA256, "sha512": SHA512} {
		if got, err := ParseAlgorithm(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "SHA", "MD5", "SHA-3-256", "sha--1", "SHA1 "} {
		if got, err := ParseAlgorithm(in); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%q: got %q, %v, want ErrInvalid", in, got, err)
		}
	}
}

func TestSecretRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := secret.New(rapid.SliceOfN(rapid.Byte(), MinSecret, MaxSecret).Draw(t, "secret"))
		if got, err := ParseSecret(FormatSecret(want)); err != nil || !got.Equal(want) {
			t.Fatalf("got %x, %v, want %x", got.Expose(), err, want.Expose())
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	for _, s := range []string{"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "gezd gnbv-gy3t qojq=", "hex:31:32 33-34", "HEX:", "AAAAAAAAAAAAAAAAAA======", "\x00", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		got, err := ParseSecret(secret.FromString(typed))
		if err != nil {
			if !errors.Is(err, mfa.ErrInvalid) || !got.Empty() {
				t.Fatalf("got %x with %v", got.Expose(), err)
			}
			return
		}
		if got.Len() < MinSecret || got.Len() > MaxSecret {
			t.Fatalf("%d bytes", got.Len())
		}
		if again, err := ParseSecret(FormatSecret(got)); err != nil || !again.Equal(got) {
			t.Fatalf("round trip of %x: %x, %v", got.Expose(), again.Expose(), err)
		}
	})
}
