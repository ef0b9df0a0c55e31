package device_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"countersign/internal/device"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// sign signs as WebCrypto does: r and s, 32 bytes each.
func sign(t *testing.T, k *ecdsa.PrivateKey, message []byte) string {
	t.Helper()
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	r.FillBytes(b[:32])
	s.FillBytes(b[32:])
	return base64.RawURLEncoding.EncodeToString(b)
}

func newKey(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return k, b
}

func TestSigned(t *testing.T) {
	k, public := newKey(t)
	_, other := newKey(t)
	r := device.Request{Method: "POST", Path: "/authenticator/api/answer", Time: "1764000000", Nonce: "AAAAAAAAAAAAAAAAAAAAAA", Body: []byte(`{"id":"x"}`)}
	signature := sign(t, k, r.Message())
	if !device.Signed(public, r.Message(), signature) {
		t.Fatal("a right signature is refused")
	}
	changed := []device.Request{r, r, r, r, r}
	changed[0].Method, changed[1].Path, changed[2].Time, changed[3].Nonce, changed[4].Body = "PUT", "/authenticator/api/remove", "1764000001", "BAAAAAAAAAAAAAAAAAAAAA", []byte(`{"id":"y"}`)
	for _, c := range changed {
		if device.Signed(public, c.Message(), signature) {
			t.Errorf("a signature of something else is taken for %+v", c)
		}
	}
	for name, s := range map[string]string{"none": "", "short": signature[:80], "padded": signature + "==", "no base64": "*" + signature[1:],
		"zero": base64.RawURLEncoding.EncodeToString(make([]byte, 64))} {
		if device.Signed(public, r.Message(), s) {
			t.Errorf("signature %s is taken", name)
		}
	}
	if device.Signed(other, r.Message(), signature) || device.Signed(nil, r.Message(), signature) {
		t.Error("another key's signature is taken")
	}
}

func TestParseKey(t *testing.T) {
	_, public := newKey(t)
	if _, err := device.ParseKey(base64.RawURLEncoding.EncodeToString(public)); err != nil {
		t.Errorf("a key: %v", err)
	}
	off := append([]byte(nil), public...)
	off[40] ^= 1
	for name, b := range map[string][]byte{"empty": nil, "compressed": append([]byte{2}, public[1:33]...), "no point": off, "infinity": make([]byte, 65)} {
		if _, err := device.ParseKey(base64.RawURLEncoding.EncodeToString(b)); !errors.Is(err, device.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := device.Device{Key: public, Endpoint: "https://push.example/x", P256DH: "k", Auth: "a"}
	if got, err := device.Parse(d.Secret()); err != nil || got.Endpoint != d.Endpoint || string(got.Key) != string(public) {
		t.Errorf("kept and read: %+v, %v", got, err)
	}
	if _, err := device.Parse(secret.FromString("code")); err == nil {
		t.Error("what is no device reads as one")
	}
}

// The token that a device signs changes with every word that it was shown.
func TestToken(t *testing.T) {
	w := mfa.Wait{Nonce: [16]byte{1, 2, 3}, Application: "vpn", Source: "10.1.1.1", Place: "", Text: "Pay 10 EUR", Asked: time.Unix(1796023362, 900)}
	token := device.Token(w)
	for i, change := range []func(*mfa.Wait){
		func(w *mfa.Wait) { w.Nonce[15] = 9 }, func(w *mfa.Wait) { w.Application = "bank" }, func(w *mfa.Wait) { w.Source = "10.1.1.2" },
		func(w *mfa.Wait) { w.Place = "DE" }, func(w *mfa.Wait) { w.Text = "Pay 100 EUR" },
		func(w *mfa.Wait) { w.Source, w.Place = w.Place, w.Source }, func(w *mfa.Wait) { w.Asked = w.Asked.Add(time.Second) },
	} {
		other := w
		change(&other)
		if device.Token(other) == token {
			t.Errorf("change %d leaves the token as it was", i)
		}
	}
	kept := w
	kept.Asked = time.Unix(w.Asked.Unix(), 0).UTC() // as a server keeps it
	if device.Token(kept) != token {
		t.Error("the same second is another one")
	}
	if w.Nonce != [16]byte{1, 2, 3} || len(token) != 43 {
		t.Errorf("nonce %v, token %q", w.Nonce, token)
	}
}

func TestID(t *testing.T) {
	c := mfa.Credential{ID: "abcdefghijklmnop", User: "qrstuvwxyz234567"}
	user, id, ok := device.ParseID(device.ID(c))
	if !ok || user != c.User || id != c.ID {
		t.Errorf("%s %s %v", user, id, ok)
	}
	for _, s := range []string{"", "abcdefghijklmnop", device.ID(c) + "a", "ABCDEFGHIJKLMNOPqrstuvwxyz234567", "../.../........./../../.../....."} {
		if _, _, ok := device.ParseID(s); ok {
			t.Errorf("%q reads as a device", s)
		}
	}
}

func FuzzSigned(f *testing.F) {
	f.Add([]byte{4}, "x", "AA")
	f.Fuzz(func(t *testing.T, key []byte, message, signature string) {
		if device.Signed(key, []byte(message), signature) {
			t.Error("a signature that nobody made is taken")
		}
	})
}
