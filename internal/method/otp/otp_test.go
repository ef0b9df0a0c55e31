package otp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/authn"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
)

var (
	_ authn.Method = TOTP{}
	_ authn.Method = HOTP{}
	_ authn.Method = Recovery{}
	_ authn.Method = TAP{}
)

// now lies 11 s into step 37037037 of 30 s.
var now = time.Unix(1111111121, 0)

const at = 37037037

func totpCredential(digits int) mfa.Credential {
	return mfa.Credential{ID: "cccccccccccccccc", Method: mfa.MethodTOTP, Secret: secret.FromString("12345678901234567890"),
		Algorithm: "SHA1", Digits: digits, Period: 30}
}

func hotpCredential(digits int, counter uint64) mfa.Credential {
	return mfa.Credential{ID: "hhhhhhhhhhhhhhhh", Method: mfa.MethodHOTP, Secret: secret.FromString("12345678901234567890"),
		Algorithm: "SHA1", Digits: digits, Counter: counter}
}

// code returns the code of a counter or step of c.
func code(t testing.TB, c mfa.Credential, counter uint64) string {
	t.Helper()
	k, err := oath.NewHOTP(c.Secret, oath.Algorithm(c.Algorithm), c.Digits)
	if err != nil {
		t.Fatal(err)
	}
	return k.HOTP(counter)
}

