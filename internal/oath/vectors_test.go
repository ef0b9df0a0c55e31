package oath

import (
	"strings"
	"testing"
	"time"

	"countersign/internal/secret"
)

// seed is the shared secret of both RFCs, continued to n bytes as RFC 6238's erratum has it
// for SHA-256 and SHA-512.
func seed(n int) secret.Text {
	return secret.FromString(strings.Repeat("1234567890", 7)[:n])
}

func TestRFC4226AppendixD(t *testing.T) {
	k, err := NewHOTP(seed(20), SHA1, 6)
	if err != nil {
		t.Fatal(err)
	}
	for counter, want := range []string{"755224", "287082", "359152", "969429", "338314",
		"254676", "287922", "162583", "399871", "520489"} {
		if got := k.HOTP(uint64(counter)); got != want {
			t.Errorf("counter %d: got %s, want %s", counter, got, want)
		}
		if got, ok := k.Find(want, 0, 10); !ok || got != uint64(counter) {
			t.Errorf("Find(%s): got %d, %v, want %d", want, got, ok, counter)
		}
	}
	// The table of intermediate values: the truncated number before it is cut to digits.
	for counter, want := range []uint32{1284755224, 1094287082, 137359152, 1726969429, 1640338314,
		868254676, 1918287922, 82162583, 673399871, 645520489} {
		k8, err := NewHOTP(seed(20), SHA1, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := newCoder(k8)
		if got := c.code(uint64(counter)); got != want%100_000_000 {
			t.Errorf("counter %d, 8 digits: got %08d, want %08d", counter, got, want%100_000_000)
		}
	}
}

func TestRFC6238AppendixB(t *testing.T) {
	vectors := []struct {
		unix                 int64
		sha1, sha256, sha512 string
	}{
		{59, "94287082", "46119246", "90693936"},
		{1111111109, "07081804", "68084774", "25091201"},
		{1111111111, "14050471", "67062674", "99943326"},
		{1234567890, "89005924", "91819424", "93441116"},
		{2000000000, "69279037", "90698825", "38618901"},
		{20000000000, "65353130", "77737706", "47863826"},
	}
	for _, v := range vectors {
		now := time.Unix(v.unix, 0)
		for _, c := range []struct {
			a    Algorithm
			want string
		}{{SHA1, v.sha1}, {SHA256, v.sha256}, {SHA512, v.sha512}} {
			k, err := NewTOTP(seed(c.a.SecretSize()), c.a, 8, 30)
			if err != nil {
				t.Fatal(err)
			}
			if got := k.TOTP(now); got != c.want {
				t.Errorf("%s at %d: got %s, want %s", c.a, v.unix, got, c.want)
			}
			if step, ok := k.Match(c.want, now, 0, 1); !ok || step != uint64(v.unix/30) {
				t.Errorf("%s at %d: Match gives step %d, %v, want %d", c.a, v.unix, step, ok, v.unix/30)
			}
		}
	}
}
