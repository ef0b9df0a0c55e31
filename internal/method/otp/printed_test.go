package otp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/bits"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func recovery(t testing.TB, n int) (mfa.Credential, []string) {
	t.Helper()
	c := mfa.Credential{ID: "rrrrrrrrrrrrrrrr", Method: mfa.MethodRecovery, Uses: n}
	codes, s, err := GenerateRecovery(nil, c.ID, n)
	if err != nil {
		t.Fatal(err)
	}
	c.Secret = s
	var printed []string
	for _, code := range codes {
		printed = append(printed, string(code.Expose()))
	}
	return c, printed
}

func pass(t testing.TB, uses int) (mfa.Credential, string) {
	t.Helper()
	c := mfa.Credential{ID: "tttttttttttttttt", Method: mfa.MethodTAP, Uses: uses}
	p, s, err := GenerateTAP(nil, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	c.Secret = s
	return c, string(p.Expose())
}

func TestGenerate(t *testing.T) {
	c, codes := recovery(t, RecoveryCodes)
	seen := map[string]bool{}
	for _, code := range codes {
		if !regexp.MustCompile(`^[0-9a-hjkmnp-tv-z]{5}-[0-9a-hjkmnp-tv-z]{5}$`).MatchString(code) || len(code) != CodeLength(c) {
			t.Errorf("recovery code %q", code)
		}
		seen[code] = true
		if strings.Contains(string(c.Secret.Expose()), strings.ReplaceAll(code, "-", "")) {
			t.Errorf("the Secret holds the code %s in clear", code)
		}
	}
	if len(seen) != RecoveryCodes {
		t.Errorf("%d different codes, want %d", len(seen), RecoveryCodes)
	}
	tap, p := pass(t, 1)
	if !regexp.MustCompile(`^[0-9a-hjkmnp-tv-z]{4}-[0-9a-hjkmnp-tv-z]{4}$`).MatchString(p) || len(p) != CodeLength(tap) {
		t.Errorf("pass %q", p)
	}
	if d, _ := recovery(t, RecoveryCodes); d.Secret.Equal(c.Secret) {
		t.Error("two credentials have the same Secret")
	}
	for _, n := range []int{-1, 0, 65} {
		if _, _, err := GenerateRecovery(nil, "rrrrrrrrrrrrrrrr", n); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%d codes: err = %v, want ErrInvalid", n, err)
		}
	}
	if _, _, err := GenerateTAP(nil, ""); err == nil {
		t.Error("a pass for a credential without id")
	}
	for _, n := range []int{0, 15, 16, 23} {
		if _, s, err := GenerateTAP(bytes.NewReader(make([]byte, n)), "tttttttttttttttt"); err == nil || !s.Empty() {
			t.Errorf("randomness ends after %d bytes: err = %v, want one", n, err)
		}
	}
}

// TestEveryCharacterIsDrawn: the 256 values of a byte give each of the 32 characters eight
// times.
func TestEveryCharacterIsDrawn(t *testing.T) {
	random := make([]byte, saltSize, saltSize+256)
	for i := range 256 {
		random = append(random, byte(i))
	}
	codes, _, err := generate(bytes.NewReader(random), "rrrrrrrrrrrrrrrr", 32, 8)
	if err != nil {
		t.Fatal(err)
	}
	count := map[rune]int{}
	for _, code := range codes {
		for _, c := range string(code.Expose()) {
			count[c]++
		}
	}
	for _, c := range alphabet {
		if count[c] != 8 {
			t.Errorf("%q is drawn %d times, want 8", c, count[c])
		}
	}
}

