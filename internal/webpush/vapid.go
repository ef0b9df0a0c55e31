package webpush

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"time"
)

// tokenLife is how long a token is good that shows a push service who sends. A day is the most
// (RFC 8292 section 2); half of it leaves room for clocks.
const tokenLife = 12 * time.Hour

// NewKey makes the key pair that a group sends with. A browser's subscription holds for this
// key alone: with a new one, every device has to subscribe again.
func NewKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// PublicKey writes the public half as a browser wants it for subscribing: the uncompressed
// point, base64url.
func PublicKey(k *ecdsa.PublicKey) (string, error) {
	b, err := k.Bytes()
	return base64.RawURLEncoding.EncodeToString(b), err
}

// authorization is the header by which a push service knows who sends (RFC 8292): a JWT for
// the service's origin, signed with the group's key, and the key.
func authorization(k *ecdsa.PrivateKey, to *url.URL, subject string, now time.Time) (string, error) {
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256"}`))
	claims, err := json.Marshal(struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub,omitempty"`
	}{to.Scheme + "://" + to.Host, now.Add(tokenLife).Unix(), subject})
	if err != nil {
		return "", err
	}
	token := head + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(token))
	r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64) // r and s, 32 bytes each (RFC 7518 section 3.4)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	public, err := PublicKey(&k.PublicKey)
	if err != nil {
		return "", err
	}
	return "vapid t=" + token + "." + base64.RawURLEncoding.EncodeToString(signature) + ", k=" + public, nil
}
