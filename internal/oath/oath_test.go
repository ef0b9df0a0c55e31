package oath

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func mustTOTP(t testing.TB, a Algorithm, digits, period int) Key {
	t.Helper()
	k, err := NewTOTP(seed(a.SecretSize()), a, digits, period)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNewKeyBounds(t *testing.T) {
	tests := []struct {
		name           string
		secret         int
		algorithm      Algorithm
		digits, period int
		ok             bool
	}{
		{"smallest", 10, SHA1, 6, 1, true},
		{"largest", 64, SHA512, 8, 3600, true},
		{"secret too short", 9, SHA1, 6, 30, false},
		{"no secret", 0, SHA1, 6, 30, false},
		{"5 digits", 20, SHA1, 5, 30, false},
		{"9 digits", 20, SHA1, 9, 30, false},
		{"no digits", 20, SHA1, 0, 30, false},
		{"no period", 20, SHA1, 6, 0, false},
		{"negative period", 20, SHA1, 6, -30, false},
		{"period over an hour", 20, SHA1, 6, 3601, false},
		{"no algorithm", 20, "", 6, 30, false},
		{"unknown algorithm", 20, "MD5", 6, 30, false},
		{"algorithm in lower case", 20, "sha1", 6, 30, false},
	}
	for _, tt := range tests {
		k, err := NewTOTP(seed(tt.secret), tt.algorithm, tt.digits, tt.period)
		if (err == nil) != tt.ok {
			t.Errorf("%s: err = %v, want ok %v", tt.name, err, tt.ok)
		}
		if err != nil && (!errors.Is(err, mfa.ErrInvalid) || k.HOTP(0) != "") {
			t.Errorf("%s: err = %v wraps ErrInvalid %v, key is zero %v", tt.name, err, errors.Is(err, mfa.ErrInvalid), k.HOTP(0) == "")
		}
	}
	if _, err := NewHOTP(secret.New(make([]byte, 129)), SHA1, 6); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("secret of 129 bytes: err = %v, want ErrInvalid", err)
	}
}

func TestZeroKeyMatchesNothing(t *testing.T) {
	var k Key
	now := time.Unix(1e9, 0)
	if _, ok := k.Find("", 0, 10); ok {
		t.Error("Find matches")
	}
	if _, ok := k.Match("", now, 0, 1); ok {
		t.Error("Match matches")
	}
	if _, ok := k.FindPair("", "", 0, 10); ok {
		t.Error("FindPair matches")
	}
	if set := k.Matches("", 0, 10); set != 0 {
		t.Errorf("Matches gives %b", set)
	}
	if k.HOTP(1) != "" || k.TOTP(now) != "" || k.Step(now) != 0 {
		t.Error("the zero Key makes codes")
	}
	hotp, err := NewHOTP(seed(20), SHA1, 6)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := hotp.Match(hotp.HOTP(0), time.Unix(0, 0), 0, 1); ok || hotp.TOTP(now) != "" {
		t.Error("a counter-based key takes part in time")
	}
}

func TestMatchWindow(t *testing.T) {
	k := mustTOTP(t, SHA1, 8, 30)
	now := time.Unix(1111111111, 0)
	at := int64(k.Step(now))
	tests := []struct {
		name        string
		drift, skew int
		offset      int64
		ok          bool
	}{
		{"now", 0, 1, 0, true},
		{"one step late", 0, 1, -1, true},
		{"one step early", 0, 1, 1, true},
		{"two steps late", 0, 1, -2, false},
		{"two steps early", 0, 1, 2, false},
		{"no skew", 0, 0, 0, true},
		{"no skew, one late", 0, 0, -1, false},
		{"drift ahead", 3, 1, 4, true},
		{"drift ahead, beyond", 3, 1, 5, false},
		{"drift ahead, now is outside", 3, 1, 0, false},
		{"drift behind", -3, 1, -4, true},
		{"negative skew", 0, -1, 0, false},
	}
	for _, tt := range tests {
		step, ok := k.Match(k.HOTP(uint64(at+tt.offset)), now, tt.drift, tt.skew)
		if ok != tt.ok || ok && step != uint64(at+tt.offset) {
			t.Errorf("%s: got step %d, %v, want %d, %v", tt.name, step, ok, at+tt.offset, tt.ok)
		}
	}
}

func TestMatchAtTheEdgesOfTime(t *testing.T) {
	k := mustTOTP(t, SHA1, 8, 3600)
	for _, now := range []time.Time{{}, time.Unix(-1, 0), time.Unix(0, 0), time.Unix(1, 0), time.Unix(math.MaxInt32, 0)} {
		step, ok := k.Match(k.TOTP(now), now, 0, 2)
		if !ok || step != k.Step(now) {
			t.Errorf("%v: got %d, %v, want %d", now, step, ok, k.Step(now))
		}
	}
	if _, ok := k.Match(k.HOTP(0), time.Unix(0, 0), -5, 2); ok {
		t.Error("a window before 1970 matches")
	}
}

