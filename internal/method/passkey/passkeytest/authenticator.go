// Package passkeytest is an authenticator with its browser, for tests: it makes and uses passkeys
// as Web Authentication says, by code that shares nothing with what is tested, and does wrong
// what a test wants done wrong.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// Authenticator holds passkeys and is used on a page of Origin. The other fields say how it
// behaves; the zero values are those of a security key without a PIN.
type Authenticator struct {
	Origin   string
	Verified bool     // it asks its user for a PIN or the like
	Counts   bool     // it counts signatures
	Synced   bool     // its passkeys may be on other devices, and are
	Model    [16]byte // AAGUID
	Count    uint32

	Site      string // RP ID that it signs for; "": that of the options
	Challenge string // that it signs; "": that of the options
	User      string // user handle that it returns; "": that it was given
	Type      string // of the ceremony; "": the right one
	Framed    bool   // the page is in a frame of another site
	Absent    bool   // nobody touched it
	Damaged   bool   // its signature is wrong

	keys []key
}

type key struct {
	id     []byte
	site   string
	user   []byte
	secret *ecdsa.PrivateKey
}

var b64 = base64.RawURLEncoding

// created is what of the options an authenticator heeds.
type created struct {
	Challenge string `json:"challenge"`
	RP        struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	Exclude []struct {
		ID string `json:"id"`
	} `json:"excludeCredentials"`
}

// ErrHas says that the authenticator holds one of the passkeys that there are to be no more of.
var ErrHas = errors.New("InvalidStateError: it has one already")

// Make makes a passkey as the options ask for, and returns what a browser would: the JSON of the
// new credential.
func (a *Authenticator) Make(options []byte) (string, error) {
	var o created
	if err := json.Unmarshal(options, &o); err != nil {
		return "", err
	}
	for _, e := range o.Exclude {
		for _, k := range a.keys {
			if b64.EncodeToString(k.id) == e.ID {
				return "", ErrHas
			}
		}
	}
	user, err := b64.DecodeString(o.User.ID)
	if err != nil {
		return "", err
	}
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	k := key{id: make([]byte, 32), site: o.RP.ID, user: user, secret: secret}
	if _, err := rand.Read(k.id); err != nil {
		return "", err
	}
	a.keys = append(a.keys, k)
	return a.attest(k, o.Challenge)
}

// MakeAgain brings the newest passkey as if it were made for these options.
func (a *Authenticator) MakeAgain(options []byte) (string, error) {
	var o created
	if err := json.Unmarshal(options, &o); err != nil {
		return "", err
	}
	return a.attest(a.keys[len(a.keys)-1], o.Challenge)
}

// attest is what a browser returns of a new passkey.
func (a *Authenticator) attest(k key, challenge string) (string, error) {
	data, err := a.made(k)
	if err != nil {
		return "", err
	}
	object := append([]byte{0xa3}, text("fmt")...)
	object = append(append(object, text("none")...), text("attStmt")...)
	object = append(append(object, 0xa0), text("authData")...)
	object = append(append(object, head(2, len(data))...), data...)
	return a.credential(k, map[string]any{
		"clientDataJSON": b64.EncodeToString(a.client("webauthn.create", challenge)), "attestationObject": b64.EncodeToString(object),
		"transports": []string{"internal"},
	}, map[string]any{"credProps": map[string]any{"rk": true}})
}

// made is the authenticator data of a new passkey, with its public key (COSE_Key).
func (a *Authenticator) made(k key) ([]byte, error) {
	public, err := k.secret.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil, err
	}
	data := a.data(k, 1<<6)
	data = append(data, a.Model[:]...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.id)))
	data = append(data, k.id...)
	data = append(data, 0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21) // EC2, ES256, P-256, x
	data = append(append(data, head(2, 32)...), public[1:33]...)
	return append(append(append(data, 0x22), head(2, 32)...), public[33:]...), nil
}

// requested is what of the options an authenticator heeds.
type requested struct {
	Challenge string `json:"challenge"`
	Site      string `json:"rpId"`
	Allow     []struct {
		ID string `json:"id"`
	} `json:"allowCredentials"`
}

// Use signs in with the newest passkey that the options allow, and returns the JSON.
func (a *Authenticator) Use(options []byte) (string, error) {
	var o requested
	if err := json.Unmarshal(options, &o); err != nil {
		return "", err
	}
	for i := len(a.keys) - 1; i >= 0; i-- {
		k := a.keys[i]
		allowed := len(o.Allow) == 0
		for _, one := range o.Allow {
			allowed = allowed || one.ID == b64.EncodeToString(k.id)
		}
		if allowed && k.site == o.Site {
			return a.sign(k, o.Challenge)
		}
	}
	return "", fmt.Errorf("NotAllowedError: of %d passkeys none is allowed", len(a.keys))
}

// UseAny signs the challenge of the options whatever passkeys they allow.
func (a *Authenticator) UseAny(options []byte) (string, error) {
	var o requested
	if err := json.Unmarshal(options, &o); err != nil {
		return "", err
	}
	return a.sign(a.keys[len(a.keys)-1], o.Challenge)
}

func (a *Authenticator) sign(k key, challenge string) (string, error) {
	if a.Counts {
		a.Count++
	}
	data, client := a.data(k, 0), a.client("webauthn.get", challenge)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte(nil), data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.secret, digest[:])
	if err != nil {
		return "", err
	}
	if a.Damaged {
		signature[len(signature)-1] ^= 1
	}
	user := k.user
	if a.User != "" {
		user = []byte(a.User)
	}
	return a.credential(k, map[string]any{"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data),
		"signature": b64.EncodeToString(signature), "userHandle": b64.EncodeToString(user)}, map[string]any{})
}

// data is authenticator data (Web Authentication §6.1) without what belongs to a new passkey.
func (a *Authenticator) data(k key, flags byte) []byte {
	site := k.site
	if a.Site != "" {
		site = a.Site
	}
	if !a.Absent {
		flags |= 1
	}
	if a.Verified {
		flags |= 1 << 2
	}
	if a.Synced {
		flags |= 1<<3 | 1<<4
	}
	hash := sha256.Sum256([]byte(site))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), a.Count)
}

// client is what the browser says of the page.
func (a *Authenticator) client(ceremony, challenge string) []byte {
	if a.Type != "" {
		ceremony = a.Type
	}
	if a.Challenge != "" {
		challenge = a.Challenge
	}
	b, _ := json.Marshal(map[string]any{"type": ceremony, "challenge": challenge, "origin": a.Origin, "crossOrigin": a.Framed})
	return b
}

func (a *Authenticator) credential(k key, response, extensions map[string]any) (string, error) {
	b, err := json.Marshal(map[string]any{"id": b64.EncodeToString(k.id), "rawId": b64.EncodeToString(k.id), "type": "public-key",
		"authenticatorAttachment": "platform", "response": response, "clientExtensionResults": extensions})
	return string(b), err
}

// Copy is an authenticator that holds the same passkeys, as a thief would have it.
func (a *Authenticator) Copy() *Authenticator {
	other := *a
	other.keys = append([]key(nil), a.keys...)
	return &other
}

// head begins a CBOR item of a major type with a length below 65536 (RFC 8949 §3).
func head(major byte, n int) []byte {
	switch {
	case n < 24:
		return []byte{major<<5 | byte(n)}
	case n < 256:
		return []byte{major<<5 | 24, byte(n)}
	}
	return binary.BigEndian.AppendUint16([]byte{major<<5 | 25}, uint16(n))
}

func text(s string) []byte { return append(head(3, len(s)), s...) }