func TestRecoveryFinish(t *testing.T) {
	c, codes := recovery(t, RecoveryCodes)
	other, _ := recovery(t, RecoveryCodes)
	other.Secret = c.Secret
	other.ID = "oooooooooooooooo"
	tests := []struct {
		name   string
		c      mfa.Credential
		floor  mfa.Floor
		answer string
		want   mfa.Floor
		err    error
	}{
		{"first", c, mfa.Floor{}, codes[0], mfa.Floor{Spent: 1}, nil},
		{"last", c, mfa.Floor{}, codes[9], mfa.Floor{Spent: 1 << 9}, nil},
		{"others are spent", c, mfa.Floor{Spent: 0b1111_0111, Next: 4, Drift: 2}, codes[3], mfa.Floor{Spent: 0xff, Next: 4, Drift: 2}, nil},
		{"spent", c, mfa.Floor{Spent: 0b1000}, codes[3], mfa.Floor{}, mfa.ReplayedCode},
		{"upper case", c, mfa.Floor{}, strings.ToUpper(codes[1]), mfa.Floor{Spent: 2}, nil},
		{"without dash", c, mfa.Floor{}, strings.ReplaceAll(codes[1], "-", ""), mfa.Floor{Spent: 2}, nil},
		{"with spaces", c, mfa.Floor{}, " " + strings.ReplaceAll(codes[1], "-", " - ") + " ", mfa.Floor{Spent: 2}, nil},
		{"half", c, mfa.Floor{}, codes[1][:5], mfa.Floor{}, mfa.WrongCode},
		{"halves swapped", c, mfa.Floor{}, codes[1][6:] + "-" + codes[2][:5], mfa.Floor{}, mfa.WrongCode},
		{"one more", c, mfa.Floor{}, codes[1] + "0", mfa.Floor{}, mfa.WrongCode},
		{"empty", c, mfa.Floor{}, "", mfa.Floor{}, mfa.WrongCode},
		{"letter u", c, mfa.Floor{}, "uuuuu-uuuuu", mfa.Floor{}, mfa.WrongCode},
		{"NUL", c, mfa.Floor{}, codes[1][:10] + "\x00", mfa.Floor{}, mfa.WrongCode},
		{"not UTF-8", c, mfa.Floor{}, codes[1][:10] + "\xff", mfa.Floor{}, mfa.WrongCode},
		{"253 bytes", c, mfa.Floor{}, codes[1] + strings.Repeat("-", 242), mfa.Floor{}, mfa.WrongCode},
		{"digests moved to another credential", other, mfa.Floor{}, codes[0], mfa.Floor{}, mfa.WrongCode},
	}
	for _, tt := range tests {
		got, err := finish(t, Recovery{}, tt.c, tt.floor, tt.answer)
		if got != tt.want || !errors.Is(err, tt.err) || tt.err == nil && err != nil {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// TestMistakenCharacters: what people read as i, l and o was 1, 1 and 0.
func TestMistakenCharacters(t *testing.T) {
	c := mfa.Credential{ID: "rrrrrrrrrrrrrrrr", Method: mfa.MethodRecovery}
	codes, s, err := generate(bytes.NewReader(append(make([]byte, saltSize), 0, 1, 1, 0, 0, 1, 1, 1, 1, 0)), c.ID, 1, recoveryChars)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(codes[0].Expose()); got != "01100-11110" {
		t.Fatalf("code is %s", got)
	}
	c.Secret = s
	if f, err := finish(t, Recovery{}, c, mfa.Floor{}, "OilO0-lLIiO"); err != nil || f.Spent != 1 {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestTAPFinish(t *testing.T) {
	for _, uses := range []int{0, 1, 3, 64} {
		c, p := pass(t, uses)
		var f mfa.Floor
		for i := range max(uses, 1) {
			next, err := finish(t, TAP{}, c, f, p)
			if err != nil || bits.OnesCount64(next.Spent) != i+1 || next.Spent&f.Spent != f.Spent {
				t.Fatalf("%d uses, use %d: %+v after %+v, %v", uses, i+1, next, f, err)
			}
			f = next
		}
		if got, err := finish(t, TAP{}, c, f, p); err != mfa.ReplayedCode {
			t.Errorf("%d uses, one more: got %+v, %v, want replayed_code", uses, got, err)
		}
		if got, err := finish(t, TAP{}, c, f, "0000-0000"); err != mfa.WrongCode {
			t.Errorf("%d uses, all spent, wrong pass: got %+v, %v, want wrong_code", uses, got, err)
		}
	}
	c, p := pass(t, 3)
	if f, err := finish(t, TAP{}, c, mfa.Floor{Spent: 0b101}, strings.ToUpper(p)); err != nil || f.Spent != 0b111 {
		t.Errorf("after two servers' uses were merged: got %+v, %v, want the free bit", f, err)
	}
	for name, bad := range map[string]string{"empty": "", "half": p[:4], "twice": p + p, "six digits": "123456", "eight digits": "12345678"} {
		if f, err := finish(t, TAP{}, c, mfa.Floor{}, bad); err != mfa.WrongCode {
			t.Errorf("%s: got %+v, %v, want wrong_code", name, f, err)
		}
	}
}

func FuzzReadDigests(f *testing.F) {
	line := strings.Repeat("0a", 16)
	for _, s := range []string{line + "\n" + line, line, line + "\n" + line + "\n", line + "\n\n" + line, strings.Repeat("z", 65), ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		salt, digests, err := readDigests(b)
		if err != nil {
			return
		}
		if len(salt) != saltSize || len(digests) < 1 || len(digests) > group {
			t.Fatalf("salt of %d bytes, %d digests", len(salt), len(digests))
		}
		lines := []string{hex.EncodeToString(salt)}
		for _, d := range digests {
			lines = append(lines, hex.EncodeToString(d))
		}
		if got := strings.Join(lines, "\n"); got != strings.ToLower(string(b)) {
			t.Fatalf("round trip of %q: %q", b, got)
		}
	})
}

// FuzzAnswer: whatever is typed gets a Reason or, being the code, a proof; never a fault.
func FuzzAnswer(f *testing.F) {
	c, codes := recovery(f, 2)
	tap, p := pass(f, 1)
	token, counter := totpCredential(6), hotpCredential(6, 0)
	for _, s := range []string{codes[0], p, code(f, token, at), code(f, counter, 0), "", "-", "\x00", "12 34 56"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var reason mfa.Reason
		for _, tt := range []struct {
			c mfa.Credential
			f func() (mfa.Floor, error)
		}{
			{c, func() (mfa.Floor, error) { return finish(t, Recovery{}, c, mfa.Floor{}, string(answer)) }},
			{tap, func() (mfa.Floor, error) { return finish(t, TAP{}, tap, mfa.Floor{}, string(answer)) }},
			{token, func() (mfa.Floor, error) { return finish(t, totp(1), token, mfa.Floor{}, string(answer)) }},
			{counter, func() (mfa.Floor, error) { return finish(t, hotp(3), counter, mfa.Floor{}, string(answer)) }},
		} {
			got, err := tt.f()
			if err == nil && got == (mfa.Floor{}) || err != nil && (!errors.As(err, &reason) || reason.Accepts()) {
				t.Fatalf("%s %q: got %+v, %v", tt.c.Method, answer, got, err)
			}
		}
	})
}

func BenchmarkRecoveryFinish(b *testing.B) {
	c, codes := recovery(b, RecoveryCodes)
	answer := secret.FromString(codes[9])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Recovery{}).Finish(b.Context(), c, mfa.Floor{}, mfa.Step{}, answer); err != nil {
			b.Fatal(err)
		}
	}
}
