package otp

import (
	"errors"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func TestResyncTOTP(t *testing.T) {
	c := totpCredential(8)
	tests := []struct {
		name    string
		floor   mfa.Floor
		offsets [2]int
		want    mfa.Floor
		err     error
	}{
		{"in step", mfa.Floor{}, [2]int{-1, 0}, mfa.Floor{Next: at + 1}, nil},
		{"20 behind", mfa.Floor{}, [2]int{-21, -20}, mfa.Floor{Next: at - 19, Drift: -20}, nil},
		{"20 ahead", mfa.Floor{}, [2]int{19, 20}, mfa.Floor{Next: at + 21, Drift: 20}, nil},
		{"farthest behind", mfa.Floor{}, [2]int{-100, -99}, mfa.Floor{Next: at - 98, Drift: -99}, nil},
		{"farthest ahead", mfa.Floor{}, [2]int{100, 101}, mfa.Floor{Next: at + 102, Drift: 101}, nil},
		{"too far behind", mfa.Floor{}, [2]int{-101, -100}, mfa.Floor{}, mfa.WrongCode},
		{"too far ahead", mfa.Floor{}, [2]int{101, 102}, mfa.Floor{}, mfa.WrongCode},
		{"whatever was remembered", mfa.Floor{Drift: -60, Spent: 5}, [2]int{2, 3}, mfa.Floor{Next: at + 4, Drift: 3, Spent: 5}, nil},
		{"not consecutive", mfa.Floor{}, [2]int{-20, -18}, mfa.Floor{}, mfa.WrongCode},
		{"wrong order", mfa.Floor{}, [2]int{-20, -21}, mfa.Floor{}, mfa.WrongCode},
		{"the same twice", mfa.Floor{}, [2]int{-20, -20}, mfa.Floor{}, mfa.WrongCode},
		{"just above the floor", mfa.Floor{Next: at - 21}, [2]int{-21, -20}, mfa.Floor{Next: at - 19, Drift: -20}, nil},
		{"the first is spent", mfa.Floor{Next: at - 20}, [2]int{-21, -20}, mfa.Floor{}, mfa.ReplayedCode},
		{"both are spent", mfa.Floor{Next: at - 19}, [2]int{-21, -20}, mfa.Floor{}, mfa.ReplayedCode},
		{"far below the floor", mfa.Floor{Next: at + 50}, [2]int{-1, 0}, mfa.Floor{}, mfa.ReplayedCode},
	}
	for _, tt := range tests {
		got, err := resync(c, tt.floor, code(t, c, uint64(at+tt.offsets[0])), code(t, c, uint64(at+tt.offsets[1])))
		want := tt.want
		if tt.err != nil {
			want = tt.floor // untouched
		}
		if got != want || !errors.Is(err, tt.err) || tt.err == nil && err != nil {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, err, want, tt.err)
		}
		if tt.err != nil {
			continue
		}
		if f, err := finish(t, totp(1), c, got, code(t, c, uint64(at+tt.offsets[1]))); err != mfa.ReplayedCode {
			t.Errorf("%s: the second code again: got %+v, %v, want replayed_code", tt.name, f, err)
		}
		if f, err := finish(t, totp(1), c, got, code(t, c, uint64(at+tt.offsets[1]+1))); err != nil {
			t.Errorf("%s: the code after it: got %+v, %v", tt.name, f, err)
		}
	}
}

func TestResyncHOTP(t *testing.T) {
	c := hotpCredential(8, 100)
	tests := []struct {
		name     string
		floor    mfa.Floor
		counters [2]uint64
		want     mfa.Floor
		err      error
	}{
		{"in step", mfa.Floor{}, [2]uint64{100, 101}, mfa.Floor{Next: 102}, nil},
		{"farthest ahead", mfa.Floor{Drift: 1, Spent: 5}, [2]uint64{1099, 1100}, mfa.Floor{Next: 1101, Drift: 1, Spent: 5}, nil},
		{"too far ahead", mfa.Floor{}, [2]uint64{1100, 1101}, mfa.Floor{}, mfa.WrongCode},
		{"floor above the credential's counter", mfa.Floor{Next: 500}, [2]uint64{500, 501}, mfa.Floor{Next: 502}, nil},
		{"the first is spent", mfa.Floor{Next: 500}, [2]uint64{499, 500}, mfa.Floor{}, mfa.ReplayedCode},
		{"both are spent", mfa.Floor{Next: 500}, [2]uint64{490, 491}, mfa.Floor{}, mfa.ReplayedCode},
		{"spent long ago", mfa.Floor{Next: 500}, [2]uint64{300, 301}, mfa.Floor{}, mfa.WrongCode},
		{"not consecutive", mfa.Floor{}, [2]uint64{200, 202}, mfa.Floor{}, mfa.WrongCode},
		{"the same twice", mfa.Floor{}, [2]uint64{200, 200}, mfa.Floor{}, mfa.WrongCode},
	}
	for _, tt := range tests {
		got, err := resync(c, tt.floor, code(t, c, tt.counters[0]), code(t, c, tt.counters[1]))
		want := tt.want
		if tt.err != nil {
			want = tt.floor
		}
		if got != want || !errors.Is(err, tt.err) || tt.err == nil && err != nil {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, err, want, tt.err)
		}
	}
}

func TestResyncRefusesWhatIsNoCode(t *testing.T) {
	c := totpCredential(6)
	good := code(t, c, at)
	tests := []struct {
		name          string
		first, second string
		want          error
	}{
		{"no first", "", good, mfa.EmptyCode},
		{"no second", good, "", mfa.EmptyCode},
		{"letters", "abcdef", good, mfa.WrongCode},
		{"too long", good, good + good, mfa.WrongCode},
		{"oversized", good, good + string(make([]byte, 300)), mfa.WrongCode},
	}
	for _, tt := range tests {
		floor := mfa.Floor{Next: 7}
		if f, err := resync(c, floor, tt.first, tt.second); err != tt.want || f != floor {
			t.Errorf("%s: got %+v, %v, want %v", tt.name, f, err, tt.want)
		}
	}
	if f, err := resync(c, mfa.Floor{}, code(t, c, at)[:3]+" "+code(t, c, at)[3:], code(t, c, at+1)); err != nil || f.Next != at+2 {
		t.Errorf("typed with a space: got %+v, %v", f, err)
	}
	var reason mfa.Reason
	for _, m := range []mfa.MethodID{mfa.MethodRecovery, mfa.MethodTAP, mfa.MethodPassword, ""} {
		if _, err := resync(mfa.Credential{ID: "xxxxxxxxxxxxxxxx", Method: m}, mfa.Floor{}, good, good); err == nil || errors.As(err, &reason) {
			t.Errorf("method %q: err = %v, want a fault", m, err)
		}
	}
}

func resync(c mfa.Credential, f mfa.Floor, first, second string) (mfa.Floor, error) {
	return Resync(c, f, secret.FromString(first), secret.FromString(second), now)
}
