package otp

import (
	"context"
	"fmt"
	"io"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// RecoveryCodes is how many recovery codes a user gets.
const RecoveryCodes = 10

// Recovery is the method for recovery codes, each good once.
type Recovery struct{}

// ID returns mfa.MethodRecovery.
func (Recovery) ID() mfa.MethodID { return mfa.MethodRecovery }

// Needs returns mfa.CanPrompt.
func (Recovery) Needs() mfa.Caps { return mfa.CanPrompt }

// Begin returns the prompt.
func (Recovery) Begin(context.Context, mfa.Ask, mfa.Credential) (mfa.Step, error) {
	return mfa.Step{Prompt: "Enter one of your recovery codes"}, nil
}

// Finish returns a proof that spends the code, mfa.ReplayedCode if it is spent already, or
// mfa.WrongCode. Whatever has the form of a code costs the same time.
func (Recovery) Finish(_ context.Context, c mfa.Credential, f mfa.Floor, _ mfa.Step, answer secret.Text) (mfa.Proof, error) {
	set, err := find(c, answer, recoveryChars)
	switch {
	case err != nil:
		return mfa.Proof{}, err
	case set == 0:
		return mfa.Proof{}, mfa.WrongCode
	case set&^f.Spent == 0:
		return mfa.Proof{}, mfa.ReplayedCode
	}
	f.Spent |= set
	return mfa.Proof{Floor: f}, nil
}

// GenerateRecovery makes n recovery codes (1 to 64) of 50 bits, written "xxxxx-xxxxx", for
// the credential id, and the Secret of that credential. Randomness comes from random
// (crypto/rand.Reader if nil).
func GenerateRecovery(random io.Reader, id mfa.CredentialID, n int) (codes []secret.Text, s secret.Text, err error) {
	if n < 1 || n > group {
		return nil, s, fmt.Errorf("%w number of recovery codes %d: must be 1 to %d", mfa.ErrInvalid, n, group)
	}
	return generate(random, id, n, recoveryChars)
}
