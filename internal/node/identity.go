package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"countersign/internal/keyring"
	"countersign/internal/secret"
)

// identity is what makes this server itself: the key that the keyset is wrapped to and
// the key that signs.
type identity struct {
	wrap keyring.Identity
	sign ed25519.PrivateKey
}

const (
	wrapFile = "wrap.key"
	signFile = "sign.key"
	signType = "COUNTERSIGN SIGNING KEY" // PEM, PKCS #8
)

// loadIdentity reads the keys of a data folder. The error wraps fs.ErrNotExist if there
// are none.
func loadIdentity(dataDir string) (identity, error) {
	dir := filepath.Join(dataDir, keysDir)
	wrapText, err := readSecret(filepath.Join(dir, wrapFile))
	if err != nil {
		return identity{}, err
	}
	wrap, err := keyring.ParseIdentity(wrapText)
	if err != nil {
		return identity{}, fmt.Errorf("%s: %w; put it back from a backup of this machine", filepath.Join(dir, wrapFile), err)
	}
	signText, err := readSecret(filepath.Join(dir, signFile))
	if err != nil {
		return identity{}, err
	}
	sign, ok := parseSign(signText)
	if !ok {
		return identity{}, fmt.Errorf("%s: not a signing key; put it back from a backup of this machine", filepath.Join(dir, signFile))
	}
	return identity{wrap: wrap, sign: sign}, nil
}

func parseSign(t secret.Text) (ed25519.PrivateKey, bool) {
	block, _ := pem.Decode(t.Expose())
	if block == nil || block.Type != signType {
		return nil, false
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, false
	}
	sign, ok := key.(ed25519.PrivateKey)
	return sign, ok
}

// makeIdentity makes fresh keys in a data folder, or returns those that an interrupted
// founding left.
func makeIdentity(dataDir string) (identity, error) {
	id, err := loadIdentity(dataDir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	dir := filepath.Join(dataDir, keysDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return identity{}, fmt.Errorf("keys: %w", err)
	}
	wrap, err := keyring.NewIdentity()
	if err != nil {
		return identity{}, err
	}
	_, sign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("keys: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(sign)
	if err != nil {
		return identity{}, fmt.Errorf("keys: %w", err)
	}
	if err := writeSynced(filepath.Join(dir, signFile), pem.EncodeToMemory(&pem.Block{Type: signType, Bytes: der})); err != nil {
		return identity{}, err
	}
	if err := writeSynced(filepath.Join(dir, wrapFile), append(wrap.Text().Expose(), '\n')); err != nil {
		return identity{}, err
	}
	return identity{wrap: wrap, sign: sign}, nil
}

// public is the key that others check this server's signatures with.
func (i identity) public() []byte { return i.sign.Public().(ed25519.PublicKey) }

// signMessage signs for cluster.
func (i identity) signMessage(message []byte) ([]byte, error) {
	return ed25519.Sign(i.sign, message), nil
}

// verifyMessage is its counterpart.
func (i identity) verifyMessage(message, signature []byte) error {
	if !ed25519.Verify(i.sign.Public().(ed25519.PublicKey), message, signature) {
		return errors.New("not signed by this server's key (keys/sign.key); the file or the key is from another server")
	}
	return nil
}

// readSecret reads a small file that only its owner may read.
func readSecret(path string) (secret.Text, error) {
	info, err := os.Stat(path)
	if err != nil {
		return secret.Text{}, err
	}
	if p := info.Mode().Perm(); p&0o077 != 0 && checkModes {
		return secret.Text{}, fmt.Errorf("%s: mode %04o lets others read this key; run: chmod 600 %s", path, p, path)
	}
	if info.Size() > 64<<10 {
		return secret.Text{}, fmt.Errorf("%s: %d bytes cannot be a key", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(b), nil
}

// writeSynced puts a file of mode 0600 in place so that after a crash the old one or the
// new one is there, never half of it.
func writeSynced(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}
