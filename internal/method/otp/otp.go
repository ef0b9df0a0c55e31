// Package otp holds the methods that compare a code: TOTP, HOTP, recovery codes and the
// temporary access pass. A method proves and writes nothing: what it finds goes to the
// engine, which books it in the settlement. No floor that it returns is ever lower than
// the one that it got.
package otp

import (
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
)

// The bounds of what settings and records may ask for, so that the work of one answer is
// bounded too.
const (
	maxSkew  = 10  // time steps on each side of now
	maxAhead = 100 // counters
)

// CodeLength returns how many characters a code of c has as it is printed, or 0 if c is no
// passcode. Codes of a token are digits only; a recovery code and a pass have lengths of
// their own and a dash.
func CodeLength(c mfa.Credential) int {
	switch c.Method {
	case mfa.MethodTOTP, mfa.MethodHOTP:
		return c.Digits
	case mfa.MethodRecovery:
		return recoveryLength
	case mfa.MethodTAP:
		return tapLength
	}
	return 0
}

// key makes the key of a token for method. An error is a fault of ours: nothing unusable
// should have been stored, nor handed to another method than its own.
func key(c mfa.Credential, method mfa.MethodID) (k oath.Key, err error) {
	switch {
	case c.Method != method:
		err = fmt.Errorf("%w method %q: want %s", mfa.ErrInvalid, c.Method, method)
	case method == mfa.MethodHOTP:
		k, err = oath.NewHOTP(c.Secret, oath.Algorithm(c.Algorithm), c.Digits)
	default:
		k, err = oath.NewTOTP(c.Secret, oath.Algorithm(c.Algorithm), c.Digits, c.Period)
	}
	if err != nil {
		return oath.Key{}, fmt.Errorf("credential %s: %w (remove it and add it again)", c.ID, err)
	}
	return k, nil
}

// strip drops the spaces and dashes that people type or apps show within a code. It
// returns "" for an answer that is no code of ours for its length alone.
func strip(answer secret.Text) string {
	const most = 64
	if answer.Len() > most {
		return ""
	}
	code := make([]byte, 0, most)
	for _, c := range answer.Expose() {
		if c != ' ' && c != '-' {
			code = append(code, c)
		}
	}
	return string(code)
}
