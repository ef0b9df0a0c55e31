package otp

import (
	"errors"
	"math/bits"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/authn"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
)

// A session is one credential's life: every answer goes in with the floor that the last
// one left, as the engine does it.
type session struct {
	*rapid.T
	m      authn.Method
	c      mfa.Credential
	f      mfa.Floor
	tried  []string // answers so far
	drifts int      // how far from 0 the drift may be
}

// answer checks what holds for any answer to any method.
func (s *session) answer(text string) (ok bool) {
	s.tried = append(s.tried, text)
	p, err := s.m.Finish(s.Context(), s.c, s.f, mfa.Step{}, secret.FromString(text))
	var reason mfa.Reason
	if err != nil {
		if !errors.As(err, &reason) || reason.Accepts() || p != (mfa.Proof{}) {
			s.Fatalf("%q: %+v, %v", text, p, err)
		}
		return false
	}
	s.raise(p.Floor)
	if _, err := s.m.Finish(s.Context(), s.c, s.f, mfa.Step{}, secret.FromString(text)); err != mfa.ReplayedCode && s.c.Method != mfa.MethodTAP {
		s.Fatalf("%q accepted, then again: %v, want replayed_code", text, err)
	}
	return true
}

func (s *session) raise(to mfa.Floor) {
	if to.Next < s.f.Next || to.Spent&s.f.Spent != s.f.Spent {
		s.Fatalf("floor fell from %+v to %+v", s.f, to)
	}
	if to == s.f {
		s.Fatalf("accepted and the floor stays %+v", to)
	}
	if max(to.Drift, -to.Drift) > s.drifts {
		s.Fatalf("drift wandered from %d to %d, bound is %d", s.f.Drift, to.Drift, s.drifts)
	}
	s.f = to
}

// again draws an answer that was given before, or none.
func (s *session) again(t *rapid.T) (string, bool) {
	if len(s.tried) == 0 {
		return "", false
	}
	return rapid.SampledFrom(s.tried).Draw(t, "again"), true
}

func drawKey(t *rapid.T) (oath.Key, mfa.Credential) {
	c := mfa.Credential{ID: "cccccccccccccccc", Digits: 8,
		Secret:    secret.New(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "secret")),
		Algorithm: rapid.SampledFrom([]string{"SHA1", "SHA256", "SHA512"}).Draw(t, "algorithm")}
	k, err := oath.NewHOTP(c.Secret, oath.Algorithm(c.Algorithm), c.Digits)
	if err != nil {
		t.Fatal(err)
	}
	return k, c
}

func TestTOTPProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, c := drawKey(t)
		c.Method, c.Period = mfa.MethodTOTP, rapid.SampledFrom([]int{1, 30, 60, 3600}).Draw(t, "period")
		clock := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "clock"), 0)
		skew := rapid.IntRange(-1, 12).Draw(t, "skew")
		s := &session{T: t, c: c, drifts: maxDrift, m: TOTP{Now: func() time.Time { return clock }, Skew: func() int { return skew }}}
		accepted := map[uint64]bool{}
		step := func(offset int64) uint64 { return uint64(max(clock.Unix()/int64(c.Period)+offset, 0)) }
		spend := func() {
			if accepted[s.f.Next-1] {
				t.Fatalf("step %d is accepted twice", s.f.Next-1)
			}
			accepted[s.f.Next-1] = true
		}
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) {
				clock = clock.Add(time.Duration(rapid.Int64Range(-5, 40).Draw(t, "half steps")) * time.Duration(c.Period) * time.Second / 2)
			},
			"a code near now": func(t *rapid.T) {
				if s.answer(k.HOTP(step(rapid.Int64Range(-3, 3).Draw(t, "offset")))) {
					spend()
				}
			},
			"a code near the drift": func(t *rapid.T) {
				if s.answer(k.HOTP(step(int64(s.f.Drift) + rapid.Int64Range(-12, 12).Draw(t, "offset")))) {
					spend()
				}
			},
			"a code again": func(t *rapid.T) {
				if text, ok := s.again(t); ok && s.answer(text) {
					spend()
				}
			},
			"two codes": func(t *rapid.T) {
				at := step(rapid.Int64Range(-105, 105).Draw(t, "offset"))
				f, err := Resync(c, s.f, secret.FromString(k.HOTP(at)), secret.FromString(k.HOTP(at+1)), clock)
				if err != nil {
					if f != s.f || err != mfa.WrongCode && err != mfa.ReplayedCode {
						t.Fatalf("resync: %+v, %v", f, err)
					}
					return
				}
				s.drifts = max(maxDrift, f.Drift, -f.Drift)
				s.raise(f)
				spend()
			},
		})
	})
}

func TestHOTPProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, c := drawKey(t)
		c.Method, c.Counter = mfa.MethodHOTP, rapid.Uint64Range(0, 1<<40).Draw(t, "counter")
		ahead := rapid.IntRange(-1, 20).Draw(t, "ahead")
		s := &session{T: t, c: c, m: HOTP{Ahead: func() int { return ahead }}}
		accepted := map[uint64]bool{}
		near := func(t *rapid.T) uint64 {
			return max(c.Counter, s.f.Next) + 20 - min(max(c.Counter, s.f.Next)+20, rapid.Uint64Range(0, 40).Draw(t, "back from 20 ahead"))
		}
		spend := func() {
			if accepted[s.f.Next-1] || s.f.Next <= c.Counter {
				t.Fatalf("counter %d is accepted twice, or before the first", s.f.Next-1)
			}
			accepted[s.f.Next-1] = true
		}
		t.Repeat(map[string]func(*rapid.T){
			"a code": func(t *rapid.T) {
				if s.answer(k.HOTP(near(t))) {
					spend()
				}
			},
			"a code again": func(t *rapid.T) {
				if text, ok := s.again(t); ok && s.answer(text) {
					spend()
				}
			},
			"two codes": func(t *rapid.T) {
				at := near(t)
				f, err := Resync(c, s.f, secret.FromString(k.HOTP(at)), secret.FromString(k.HOTP(at+1)), time.Time{})
				if err == nil {
					s.raise(f)
					spend()
				}
			},
		})
	})
}

func TestRecoveryAndTAPProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uses := rapid.IntRange(1, 64).Draw(t, "uses")
		c := mfa.Credential{ID: "cccccccccccccccc", Uses: uses}
		s := &session{T: t}
		var codes []secret.Text
		var err error
		if rapid.Bool().Draw(t, "tap") {
			codes = make([]secret.Text, 1)
			c.Method, s.m = mfa.MethodTAP, TAP{}
			codes[0], c.Secret, err = GenerateTAP(nil, c.ID)
		} else {
			c.Method, s.m = mfa.MethodRecovery, Recovery{}
			codes, c.Secret, err = GenerateRecovery(nil, c.ID, uses)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.c = c
		accepts := 0
		t.Repeat(map[string]func(*rapid.T){
			"a code": func(t *rapid.T) {
				i := rapid.IntRange(0, len(codes)-1).Draw(t, "which")
				if s.answer(string(codes[i].Expose())) {
					accepts++
				}
			},
			"nonsense": func(t *rapid.T) {
				if text := rapid.String().Draw(t, "text"); !strings.ContainsAny(text, alphabet) && s.answer(text) {
					t.Fatalf("%q accepted", text)
				}
			},
			"": func(t *rapid.T) {
				if accepts > uses || bits.OnesCount64(s.f.Spent) != accepts {
					t.Fatalf("%d accepts of %d, spent %b", accepts, uses, s.f.Spent)
				}
			},
		})
	})
}
