package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const (
	epochFileName    = "epoch.json"
	epochFileVersion = 1
	maxEpochFile     = 16 << 10 // bytes
)

// epochFile says which database of the folder counts. It lies beside the databases, never
// in one, so that a copied or restored database cannot claim an epoch by itself.
type epochFile struct {
	V         int       `json:"v"`
	Group     string    `json:"group"`
	Epoch     uint64    `json:"epoch"`              // from 1
	ClusterID string    `json:"cluster_id"`         // etcd's, 16 hexadecimal digits
	Copy      string    `json:"copy"`               // folder under db: epoch-N.COPY
	Server    string    `json:"server"`             // whose folder this is
	Highest   uint64    `json:"highest_epoch_seen"` // at least Epoch
	Since     time.Time `json:"since"`              // of the epoch, UTC
	DecidedBy string    `json:"decided_by"`         // "init", "restore", an operator, a coordinator

	// Of an epoch that was forked from another one.
	Previous    string          `json:"previous_cluster_id,omitempty"` // the cluster that it was forked from
	Fork        int64           `json:"fork_revision,omitempty"`       // of the copy that it was made of
	Unconfirmed bool            `json:"unconfirmed,omitempty"`         // no coordinator granted it
	Receipt     json.RawMessage `json:"receipt,omitempty"`             // whoever forked it keeps here what it has to remember

	Rival string `json:"rival_cluster_id,omitempty"` // another database of the same epoch, once it was met

	Signature []byte `json:"signature"`
}

var (
	copyRE      = regexp.MustCompile(`^epoch-([1-9][0-9]{0,18})\.([1-9][0-9]{0,8})$`)
	clusterIDRE = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

// message returns the bytes that are signed: all fields but the signature.
func (f epochFile) message() ([]byte, error) {
	f.Signature = nil
	body, err := json.Marshal(f)
	return append([]byte("countersign epoch file\n"), body...), err
}

// check reports the first field that cannot be.
func (f epochFile) check() error {
	m := copyRE.FindStringSubmatch(f.Copy)
	switch {
	case f.V != epochFileVersion:
		return fmt.Errorf("version %d: this program knows version %d", f.V, epochFileVersion)
	case !nameRE.MatchString(f.Group):
		return fmt.Errorf("group %q is not a name", f.Group)
	case !nameRE.MatchString(f.Server):
		return fmt.Errorf("server %q is not a name", f.Server)
	case f.Epoch == 0 || f.Highest < f.Epoch:
		return fmt.Errorf("epoch %d with highest epoch seen %d", f.Epoch, f.Highest)
	case !clusterIDRE.MatchString(f.ClusterID):
		return fmt.Errorf("cluster_id %q: want 16 hexadecimal digits", f.ClusterID)
	case m == nil || m[1] != strconv.FormatUint(f.Epoch, 10):
		return fmt.Errorf("copy %q is no folder of epoch %d", f.Copy, f.Epoch)
	case f.Since.IsZero():
		return errors.New("since is not set")
	case f.Previous != "" && !clusterIDRE.MatchString(f.Previous):
		return fmt.Errorf("previous_cluster_id %q: want 16 hexadecimal digits", f.Previous)
	case f.Rival != "" && (!clusterIDRE.MatchString(f.Rival) || f.Rival == f.ClusterID):
		return fmt.Errorf("rival_cluster_id %q: want 16 hexadecimal digits of another cluster", f.Rival)
	case f.Fork < 0:
		return fmt.Errorf("fork_revision %d", f.Fork)
	}
	return nil
}

// parseEpochFile is strict: known fields only, one document, at most 16 KiB. It does not
// look at the signature.
func parseEpochFile(b []byte) (epochFile, error) {
	var f epochFile
	if len(b) > maxEpochFile {
		return f, fmt.Errorf("%d bytes: want at most %d", len(b), maxEpochFile)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return f, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return f, errors.New("something follows the document")
	}
	return f, f.check()
}

// readEpochFile reads and verifies the epoch file of folder dir. The error is fs.ErrNotExist
// if there is none.
func readEpochFile(dir string, verify func(message, signature []byte) error) (epochFile, error) {
	path := filepath.Join(dir, epochFileName)
	file, err := os.Open(path)
	if err != nil {
		return epochFile{}, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxEpochFile+1))
	if err != nil {
		return epochFile{}, fmt.Errorf("%s: %w", path, err)
	}
	f, err := parseEpochFile(b)
	if err != nil {
		return epochFile{}, fmt.Errorf("%s is damaged (%w): put it back from a backup, or move the data folder aside and restore or activate anew", path, err)
	}
	message, err := f.message()
	if err != nil {
		return epochFile{}, err
	}
	if err := verify(message, f.Signature); err != nil {
		return epochFile{}, fmt.Errorf("%s is not signed by this server's key (%w): it was changed, or it or the key was copied from another server; put back both from one backup", path, err)
	}
	return f, nil
}

// write signs f and puts it into folder dir so that after a crash either the old or the
// new file is there.
func (f epochFile) write(dir string, sign func(message []byte) ([]byte, error)) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("epoch file: %w", err)
	}
	message, err := f.message()
	if err != nil {
		return err
	}
	if f.Signature, err = sign(message); err != nil {
		return fmt.Errorf("sign the epoch file: %w", err)
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeFileAtomic(filepath.Join(dir, epochFileName), append(b, '\n'))
}

// writeFileAtomic replaces path by a file of mode 0600 with content b, synced with its folder.
func writeFileAtomic(path string, b []byte) error {
	tmp := path + ".tmp"
	file, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}
