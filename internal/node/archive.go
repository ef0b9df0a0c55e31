package node

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// A backup is a tar archive encrypted to a passphrase in age's file format, so that in
// an emergency `age -d FILE | tar t` shows what is in it:
//
//	manifest.json   what it is of
//	keyset          the group's keys in clear
//	snapshot.db     the database at one revision, as package cluster writes it
const (
	manifestName = "manifest.json"
	keysetName   = "keyset"
	snapshotName = "snapshot.db"

	manifestVersion = 1
	maxManifest     = 256 << 10
	maxKeyset       = 1 << 20
)

// manifest says what a backup is of.
type manifest struct {
	V        int       `json:"v"`
	Group    string    `json:"group"`
	Server   string    `json:"server"`
	Epoch    uint64    `json:"epoch"`
	Revision int64     `json:"revision"`
	Created  time.Time `json:"created"`
	Version  string    `json:"version"` // of the program
	Size     int64     `json:"size"`    // of the snapshot, bytes
	SHA256   string    `json:"sha256"`  // of the snapshot, hexadecimal

	Members []mfa.Member `json:"members,omitempty"` // servers of the group, to be asked before a restore
	CA      []byte       `json:"ca,omitempty"`      // SHA-256 of the certificate of the group's CA (DER)

	local bool   // no backup, but a snapshot that the server itself kept
	trail string // folder of the trail that lies beside that
}

// what is the word for what m is of.
func (m manifest) what() string {
	if m.local {
		return "snapshot"
	}
	return "backup"
}

// scryptWork is the base-2 logarithm of what a guess at the passphrase costs: about a second.
const scryptWork = 18

// writeArchive encrypts a backup to w. snapshot is the path of the snapshot, whose size
// and hash m names; work is scryptWork outside tests.
func writeArchive(w io.Writer, passphrase secret.Text, work int, m manifest, keys keyring.Keyset, snapshot string) error {
	recipient, err := age.NewScryptRecipient(string(passphrase.Expose()))
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	recipient.SetWorkFactor(work)
	sealed, err := age.Encrypt(w, recipient)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	t := tar.NewWriter(sealed)
	manifestJSON, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	add := func(name string, size int64, r io.Reader) error {
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: m.Created, Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err := io.Copy(t, r)
		return err
	}
	f, err := os.Open(snapshot)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer f.Close()
	keyset := keys.Marshal()
	err = errors.Join(
		add(manifestName, int64(len(manifestJSON)), strings.NewReader(string(manifestJSON))),
		add(keysetName, int64(keyset.Len()), strings.NewReader(string(keyset.Expose()))),
		add(snapshotName, m.Size, f),
	)
	if err = errors.Join(err, t.Close(), sealed.Close()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// readArchive decrypts a backup into folder dir, where the snapshot is left, and returns
// what it holds. Everything is checked against the manifest. The error wraps
// mfa.ErrInvalid for a file that is no backup, is damaged or has another passphrase.
func readArchive(r io.Reader, passphrase secret.Text, dir string) (m manifest, keys keyring.Keyset, err error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w backup: %s", mfa.ErrInvalid, fmt.Sprintf(format, args...))
	}
	id, err := age.NewScryptIdentity(string(passphrase.Expose()))
	if err != nil {
		return m, keys, bad("the passphrase is empty")
	}
	id.SetMaxWorkFactor(20)
	open, err := age.Decrypt(r, id)
	if err != nil {
		if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
			return m, keys, bad("this passphrase does not open it")
		}
		return m, keys, bad("not an encrypted backup of this program, or its beginning is damaged (%v)", err)
	}
	t := tar.NewReader(open)
	next := func(name string, limit int64) ([]byte, error) {
		h, err := t.Next()
		if err != nil || h.Name != name || h.Typeflag != tar.TypeReg || h.Size > limit {
			return nil, bad("%s is missing or damaged", name)
		}
		b, err := io.ReadAll(io.LimitReader(t, limit+1))
		if err != nil {
			return nil, bad("%s is damaged: %v", name, err)
		}
		return b, nil
	}
	b, err := next(manifestName, maxManifest)
	if err != nil {
		return m, keys, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, keys, bad("%s: %v", manifestName, err)
	}
	if m.V != manifestVersion {
		return m, keys, bad("it has version %d, this program reads %d: use the program's version %s", m.V, manifestVersion, m.Version)
	}
	if m.Group == "" || m.Epoch == 0 || m.Size <= 0 {
		return m, keys, bad("%s names no group, epoch or size", manifestName)
	}
	if b, err = next(keysetName, maxKeyset); err != nil {
		return m, keys, err
	}
	if keys, err = keyring.Unmarshal(secret.New(b)); err != nil {
		return m, keys, bad("keyset: %v", err)
	}
	h, err := t.Next()
	if err != nil || h.Name != snapshotName || h.Size != m.Size {
		return m, keys, bad("%s is missing or not of the size that the manifest names", snapshotName)
	}
	f, err := os.OpenFile(filepath.Join(dir, snapshotName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return m, keys, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), t)
	if err != nil {
		_ = f.Close()
		return m, keys, bad("it ends or is damaged after %d of %d bytes: %v", n, m.Size, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return m, keys, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != m.SHA256 {
		return m, keys, bad("the database in it has the hash %s, the manifest says %s", got, m.SHA256)
	}
	// The last part of an age file proves that nothing is missing behind it.
	if _, err := io.Copy(io.Discard, open); err != nil {
		return m, keys, bad("its end is missing or damaged: %v", err)
	}
	return m, keys, nil
}
