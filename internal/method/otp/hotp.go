package otp

import (
	"context"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	// behind is how many spent counters back a code is still recognised.
	behind = 10
	// beyond is how many times the look-ahead a code is still recognised, so that the
	// trail says that the token needs a resync.
	beyond = 10
	// resyncCounters is how many counters ahead Resync looks.
	resyncCounters = 1000
)

// HOTP is the method for counter-based codes (RFC 4226). All fields must be set; the
// functions must be safe for concurrent use.
type HOTP struct {
	Ahead func() int // counters accepted beyond the next one, 0 to 100 (RFC 4226 section 7.4)
}

// ID returns mfa.MethodHOTP.
func (HOTP) ID() mfa.MethodID { return mfa.MethodHOTP }

// Needs returns mfa.CanPrompt.
func (HOTP) Needs() mfa.Caps { return mfa.CanPrompt }

// Begin returns the prompt.
func (HOTP) Begin(context.Context, mfa.Ask, mfa.Credential) (mfa.Step, error) {
	return mfa.Step{Prompt: "Enter the next code from your token"}, nil
}

// Finish looks for the answer in the next counter and in Ahead ones after it, where the
// next counter is the greater of c.Counter and f.Next. It returns
//   - a proof if it is there; this counter and all before it are spent;
//   - mfa.ReplayedCode if it belongs to one of the ten counters before;
//   - mfa.CodeOutsideWindow if it lies beyond, up to ten times as far ahead: the token
//     needs a resync;
//   - mfa.WrongCode otherwise.
//
// Whatever has the length and digits of a code costs the same time.
func (m HOTP) Finish(_ context.Context, c mfa.Credential, f mfa.Floor, _ mfa.Step, answer secret.Text) (mfa.Proof, error) {
	k, err := key(c, mfa.MethodHOTP)
	if err != nil {
		return mfa.Proof{}, err
	}
	code := strip(answer)
	ahead := within(m.Ahead(), 0, maxAhead)
	next := max(c.Counter, f.Next)
	past := min(next, behind)
	counter, fresh := k.Find(code, next, ahead+1)
	_, spent := k.Find(code, next-past, int(past))
	_, later := k.Find(code, next+uint64(ahead)+1, (beyond-1)*ahead)
	switch {
	case fresh:
		f.Next = counter + 1
		return mfa.Proof{Floor: f}, nil
	case spent:
		return mfa.Proof{}, mfa.ReplayedCode
	case later:
		return mfa.Proof{}, mfa.CodeOutsideWindow
	}
	return mfa.Proof{}, mfa.WrongCode
}

func resyncHOTP(c mfa.Credential, f mfa.Floor, first, second string) (mfa.Floor, error) {
	k, err := key(c, mfa.MethodHOTP)
	if err != nil {
		return f, err
	}
	next := max(c.Counter, f.Next)
	past := min(next, behind)
	counter, fresh := k.FindPair(first, second, next, resyncCounters)
	_, spent := k.FindPair(first, second, next-past, int(past))
	switch {
	case fresh:
		f.Next = counter + 1
		return f, nil
	case spent:
		return f, mfa.ReplayedCode
	}
	return f, mfa.WrongCode
}