func TestFindNeverReachesTheLastCounter(t *testing.T) {
	k, err := NewHOTP(seed(20), SHA1, 8)
	if err != nil {
		t.Fatal(err)
	}
	const last = math.MaxUint64
	if c, ok := k.Find(k.HOTP(last-1), last-3, 100); !ok || c != last-1 {
		t.Errorf("last but one: got %d, %v", c, ok)
	}
	if c, ok := k.Find(k.HOTP(last), last-3, 100); ok {
		t.Errorf("last counter found as %d: the floor above it would be 0", c)
	}
	if c, ok := k.Find(k.HOTP(0), last-3, 100); ok {
		t.Errorf("search wrapped around to %d", c)
	}
}

func TestFindRefusesWhatIsNoCode(t *testing.T) {
	k := mustTOTP(t, SHA1, 6, 30)
	code := k.HOTP(0) // 755224
	for _, bad := range []string{"", code[:5], code + "0", "0" + code, " " + code[1:], "+" + code[1:], "-55224",
		"7552２4", "75522\x00", "７５５２２４", strings.Repeat("7", 1000)} {
		if c, ok := k.Find(bad, 0, 5); ok {
			t.Errorf("%q found as %d", bad, c)
		}
	}
	if _, ok := k.Find(code, 0, 0); ok {
		t.Error("found in an empty window")
	}
	if _, ok := k.Find(code, 0, -1); ok {
		t.Error("found in a negative window")
	}
}

// TestFindAgainstPlainSearch compares the branch-free searches with ones that a reader can
// check at a glance.
func TestFindAgainstPlainSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, err := NewHOTP(secret.New(rapid.SliceOfN(rapid.Byte(), MinSecret, MaxSecret).Draw(t, "secret")),
			rapid.SampledFrom([]Algorithm{SHA1, SHA256, SHA512}).Draw(t, "algorithm"), rapid.IntRange(6, 8).Draw(t, "digits"))
		if err != nil {
			t.Fatal(err)
		}
		from := rapid.Uint64Range(0, 1<<40).Draw(t, "from")
		n := rapid.IntRange(0, 64).Draw(t, "n")
		code := key.HOTP(from - 3 + rapid.Uint64Range(3, 70).Draw(t, "offset"))
		var want uint64
		for i := range n {
			if key.HOTP(from+uint64(i)) == code {
				want |= 1 << i
			}
		}
		if got := key.Matches(code, from, n); got != want {
			t.Fatalf("Matches: got %b, want %b", got, want)
		}
		counter, ok := key.Find(code, from, n)
		if ok != (want != 0) || ok && counter != from+uint64(bits.Len64(want)-1) {
			t.Fatalf("Find: got %d, %v, want the last of %b from %d", counter, ok, want, from)
		}
	})
}

// TestFindTakesTheLastOfTwo searches for two counters that share a code: whoever spends
// it must spend it for both.
func TestFindTakesTheLastOfTwo(t *testing.T) {
	k, err := NewHOTP(seed(20), SHA1, 6)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]uint64{}
	for c := uint64(0); ; c++ {
		code := k.HOTP(c)
		first, twice := seen[code]
		if !twice {
			seen[code] = c
			continue
		}
		if got, ok := k.Find(code, first, int(c-first+1)); !ok || got != c {
			t.Errorf("code of %d and %d: got %d, %v, want the latter", first, c, got, ok)
		}
		return
	}
}

func TestFindPair(t *testing.T) {
	k, err := NewHOTP(seed(20), SHA1, 8)
	if err != nil {
		t.Fatal(err)
	}
	code := k.HOTP
	tests := []struct {
		name          string
		first, second string
		from          uint64
		n             int
		want          uint64
		ok            bool
	}{
		{"first place", code(10), code(11), 10, 1000, 11, true},
		{"last place", code(1009), code(1010), 10, 1000, 1010, true},
		{"one beyond", code(1010), code(1011), 10, 1000, 0, false},
		{"one before", code(9), code(10), 10, 1000, 0, false},
		{"wrong order", code(12), code(11), 10, 1000, 0, false},
		{"a gap", code(12), code(14), 10, 1000, 0, false},
		{"the same twice", code(12), code(12), 10, 1000, 0, false},
		{"second wrong", code(12), "00000000", 10, 1000, 0, false},
		{"no code", code(12), "", 10, 1000, 0, false},
		{"empty window", code(10), code(11), 10, 0, 0, false},
	}
	for _, tt := range tests {
		got, ok := k.FindPair(tt.first, tt.second, tt.from, tt.n)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: got %d, %v, want %d, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	now := time.Unix(1111111111, 0)
	for _, a := range []Algorithm{SHA1, SHA256, SHA512} {
		for _, skew := range []int{1, 11} {
			k := mustTOTP(b, a, 6, 30)
			code := k.TOTP(now)
			b.Run(fmt.Sprintf("%s/%d_steps", a, 2*skew+1), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, ok := k.Match(code, now, 0, skew); !ok {
						b.Fatal("no match")
					}
				}
			})
		}
	}
}

// BenchmarkMatchWrong is to be compared with BenchmarkMatch: the difference would tell an
// attacker with a stopwatch.
func BenchmarkMatchWrong(b *testing.B) {
	k := mustTOTP(b, SHA1, 6, 30)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := k.Match("000000", time.Unix(1111111111, 0), 0, 1); ok {
			b.Fatal("match")
		}
	}
}
