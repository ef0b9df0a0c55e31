package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
)

// ErrSignature: not signed by that CA, or not these bytes.
var ErrSignature = errors.New("pki: not signed by this authority")

// SignMessage signs bytes that are no certificate with the CA's key: what whoever trusts
// the CA has to believe of it. purpose keeps a signature from being taken for one of
// something else; it is text, which no certificate begins with.
func (c CA) SignMessage(purpose string, message []byte) ([]byte, error) {
	if c.key == nil {
		return nil, errors.New("pki: no CA to sign with")
	}
	d := messageDigest(purpose, message)
	sig, err := ecdsa.SignASN1(rand.Reader, c.key, d[:])
	if err != nil {
		return nil, fmt.Errorf("pki: sign %s: %w", purpose, err)
	}
	return sig, nil
}

// VerifyMessage checks what SignMessage made, by the CA's certificate. The error is
// ErrSignature.
func VerifyMessage(ca *x509.Certificate, purpose string, message, signature []byte) error {
	if ca == nil {
		return ErrSignature
	}
	key, ok := ca.PublicKey.(*ecdsa.PublicKey)
	d := messageDigest(purpose, message)
	if !ok || !ca.IsCA || !ecdsa.VerifyASN1(key, d[:], signature) {
		return ErrSignature
	}
	return nil
}

func messageDigest(purpose string, message []byte) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "countersign message\n%d:%s%s", len(purpose), purpose, message))
}