func finish(t testing.TB, m authn.Method, c mfa.Credential, f mfa.Floor, answer string) (mfa.Floor, error) {
	t.Helper()
	s, err := m.Begin(t.Context(), mfa.Ask{}, c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Finish(t.Context(), c, f, s, secret.FromString(answer))
	if err != nil && p != (mfa.Proof{}) {
		t.Errorf("a proof %+v comes with the error %v", p, err)
	}
	return p.Floor, err
}

func totp(skew int) TOTP {
	return TOTP{Now: func() time.Time { return now }, Skew: func() int { return skew }}
}

func hotp(ahead int) HOTP { return HOTP{Ahead: func() int { return ahead }} }

func TestMethodsSayWhatTheyAre(t *testing.T) {
	for want, m := range map[mfa.MethodID]authn.Method{mfa.MethodTOTP: totp(1), mfa.MethodHOTP: hotp(10),
		mfa.MethodRecovery: Recovery{}, mfa.MethodTAP: TAP{}} {
		s, err := m.Begin(t.Context(), mfa.Ask{}, mfa.Credential{})
		if m.ID() != want || m.Needs() != mfa.CanPrompt || err != nil || s.Prompt == "" || len(s.State) != 0 {
			t.Errorf("%s: ID %s, Needs %b, step %+v, %v", want, m.ID(), m.Needs(), s, err)
		}
	}
}

func TestCodeLength(t *testing.T) {
	for want, c := range map[int]mfa.Credential{6: totpCredential(6), 8: hotpCredential(8, 0), 11: {Method: mfa.MethodRecovery},
		9: {Method: mfa.MethodTAP}, 0: {Method: mfa.MethodPassword, Digits: 6}} {
		if got := CodeLength(c); got != want {
			t.Errorf("%s: got %d, want %d", c.Method, got, want)
		}
	}
}

func TestTOTPFinish(t *testing.T) {
	c := totpCredential(6)
	at := func(offset int) string { return code(t, c, uint64(at+offset)) }
	tests := []struct {
		name   string
		skew   int
		floor  mfa.Floor
		answer string
		want   mfa.Floor
		err    error
	}{
		{"first code", 1, mfa.Floor{}, at(0), mfa.Floor{Next: 37037038}, nil},
		{"late by one", 1, mfa.Floor{}, at(-1), mfa.Floor{Next: 37037037, Drift: -1}, nil},
		{"early by one", 1, mfa.Floor{}, at(1), mfa.Floor{Next: 37037039, Drift: 1}, nil},
		{"late by two", 1, mfa.Floor{}, at(-2), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"early by two", 1, mfa.Floor{}, at(2), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"late by eleven", 1, mfa.Floor{}, at(-11), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"late by twelve", 1, mfa.Floor{}, at(-12), mfa.Floor{}, mfa.WrongCode},
		{"early by eleven", 1, mfa.Floor{}, at(11), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"early by twelve", 1, mfa.Floor{}, at(12), mfa.Floor{}, mfa.WrongCode},
		{"used", 1, mfa.Floor{Next: 37037038}, at(0), mfa.Floor{}, mfa.ReplayedCode},
		{"older than the used one", 1, mfa.Floor{Next: 37037038}, at(-1), mfa.Floor{}, mfa.ReplayedCode},
		{"the one after the used one", 1, mfa.Floor{Next: 37037038}, at(1), mfa.Floor{Next: 37037039, Drift: 1}, nil},
		{"used, now outside the window", 1, mfa.Floor{Next: 37037034}, at(-4), mfa.Floor{}, mfa.ReplayedCode},
		{"old but not the used one", 1, mfa.Floor{Next: 37037034}, at(-5), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"floor in the future", 1, mfa.Floor{Next: 37037047}, at(0), mfa.Floor{}, mfa.ReplayedCode},
		{"no skew", 0, mfa.Floor{}, at(0), mfa.Floor{Next: 37037038}, nil},
		{"no skew, late by one", 0, mfa.Floor{}, at(-1), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"skew beyond its bound", 1000, mfa.Floor{}, at(-10), mfa.Floor{Next: 37037028, Drift: -10}, nil},
		{"skew below its bound", -1, mfa.Floor{}, at(0), mfa.Floor{Next: 37037038}, nil},
		{"drift ahead", 1, mfa.Floor{Drift: 4}, at(5), mfa.Floor{Next: 37037043, Drift: 5}, nil},
		{"drift ahead, beyond", 1, mfa.Floor{Drift: 4}, at(6), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"drift behind", 1, mfa.Floor{Drift: -4}, at(-4), mfa.Floor{Next: 37037034, Drift: -4}, nil},
		{"current step in spite of a drift", 1, mfa.Floor{Drift: -4}, at(0), mfa.Floor{Next: 37037038, Drift: -3}, nil},
		{"next to the current step with a drift", 1, mfa.Floor{Drift: -4}, at(1), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"drift at its bound", 1, mfa.Floor{Drift: 10}, at(11), mfa.Floor{Next: 37037049, Drift: 10}, nil},
		{"drift that a resync set", 1, mfa.Floor{Drift: 60}, at(61), mfa.Floor{Next: 37037099, Drift: 60}, nil},
		{"drift that a resync set shrinks", 1, mfa.Floor{Drift: 60}, at(59), mfa.Floor{Next: 37037097, Drift: 59}, nil},
		{"absurd drift", 1, mfa.Floor{Drift: 1 << 60}, at(0), mfa.Floor{}, mfa.WrongCode},
		{"spent bits stay", 1, mfa.Floor{Spent: 5}, at(0), mfa.Floor{Next: 37037038, Spent: 5}, nil},
		{"a space in the middle", 1, mfa.Floor{}, at(0)[:3] + " " + at(0)[3:], mfa.Floor{Next: 37037038}, nil},
		{"dashes and spaces", 1, mfa.Floor{}, " " + at(0)[:2] + "-" + at(0)[2:] + " - ", mfa.Floor{Next: 37037038}, nil},
		{"empty", 1, mfa.Floor{}, "", mfa.Floor{}, mfa.WrongCode},
		{"a digit short", 1, mfa.Floor{}, at(0)[:5], mfa.Floor{}, mfa.WrongCode},
		{"a digit more", 1, mfa.Floor{}, at(0) + "0", mfa.Floor{}, mfa.WrongCode},
		{"a letter", 1, mfa.Floor{}, at(0)[:5] + "o", mfa.Floor{}, mfa.WrongCode},
		{"NUL behind", 1, mfa.Floor{}, at(0) + "\x00", mfa.Floor{}, mfa.WrongCode},
		{"line break behind", 1, mfa.Floor{}, at(0) + "\n", mfa.Floor{}, mfa.WrongCode},
		{"not UTF-8", 1, mfa.Floor{}, at(0)[:5] + "\xff", mfa.Floor{}, mfa.WrongCode},
		{"253 bytes", 1, mfa.Floor{}, at(0) + strings.Repeat(" ", 247), mfa.Floor{}, mfa.WrongCode},
		{"wrong", 1, mfa.Floor{}, "000000", mfa.Floor{}, mfa.WrongCode},
	}
	for _, tt := range tests {
		got, err := finish(t, totp(tt.skew), c, tt.floor, tt.answer)
		if got != tt.want || !errors.Is(err, tt.err) || tt.err == nil && err != nil {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// TestTOTPLateTypistIsNotTurnedAway: codes typed ever later shift the window back, and
// then the same user is quick.
func TestTOTPLateTypistIsNotTurnedAway(t *testing.T) {
	c := totpCredential(6)
	var f mfa.Floor
	for i, offset := range []int64{-1, -2, -3, -4, 0} {
		at := now.Add(time.Duration(i) * time.Hour)
		m := TOTP{Now: func() time.Time { return at }, Skew: func() int { return 1 }}
		var err error
		if f, err = finish(t, m, c, f, code(t, c, uint64(at.Unix()/30+offset))); err != nil {
			t.Fatalf("sign-in %d, %d steps late: %v", i, -offset, err)
		}
	}
}

// TestTOTPCodeOfTwoSteps: two steps of one window share a code. Who spends it spends it
// for both, or it would be good twice.
func TestTOTPCodeOfTwoSteps(t *testing.T) {
	c := totpCredential(6)
	const first, second = 37353814, 37353816
	shared := code(t, c, first)
	if shared != code(t, c, second) {
		t.Fatalf("steps %d and %d no longer share a code", first, second)
	}
	m := TOTP{Now: func() time.Time { return time.Unix((first+1)*30, 0) }, Skew: func() int { return 1 }}
	f, err := finish(t, m, c, mfa.Floor{Next: first}, shared)
	if err != nil || f.Next != second+1 {
		t.Fatalf("got %+v, %v, want both spent", f, err)
	}
	if f, err := finish(t, m, c, mfa.Floor{Next: first + 1}, shared); err != nil || f.Next != second+1 {
		t.Errorf("the first is spent: got %+v, %v, want the second accepted", f, err)
	}
}

func TestTOTPClockAtItsEnds(t *testing.T) {
	c := totpCredential(8)
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(59, 0)} {
		m := TOTP{Now: func() time.Time { return at }, Skew: func() int { return 1 }}
		step := uint64(max(at.Unix(), 0) / 30)
		if f, err := finish(t, m, c, mfa.Floor{}, code(t, c, step)); err != nil || f.Next != step+1 {
			t.Errorf("at %v: got %+v, %v", at, f, err)
		}
		if f, err := finish(t, m, c, mfa.Floor{Drift: -50}, "00000000"); err != mfa.WrongCode {
			t.Errorf("at %v, window before time began: got %+v, %v, want wrong_code", at, f, err)
		}
	}
}

func TestHOTPFinish(t *testing.T) {
	c := hotpCredential(8, 100)
	at := func(n uint64) string { return code(t, c, n) }
	tests := []struct {
		name   string
		ahead  int
		floor  mfa.Floor
		answer string
		want   mfa.Floor
		err    error
	}{
		{"first counter", 10, mfa.Floor{}, at(100), mfa.Floor{Next: 101}, nil},
		{"last of the look-ahead", 10, mfa.Floor{}, at(110), mfa.Floor{Next: 111}, nil},
		{"one beyond the look-ahead", 10, mfa.Floor{}, at(111), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"ten times the look-ahead", 10, mfa.Floor{}, at(200), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"beyond ten times", 10, mfa.Floor{}, at(201), mfa.Floor{}, mfa.WrongCode},
		{"one before the credential's first", 10, mfa.Floor{}, at(99), mfa.Floor{}, mfa.ReplayedCode},
		{"floor above the credential's counter", 10, mfa.Floor{Next: 150}, at(150), mfa.Floor{Next: 151}, nil},
		{"used", 10, mfa.Floor{Next: 150}, at(149), mfa.Floor{}, mfa.ReplayedCode},
		{"used, ten back", 10, mfa.Floor{Next: 150}, at(140), mfa.Floor{}, mfa.ReplayedCode},
		{"used, eleven back", 10, mfa.Floor{Next: 150}, at(139), mfa.Floor{}, mfa.WrongCode},
		{"credential's counter above the floor", 10, mfa.Floor{Next: 5}, at(5), mfa.Floor{}, mfa.WrongCode},
		{"no look-ahead", 0, mfa.Floor{}, at(100), mfa.Floor{Next: 101}, nil},
		{"no look-ahead, one on", 0, mfa.Floor{}, at(101), mfa.Floor{}, mfa.WrongCode},
		{"look-ahead over its bound", 5000, mfa.Floor{}, at(200), mfa.Floor{Next: 201}, nil},
		{"look-ahead over its bound, beyond", 5000, mfa.Floor{}, at(201), mfa.Floor{}, mfa.CodeOutsideWindow},
		{"spaces", 10, mfa.Floor{}, at(100)[:4] + " " + at(100)[4:], mfa.Floor{Next: 101}, nil},
		{"drift and spent bits stay", 10, mfa.Floor{Drift: 3, Spent: 5}, at(100), mfa.Floor{Next: 101, Drift: 3, Spent: 5}, nil},
		{"empty", 10, mfa.Floor{}, "", mfa.Floor{}, mfa.WrongCode},
		{"six digits of eight", 10, mfa.Floor{}, at(100)[2:], mfa.Floor{}, mfa.WrongCode},
		{"wrong", 10, mfa.Floor{}, "00000000", mfa.Floor{}, mfa.WrongCode},
		{"no counter left", 10, mfa.Floor{Next: 1<<64 - 1}, at(1<<64 - 1), mfa.Floor{}, mfa.WrongCode},
	}
	for _, tt := range tests {
		got, err := finish(t, hotp(tt.ahead), c, tt.floor, tt.answer)
		if got != tt.want || !errors.Is(err, tt.err) || tt.err == nil && err != nil {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
	if got, err := finish(t, hotp(10), hotpCredential(8, 0), mfa.Floor{}, code(t, c, 0)); err != nil || got.Next != 1 {
		t.Errorf("counter 0: got %+v, %v", got, err)
	}
}

// TestUnusableCredentialIsOurFault: no Reason, so that the engine does not book it on the
// user, and nothing of the secret.
func TestUnusableCredentialIsOurFault(t *testing.T) {
	tests := []struct {
		name   string
		m      authn.Method
		c      mfa.Credential
		change func(*mfa.Credential)
	}{
		{"totp without secret", totp(1), totpCredential(6), func(c *mfa.Credential) { c.Secret = secret.Text{} }},
		{"totp without period", totp(1), totpCredential(6), func(c *mfa.Credential) { c.Period = 0 }},
		{"totp with 4 digits", totp(1), totpCredential(6), func(c *mfa.Credential) { c.Digits = 4 }},
		{"totp without algorithm", totp(1), totpCredential(6), func(c *mfa.Credential) { c.Algorithm = "" }},
		{"hotp without secret", hotp(1), hotpCredential(6, 0), func(c *mfa.Credential) { c.Secret = secret.Text{} }},
		{"hotp given to totp", totp(1), hotpCredential(6, 0), func(c *mfa.Credential) { c.Period = 30 }},
		{"totp given to hotp", hotp(1), totpCredential(6), func(*mfa.Credential) {}},
		{"recovery without digests", Recovery{}, mfa.Credential{ID: "rrrrrrrrrrrrrrrr", Method: mfa.MethodRecovery}, func(*mfa.Credential) {}},
		{"tap with a broken digest", TAP{}, mfa.Credential{ID: "tttttttttttttttt", Method: mfa.MethodTAP}, func(c *mfa.Credential) {
			c.Secret = secret.FromString(strings.Repeat("zz", 16) + "\n" + strings.Repeat("00", 16))
		}},
		{"tap with too many uses", TAP{}, mfa.Credential{ID: "tttttttttttttttt", Method: mfa.MethodTAP, Uses: 65}, func(*mfa.Credential) {}},
		{"tap with negative uses", TAP{}, mfa.Credential{ID: "tttttttttttttttt", Method: mfa.MethodTAP, Uses: -1}, func(*mfa.Credential) {}},
	}
	for _, tt := range tests {
		tt.change(&tt.c)
		_, err := finish(t, tt.m, tt.c, mfa.Floor{}, "00000000")
		var reason mfa.Reason
		if err == nil || errors.As(err, &reason) || !strings.Contains(err.Error(), string(tt.c.ID)) || strings.Contains(err.Error(), "zzzz") {
			t.Errorf("%s: err = %v, want a fault that names credential %s", tt.name, err, tt.c.ID)
		}
	}
}

func BenchmarkTOTPFinish(b *testing.B) {
	c := totpCredential(6)
	for name, answer := range map[string]string{"right": code(b, c, at), "wrong": "000000", "outside": code(b, c, at-5), "no_code": "abcdef"} {
		b.Run(name, func(b *testing.B) {
			m, s := totp(1), secret.FromString(answer)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = m.Finish(b.Context(), c, mfa.Floor{}, mfa.Step{}, s)
			}
		})
	}
}

func BenchmarkHOTPFinish(b *testing.B) {
	c := hotpCredential(6, 100)
	for name, answer := range map[string]string{"right": code(b, c, 100), "wrong": "000000"} {
		b.Run(name, func(b *testing.B) {
			m, s := hotp(10), secret.FromString(answer)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = m.Finish(b.Context(), c, mfa.Floor{}, mfa.Step{}, s)
			}
		})
	}
}

// TestTOTPRefusalsCostTheSame counts the steps that a code is compared with.
func TestTOTPRefusalsCostTheSame(t *testing.T) {
	c := totpCredential(6)
	const used = at - 4
	for _, drift := range []int{0, 5, -5} {
		cost := func(answer string, f mfa.Floor, look bool) (n int, err error) {
			m := totp(1)
			m.matches = func(k oath.Key, code string, from uint64, steps int) uint64 {
				n += steps
				return k.Matches(code, from, steps)
			}
			f.Drift = drift
			_, err = m.Finish(t.Context(), c, f, mfa.Step{Look: look}, secret.FromString(answer))
			return n, err
		}
		seen := func(offset int) string { return code(t, c, uint64(at+drift+offset)) }
		wrong, err := cost("000000", mfa.Floor{}, false)
		if err != mfa.WrongCode {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			answer string
			next   uint64
			look   bool
			err    error
		}{
			{"used, in the window", seen(0), uint64(at + drift + 1), false, mfa.ReplayedCode},
			{"used, outside the window", code(t, c, uint64(used+drift)), uint64(used + drift + 1), false, mfa.ReplayedCode},
			{"too late", seen(-9), 0, false, mfa.CodeOutsideWindow},
			{"too early", seen(9), 0, false, mfa.CodeOutsideWindow},
			{"looked at, right", seen(0), 0, true, nil},
			{"looked at, wrong", "000000", 0, true, mfa.WrongCode},
		} {
			n, err := cost(tt.answer, mfa.Floor{Next: tt.next}, tt.look)
			if n != wrong || err != tt.err {
				t.Errorf("drift %d, %s: %d steps, %v, want %d as for a wrong one, %v", drift, tt.name, n, err, wrong, tt.err)
			}
		}
		if n, err := cost(seen(0), mfa.Floor{}, false); n > 4 || err != nil {
			t.Errorf("drift %d, right: %d steps, %v, want the window alone", drift, n, err)
		}
	}
}
