package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"countersign/internal/secret"
)

// maxWrapped bounds what Unwrap reads: a full keyset for some hundred servers.
const maxWrapped = 64 << 10

// Identity is a server's own wrapping key: an age X25519 identity. Whoever has it and the
// database has the keyset. The zero Identity unwraps nothing.
type Identity struct {
	text      secret.Text
	recipient string
}

// NewIdentity returns a fresh identity.
func NewIdentity() (Identity, error) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		return Identity{}, fmt.Errorf("keyring: make an identity: %w", err)
	}
	return Identity{text: secret.FromString(i.String()), recipient: i.Recipient().String()}, nil
}

// ParseIdentity reads what Text returned ("AGE-SECRET-KEY-1..."), white space around it
// ignored.
func ParseIdentity(t secret.Text) (Identity, error) {
	i, err := parse(t)
	if err != nil {
		return Identity{}, err
	}
	return Identity{text: secret.FromString(i.String()), recipient: i.Recipient().String()}, nil
}

func parse(t secret.Text) (*age.X25519Identity, error) {
	i, err := age.ParseX25519Identity(string(bytes.TrimSpace(t.Expose())))
	if err != nil {
		return nil, errors.New("keyring: not an age X25519 identity") // age's error could quote it
	}
	return i, nil
}

// Text returns the identity for its file.
func (i Identity) Text() secret.Text { return i.text }

// Recipient returns the public half ("age1..."), to which keysets are wrapped.
func (i Identity) Recipient() string { return i.recipient }

// Wrap encrypts the keyset to the recipients ("age1..."), in age's own file format, so
// that each of them can Unwrap it.
func (k Keyset) Wrap(recipients ...string) ([]byte, error) {
	if k.Empty() {
		return nil, errors.New("keyring: an empty keyset cannot be wrapped")
	}
	var to []age.Recipient
	for _, r := range recipients {
		x, err := age.ParseX25519Recipient(r)
		if err != nil {
			return nil, fmt.Errorf("keyring: recipient %q: %w", r, err)
		}
		to = append(to, x)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err == nil {
		if _, err = w.Write(k.Marshal().Expose()); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: wrap the keyset: %w", err)
	}
	return b.Bytes(), nil
}

// Unwrap opens what Wrap made for i, among others.
func Unwrap(wrapped []byte, i Identity) (Keyset, error) {
	if len(wrapped) > maxWrapped {
		return Keyset{}, fmt.Errorf("keyring: wrapped keyset of %d bytes, at most %d", len(wrapped), maxWrapped)
	}
	id, err := parse(i.text)
	if err != nil {
		return Keyset{}, err
	}
	r, err := age.Decrypt(bytes.NewReader(wrapped), id)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return Keyset{}, fmt.Errorf("keyring: the keyset is not wrapped to this server's key %s", i.recipient)
	}
	if err != nil {
		return Keyset{}, fmt.Errorf("keyring: unwrap the keyset: %w", err)
	}
	clear, err := io.ReadAll(io.LimitReader(r, headerSize+maxKeys*entrySize+1))
	if err != nil {
		return Keyset{}, fmt.Errorf("keyring: unwrap the keyset: %w", err)
	}
	return Unmarshal(secret.New(clear))
}
