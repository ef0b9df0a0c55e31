// Package otptest offers package otp to the tests of those who enrol passcodes.
package otptest

import (
	"context"
	"time"

	"countersign/internal/method/otp"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Passcodes is package otp as package enroll wants it. It verifies time-based codes only.
type Passcodes struct{ TOTP otp.TOTP }

// Recovery implements enroll.Passcodes.
func (Passcodes) Recovery(c mfa.Credential, n int) ([]secret.Text, secret.Text, error) {
	return otp.GenerateRecovery(nil, c.ID, n)
}

// Pass implements enroll.Passcodes.
func (Passcodes) Pass(c mfa.Credential) (code, kept secret.Text, err error) {
	return otp.GenerateTAP(nil, c.ID)
}

// Verify implements enroll.Passcodes.
func (p Passcodes) Verify(ctx context.Context, c mfa.Credential, f mfa.Floor, code secret.Text) (mfa.Floor, error) {
	proof, err := p.TOTP.Finish(ctx, c, f, mfa.Step{}, code)
	return proof.Floor, err
}

// Resync implements enroll.Passcodes.
func (Passcodes) Resync(c mfa.Credential, f mfa.Floor, first, second secret.Text, now time.Time) (mfa.Floor, error) {
	return otp.Resync(c, f, first, second, now)
}
