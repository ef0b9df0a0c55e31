package otp

import (
	"context"
	"math/bits"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
)

const (
	// far is how many steps beyond the window a code is still recognised, so that the
	// trail says that a clock is off. Such a code lets nobody in.
	far = 10
	// maxDrift bounds the drift, in steps, that is learnt from one sign-in after another.
	maxDrift = 10
	// resyncSteps is how many steps before and after now Resync looks at. A token that lay
	// in a drawer for years may be half an hour off.
	resyncSteps = 100
)

// TOTP is the method for time-based codes (RFC 6238). All exported fields must be set; the
// functions must be safe for concurrent use.
type TOTP struct {
	Now  func() time.Time
	Skew func() int // time steps accepted on each side of now, 0 to 10

	matches func(k oath.Key, code string, from uint64, n int) uint64 // nil: oath.Key.Matches; for tests
}

// ID returns mfa.MethodTOTP.
func (TOTP) ID() mfa.MethodID { return mfa.MethodTOTP }

// Needs returns mfa.CanPrompt.
func (TOTP) Needs() mfa.Caps { return mfa.CanPrompt }

// Begin returns the prompt.
func (TOTP) Begin(context.Context, mfa.Ask, mfa.Credential) (mfa.Step, error) {
	return mfa.Step{Prompt: "Enter the code from your authenticator"}, nil
}

// Finish looks for the answer in the steps from now-Skew to now+Skew by the token's clock
// as remembered in f.Drift, and in the current step by ours unless the two are more than
// ten steps further apart: so a drift learnt from codes that were typed late never turns
// away a token whose clock is right. It returns
//   - a proof if the step is not below f.Next; this step and all before it are spent;
//   - mfa.ReplayedCode if it is, or if the code is that of the last step spent;
//   - mfa.CodeOutsideWindow if the code belongs to one of the ten steps on either side;
//   - mfa.WrongCode otherwise.
//
// Whatever has the length and digits of a code and is refused costs the same time. A proof
// costs less, unless s.Look says that it is not to be told from a refusal.
func (m TOTP) Finish(_ context.Context, c mfa.Credential, f mfa.Floor, s mfa.Step, answer secret.Text) (mfa.Proof, error) {
	k, err := key(c, mfa.MethodTOTP)
	if err != nil {
		return mfa.Proof{}, err
	}
	matches := oath.Key.Matches
	if m.matches != nil {
		matches = m.matches
	}
	code := strip(answer)
	skew := int64(within(m.Skew(), 0, maxSkew))
	drift := int64(within(f.Drift, -resyncSteps-1, resyncSteps+1))
	now := int64(k.Step(m.Now()))
	centre := now + drift

	step := latest(max(centre-skew, 0), matches(k, code, uint64(max(centre-skew, 0)), int(min(2*skew, centre+skew)+1)))
	if off := max(drift, -drift); off > skew && off <= skew+far {
		step = max(step, latest(now, matches(k, code, uint64(now), 1)))
	}
	fresh := step >= 0 && uint64(step) >= f.Next
	var hits uint64
	from := max(centre-skew-far, 0)
	if !fresh || s.Look { // to say why not
		hits = matches(k, code, uint64(from), int(centre+skew+far-from+1))
	}
	switch {
	case fresh:
		f.Next = uint64(step) + 1
		f.Drift = learn(int(drift), int(step-now), int(skew))
		return mfa.Proof{Floor: f}, nil
	case step >= 0:
		return mfa.Proof{}, mfa.ReplayedCode
	case hits == 0:
		return mfa.Proof{}, mfa.WrongCode
	case f.Next > uint64(from) && hits>>(f.Next-1-uint64(from))&1 == 1:
		return mfa.Proof{}, mfa.ReplayedCode
	}
	return mfa.Proof{}, mfa.CodeOutsideWindow
}

// latest is the last step in a set whose first bit stands for from; -1 if it is empty.
func latest(from int64, set uint64) int64 {
	if set == 0 {
		return -1
	}
	return from + int64(bits.Len64(set)) - 1
}

// learn moves drift towards the offset at which a code was found, by at most skew steps.
// The result is within maxDrift, or no farther from 0 than a resync has set it.
func learn(drift, offset, skew int) int {
	most := max(maxDrift, drift, -drift)
	return within(drift+within(offset-drift, -skew, skew), -most, most)
}

func within(n, low, high int) int { return min(max(n, low), high) }

// resyncTOTP looks on both sides of now by our clock, whatever drift was remembered.
func resyncTOTP(c mfa.Credential, f mfa.Floor, first, second string, now time.Time) (mfa.Floor, error) {
	k, err := key(c, mfa.MethodTOTP)
	if err != nil {
		return f, err
	}
	at := k.Step(now)
	from := at - min(at, resyncSteps)
	step, ok := k.FindPair(first, second, from, int(at-from)+resyncSteps+1)
	switch {
	case !ok:
		return f, mfa.WrongCode
	case step <= f.Next: // also the first of the two must be unspent
		return f, mfa.ReplayedCode
	}
	f.Next = step + 1
	f.Drift = int(int64(step) - int64(at))
	return f, nil
}
