package mfa

import (
	"encoding/json"
	"fmt"

	"countersign/internal/secret"
)

// Passkey is what is kept of a passkey, as the Secret of its credential. All of it is public, but
// whoever reads a stolen database need not know who has which.
type Passkey struct {
	ID           []byte   `json:"id"`                   // that the authenticator gave it
	Key          []byte   `json:"key"`                  // public: COSE_Key (RFC 9052 §7)
	Model        string   `json:"model"`                // AAGUID; zeros: it does not tell
	Count        uint32   `json:"count,omitempty"`      // of signatures when it was made; later ones are the floor's
	Transports   []string `json:"transports,omitempty"` // how a browser reaches it: "internal", "usb", "hybrid"
	Flags        byte     `json:"flags"`                // of the authenticator data when it was made (Web Authentication §6.1)
	Format       string   `json:"format"`               // of its attestation: "none", "packed"
	Discoverable bool     `json:"discoverable"`         // it says by itself whose it is
}

// The flags of a passkey that matter after it was made.
const (
	passkeyEligible = 1 << 3 // BE: it may be copied to other devices of its user
	passkeyBackedUp = 1 << 4 // BS: it was
)

// Synced reports whether the passkey may be on more than one device.
func (p Passkey) Synced() bool { return p.Flags&passkeyEligible != 0 }

// BackedUp reports whether it was, when it was made.
func (p Passkey) BackedUp() bool { return p.Flags&passkeyBackedUp != 0 }

// Kept returns what a credential keeps of p.
func (p Passkey) Kept() (secret.Text, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(b), nil
}

// ParsePasskey reads what a credential keeps.
func ParsePasskey(c Credential) (p Passkey, err error) {
	if c.Method != MethodPasskey {
		return p, fmt.Errorf("credential %s: %w method %q: want %s", c.ID, ErrInvalid, c.Method, MethodPasskey)
	}
	if err := json.Unmarshal(c.Secret.Expose(), &p); err != nil || len(p.ID) == 0 || len(p.Key) == 0 {
		return Passkey{}, fmt.Errorf("credential %s: what is kept of the passkey cannot be read (remove it and enrol it again)", c.ID)
	}
	return p, nil
}

// Ceremony is what a browser is asked to do with a passkey outside a sign-in: to make one, or to
// show that it works.
type Ceremony struct {
	Credential CredentialID
	Options    []byte // what the browser needs, JSON; nothing in it is secret
	Ticket     string // comes back with what the browser returns; sealed, good once
}
