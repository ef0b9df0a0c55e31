// Package webpushtest is the other end of package webpush for tests: a browser that is subscribed
// at a push service of its own. It follows RFC 8188, RFC 8291 and RFC 8292, and shares no code with
// what it tests.
package webpushtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Message is one that the push service has taken, as the browser reads it.
type Message struct {
	Payload string
	Size    int // of what was encrypted, with its padding, in bytes
	Header  http.Header
	Path    string
	Claims  Claims
	Key     string // of the sender, base64url
	Salt    string // and with it what else is used once
}

// Claims are those of the token that shows who sends.
type Claims struct {
	Aud, Sub string
	Exp      int64
}

// Browser is a subscribed browser. Endpoint, P256DH and Auth are what it says of itself.
type Browser struct {
	Endpoint, P256DH, Auth string
	Roots                  *x509.CertPool // to believe the push service
	RootsPEM               string

	key *ecdh.PrivateKey

	mu     sync.Mutex
	got    []Message
	faults []error
	answer http.HandlerFunc
}

// NewBrowser starts a push service on the loopback, which ends with the test. What it is sent and
// cannot read fails the test.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	b := &Browser{Roots: x509.NewCertPool()}
	s := httptest.NewTLSServer(b)
	t.Cleanup(func() {
		s.Close()
		for _, err := range b.faults {
			t.Error(err)
		}
	})
	b.Roots.AddCert(s.Certificate())
	b.RootsPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	var err error
	if b.key, err = ecdh.P256().GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	auth := make([]byte, 16)
	if _, err := rand.Read(auth); err != nil {
		t.Fatal(err)
	}
	b.Endpoint, b.P256DH, b.Auth = s.URL+"/wpush/v2/secret-path", base64.RawURLEncoding.EncodeToString(b.key.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(auth)
	return b
}

// Answer has the push service answer otherwise than by 201.
func (b *Browser) Answer(h http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = h
}

// Got are the messages so far.
func (b *Browser) Got() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Message(nil), b.got...)
}

// ServeHTTP is the push service.
func (b *Browser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m, err := b.read(r)
	b.mu.Lock()
	if err != nil {
		b.faults = append(b.faults, fmt.Errorf("push service: %w", err))
	} else {
		b.got = append(b.got, m)
	}
	answer := b.answer
	b.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (b *Browser) read(r *http.Request) (m Message, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return m, err
	}
	m.Header, m.Path = r.Header, r.URL.Path
	if r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "aes128gcm" {
		return m, fmt.Errorf("%s with encoding %q", r.Method, r.Header.Get("Content-Encoding"))
	}
	if m.Claims, m.Key, err = Authorization(r.Header.Get("Authorization")); err != nil {
		return m, err
	}
	if want := "https://" + r.Host; m.Claims.Aud != want {
		return m, fmt.Errorf("the token is for %q, want %s", m.Claims.Aud, want)
	}
	auth, err := base64.RawURLEncoding.DecodeString(b.Auth)
	if err != nil {
		return m, err
	}
	if m.Payload, err = Decrypt(body, b.key, auth); err != nil {
		return m, err
	}
	m.Size, m.Salt = len(body)-86-16, string(body[:86])
	return m, nil
}

// mac is one step of HKDF, as RFC 8291 section 3.4 writes them out.
func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// Decrypt reads a message with a browser's private key and the secret that it shares with the server.
func Decrypt(body []byte, private *ecdh.PrivateKey, auth []byte) (string, error) {
	if len(body) < 86+17 || body[20] != 65 || string(body[16:20]) != "\x00\x00\x10\x00" || len(body) > 4096 {
		return "", fmt.Errorf("%d bytes that begin with %x", len(body), body[:min(len(body), 86)])
	}
	salt, sender, text := body[:16], body[21:86], body[86:]
	key, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return "", err
	}
	shared, err := private.ECDH(key)
	if err != nil {
		return "", err
	}
	prk := mac(salt, mac(mac(auth, shared), []byte("WebPush: info\x00"), private.PublicKey().Bytes(), sender, []byte{1}))
	block, err := aes.NewCipher(mac(prk, []byte("Content-Encoding: aes128gcm\x00\x01"))[:16])
	if err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	plain, err := gcm.Open(nil, mac(prk, []byte("Content-Encoding: nonce\x00\x01"))[:12], text, nil)
	if err != nil {
		return "", err
	}
	payload, last := strings.CutSuffix(strings.TrimRight(string(plain), "\x00"), "\x02")
	if !last {
		return "", errors.New("no delimiter of a last record")
	}
	return payload, nil
}

// Authorization verifies a header of RFC 8292, and returns what the token claims and the sender's key.
func Authorization(header string) (claims Claims, key string, err error) {
	rest, ok := strings.CutPrefix(header, "vapid t=")
	token, key, ok2 := strings.Cut(rest, ", k=")
	part := strings.Split(token, ".")
	if !ok || !ok2 || len(part) != 3 {
		return claims, key, fmt.Errorf("authorization %q", header)
	}
	var raw [4][]byte // head, claims, signature, key
	for i, s := range append(part, key) {
		if raw[i], err = base64.RawURLEncoding.DecodeString(s); err != nil {
			return claims, key, err
		}
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw[3])
	if err != nil {
		return claims, key, err
	}
	digest := sha256.Sum256([]byte(part[0] + "." + part[1]))
	if s := raw[2]; len(s) != 64 || !ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:])) {
		return claims, key, errors.New("the token's signature does not hold")
	}
	var head struct{ Typ, Alg string }
	if err := errors.Join(json.Unmarshal(raw[0], &head), json.Unmarshal(raw[1], &claims)); err != nil {
		return claims, key, err
	}
	if head.Typ != "JWT" || head.Alg != "ES256" {
		return claims, key, fmt.Errorf("head %+v", head)
	}
	return claims, key, nil
}
