package node

import (
	"context"
	"time"

	"countersign/internal/authn"
	"countersign/internal/method/otp"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// passcodes is package method/otp as package enroll wants it.
type passcodes struct{ methods []authn.Method }

// methods returns every second factor there is.
func methods(now func() time.Time, settings func() policy.Settings) []authn.Method {
	return []authn.Method{
		otp.TOTP{Now: now, Skew: func() int { return settings().Skew }},
		otp.HOTP{Ahead: func() int { return settings().Ahead }},
		otp.Recovery{},
		otp.TAP{},
	}
}

// Recovery implements enroll.Passcodes.
func (passcodes) Recovery(c mfa.Credential, n int) ([]secret.Text, secret.Text, error) {
	return otp.GenerateRecovery(nil, c.ID, n)
}

// Pass implements enroll.Passcodes.
func (passcodes) Pass(c mfa.Credential) (code, kept secret.Text, err error) {
	return otp.GenerateTAP(nil, c.ID)
}

// Verify implements enroll.Passcodes.
func (p passcodes) Verify(ctx context.Context, c mfa.Credential, f mfa.Floor, code secret.Text) (mfa.Floor, error) {
	for _, m := range p.methods {
		if m.ID() == c.Method {
			proof, err := m.Finish(ctx, c, f, mfa.Step{}, code)
			return proof.Floor, err
		}
	}
	return f, mfa.NoCredential
}

// Resync implements enroll.Passcodes.
func (passcodes) Resync(c mfa.Credential, f mfa.Floor, first, second secret.Text, now time.Time) (mfa.Floor, error) {
	return otp.Resync(c, f, first, second, now)
}
