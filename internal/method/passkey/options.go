package passkey

import (
	"encoding/base64"
	"encoding/json"

	"countersign/internal/mfa"
)

// The options are in the form that browsers parse (Web Authentication §5.1.8 to §5.1.10,
// PublicKeyCredential.parseRequestOptionsFromJSON): bytes in base64url.

// encoded is bytes as they are written there.
type encoded []byte

// MarshalText implements encoding.TextMarshaler.
func (e encoded) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, e), nil
}

// descriptor names one passkey.
type descriptor struct {
	Type       string   `json:"type"`
	ID         encoded  `json:"id"`
	Transports []string `json:"transports,omitempty"`
}

// describe names the passkeys of some credentials.
func describe(all []mfa.Credential) ([]descriptor, error) {
	out := make([]descriptor, 0, len(all))
	for _, c := range all {
		k, err := mfa.ParsePasskey(c)
		if err != nil {
			return nil, err
		}
		out = append(out, descriptor{"public-key", k.ID, k.Transports})
	}
	return out, nil
}

// request asks for a passkey to be used.
type request struct {
	Challenge    encoded      `json:"challenge"`
	Timeout      int64        `json:"timeout"` // ms
	Site         string       `json:"rpId"`
	Verification string       `json:"userVerification,omitempty"`
	Allow        []descriptor `json:"allowCredentials"`
}

func (r request) encode() ([]byte, error) { return json.Marshal(r) }

// creation asks for one to be made.
type creation struct {
	Challenge   encoded      `json:"challenge"`
	Timeout     int64        `json:"timeout"` // ms
	Site        entity       `json:"rp"`
	User        person       `json:"user"`
	Algorithms  []algorithm  `json:"pubKeyCredParams"`
	Exclude     []descriptor `json:"excludeCredentials"`
	Selection   selection    `json:"authenticatorSelection"`
	Attestation string       `json:"attestation"`
	Extensions  extensions   `json:"extensions"`
}

type entity struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type person struct {
	ID      encoded `json:"id"`
	Name    string  `json:"name"`
	Display string  `json:"displayName"`
}

type algorithm struct {
	Type string `json:"type"`
	ID   int64  `json:"alg"`
}

type selection struct {
	Resident     string `json:"residentKey"`
	Verification string `json:"userVerification,omitempty"`
}

type extensions struct {
	Properties bool `json:"credProps"`
}
