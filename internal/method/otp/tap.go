package otp

import (
	"context"
	"fmt"
	"io"
	"math/bits"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// TAP is the method for temporary access passes: one code from an administrator, good for
// minutes and for c.Uses uses (0 means 1, at most 64). The engine looks at expiry and
// scope.
type TAP struct{}

// ID returns mfa.MethodTAP.
func (TAP) ID() mfa.MethodID { return mfa.MethodTAP }

// Needs returns mfa.CanPrompt.
func (TAP) Needs() mfa.Caps { return mfa.CanPrompt }

// Begin returns the prompt.
func (TAP) Begin(context.Context, mfa.Ask, mfa.Credential) (mfa.Step, error) {
	return mfa.Step{Prompt: "Enter your temporary access pass"}, nil
}

// Finish returns a proof that spends one use, mfa.ReplayedCode if all are spent, or
// mfa.WrongCode. Whatever has the form of a pass costs the same time.
func (TAP) Finish(_ context.Context, c mfa.Credential, f mfa.Floor, _ mfa.Step, answer secret.Text) (mfa.Proof, error) {
	uses := max(c.Uses, 1)
	if c.Uses < 0 || uses > group {
		return mfa.Proof{}, fmt.Errorf("credential %s: a pass with %d uses: must be 1 to %d (remove it and add it again)", c.ID, c.Uses, group)
	}
	set, err := find(c, answer, tapChars)
	switch {
	case err != nil:
		return mfa.Proof{}, err
	case set == 0:
		return mfa.Proof{}, mfa.WrongCode
	case bits.OnesCount64(f.Spent) >= uses:
		return mfa.Proof{}, mfa.ReplayedCode
	}
	f.Spent |= f.Spent + 1 // the lowest bit that is not set
	return mfa.Proof{Floor: f}, nil
}

// GenerateTAP makes a pass of 40 bits, written "xxxx-xxxx", for the credential id, and the
// Secret of that credential. Randomness comes from random (crypto/rand.Reader if nil).
func GenerateTAP(random io.Reader, id mfa.CredentialID) (pass, s secret.Text, err error) {
	codes, s, err := generate(random, id, 1, tapChars)
	if err != nil {
		return pass, s, err
	}
	return codes[0], s, nil
}
