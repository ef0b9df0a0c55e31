package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// ErrEmpty: the data folder holds no database yet.
var ErrEmpty = errors.New("no database here")

const dbDirName = "db"

func copyDir(dataDir, copy string) string { return filepath.Join(dataDir, dbDirName, copy) }

// survey looks at a data folder and the database that counts in it, without touching
// either. Its error tells what is wrong and what to do; it wraps ErrEmpty if nothing of
// ours and nothing foreign is there.
func survey(o Options) (epochFile, error) {
	f, err := surveyFolder(o)
	if err != nil {
		return f, err
	}
	return f, surveyCopy(o.DataDir, f)
}

// surveyFolder is survey without a look at the database.
func surveyFolder(o Options) (epochFile, error) {
	f, err := readEpochFile(o.DataDir, o.Verify)
	if errors.Is(err, fs.ErrNotExist) {
		return f, surveyWithoutEpoch(o)
	}
	if err != nil {
		return f, err
	}
	if o.Group != "" && f.Group != o.Group {
		return f, fmt.Errorf("%s belongs to group %q, not to %q: point data_dir to this group's folder, or leave the other group first", o.DataDir, f.Group, o.Group)
	}
	if f.Server != o.Name {
		return f, fmt.Errorf("%s belongs to server %q, but this one is called %q: set `name: %s` again, or point data_dir to the right folder", o.DataDir, f.Server, o.Name, f.Server)
	}
	return f, nil
}

// surveyWithoutEpoch says what a folder without epoch file is.
func surveyWithoutEpoch(o Options) error {
	entries, err := os.ReadDir(o.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not exist: %w", o.DataDir, ErrEmpty)
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(o.DataDir, joiningFileName)); err == nil {
		return fmt.Errorf("%s: %w; start the server and it joins anew", o.DataDir, errJoining)
	}
	var foreign []string
	snapshots := false
	for _, e := range entries {
		switch name := e.Name(); {
		case name == dbDirName:
			return fmt.Errorf("%s holds databases (%s) but no %s, so nobody knows which one counts: put %s back from a backup; if founding or restoring was interrupted here, remove the folder %s and start it again",
				o.DataDir, dbDirName, epochFileName, epochFileName, filepath.Join(o.DataDir, dbDirName))
		case name == snapshotDirName:
			snapshots = true
		case name == lockFileName, name == ballastName, name == epochFileName+".tmp", name == joiningFileName+".tmp", name == "lost+found",
			slices.Contains(o.Known, name):
		default:
			foreign = append(foreign, name)
		}
	}
	switch {
	case len(foreign) > 0:
		more := ""
		if len(foreign) > 3 {
			more = fmt.Sprintf(" and %d more", len(foreign)-3)
			foreign = foreign[:3]
		}
		return fmt.Errorf("%s is not a data folder of this program: it holds %s%s; name an empty folder as data_dir", o.DataDir, strings.Join(foreign, ", "), more)
	case snapshots:
		return fmt.Errorf("%s holds snapshots of an earlier database but neither %s nor a database: put back what was there, or move %s away to begin anew or restore a backup",
			o.DataDir, epochFileName, filepath.Join(o.DataDir, snapshotDirName))
	}
	return fmt.Errorf("%s is empty: %w", o.DataDir, ErrEmpty)
}

// surveyCopy checks the database that f names: present, readable, of f's cluster.
func surveyCopy(dataDir string, f epochFile) error {
	dir := copyDir(dataDir, f.Copy)
	const remedy = "move the data folder aside and restore the last backup, or the last snapshot in it (`countersign backup restore`), or activate this server anew"
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%s names the database %s, which is not there: put it back, or %s", filepath.Join(dataDir, epochFileName), dir, remedy)
	}
	id, err := clusterOf(dir)
	if err != nil {
		return fmt.Errorf("database %s: %w: %s", dir, err, remedy)
	}
	if id != f.ClusterID {
		return fmt.Errorf("database %s is of cluster %s, but %s says %s: it was copied from elsewhere; put back folder and file from one backup",
			dir, id, filepath.Join(dataDir, epochFileName), f.ClusterID)
	}
	return nil
}

// clusterOf reads the whole write-ahead log and the heads of the database in dir, changes
// nothing, and returns the id of the etcd cluster that they belong to. A torn tail of the
// log is no error: etcd cuts it off, it was never acknowledged.
func clusterOf(dir string) (id string, err error) {
	defer func() { // etcd's decoders panic on records that do not parse
		if r := recover(); r != nil {
			err = fmt.Errorf("the write-ahead log is damaged (%v)", r)
		}
	}()
	walDir := filepath.Join(dir, "member", "wal")
	if !wal.Exist(walDir) {
		return "", fmt.Errorf("there is no write-ahead log in %s", walDir)
	}
	if _, err := wal.ValidSnapshotEntries(zap.NewNop(), walDir); err != nil {
		return "", fmt.Errorf("the write-ahead log is damaged (%w)", err)
	}
	meta, err := walMetadata(walDir)
	if err != nil {
		return "", fmt.Errorf("the write-ahead log is damaged (%w)", err)
	}
	applied, err := peekBackend(filepath.Join(dir, "member", "snap", "db"))
	if err != nil {
		return "", err
	}
	// Damage in the middle can look like a torn tail. But nothing is applied that is not in
	// the log and synced.
	logged, err := lastLogged(walDir)
	if err != nil {
		return "", fmt.Errorf("the write-ahead log is damaged (%w)", err)
	}
	if applied > logged {
		return "", fmt.Errorf("the write-ahead log is damaged (it breaks off after entry %d, the database has seen entry %d)", logged, applied)
	}
	return clusterID(meta.GetClusterID()), nil
}

func clusterID(id uint64) string { return fmt.Sprintf("%016x", id) }

// walMetadata returns the record that heads each file of the log.
func walMetadata(walDir string) (*etcdserverpb.Metadata, error) {
	names, err := filepath.Glob(filepath.Join(walDir, "*.wal"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no files in %s", walDir)
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) { // the newest may be cut but still empty
		meta, err := fileMetadata(name)
		if err == nil {
			return meta, nil
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
	}
	return nil, errors.New("no file names its cluster")
}

func fileMetadata(name string) (*etcdserverpb.Metadata, error) {
	var meta *etcdserverpb.Metadata
	err := eachRecord(name, func(rec *walpb.Record) (bool, error) {
		if rec.GetType() != wal.MetadataType {
			return true, nil
		}
		meta = &etcdserverpb.Metadata{}
		return false, proto.Unmarshal(rec.Data, meta)
	})
	if err == nil && meta == nil {
		err = io.EOF
	}
	return meta, err
}

// lastLogged reads the log in walDir and returns the index of the last entry in it. Only
// its newest file may have a torn tail.
func lastLogged(walDir string) (last uint64, err error) {
	names, err := filepath.Glob(filepath.Join(walDir, "*.wal"))
	if err != nil {
		return 0, err
	}
	slices.Sort(names)
	for i, name := range names {
		// SEQUENCE-INDEX.wal, where the file's first entry has this index.
		_, first, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), ".wal"), "-")
		n, err := strconv.ParseUint(first, 16, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is no file of the log", name)
		}
		last = max(n, 1) - 1
		err = eachRecord(name, func(rec *walpb.Record) (bool, error) {
			if rec.GetType() != wal.EntryType {
				return true, nil
			}
			var e raftpb.Entry
			err := proto.Unmarshal(rec.Data, &e)
			last = e.GetIndex()
			return true, err
		})
		if err != nil && !(errors.Is(err, io.ErrUnexpectedEOF) && i == len(names)-1) {
			return 0, err
		}
	}
	return last, nil
}

// eachRecord calls yield with the records of one file of the log until that returns false.
func eachRecord(name string, yield func(*walpb.Record) (more bool, err error)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	dec := wal.NewDecoder(fileutil.NewFileReader(file))
	for {
		var rec walpb.Record
		if err := dec.Decode(&rec); err == io.EOF { //nolint:errorlint // as etcd's own reader: wrapped, it is no end
			return nil
		} else if err != nil {
			return err
		}
		if rec.GetType() == wal.CrcType {
			dec.UpdateCRC(rec.GetCrc())
		}
		if more, err := yield(&rec); !more || err != nil {
			return err
		}
	}
}

// peekBackend opens the database file for reading, which checks its heads, and returns the
// index of the last entry of the log that was applied to it.
func peekBackend(path string) (applied uint64, err error) {
	if _, err := os.Stat(path); err != nil {
		return 0, fmt.Errorf("the file %s is not there", path)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return 0, fmt.Errorf("the file %s is damaged (%w)", path, err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		if b := tx.Bucket(schema.Meta.Name()); b != nil {
			if v := b.Get(schema.MetaConsistentIndexKeyName); len(v) == 8 {
				applied = binary.BigEndian.Uint64(v)
			}
		}
		return nil
	})
	return applied, errors.Join(err, db.Close())
}

// nextCopy returns a name for a new database of epoch that no folder has or had.
func nextCopy(dataDir string, epoch uint64) (string, error) {
	entries, err := os.ReadDir(filepath.Join(dataDir, dbDirName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	n := 0
	for _, e := range entries {
		if m := copyRE.FindStringSubmatch(e.Name()); m != nil && m[1] == strconv.FormatUint(epoch, 10) {
			had, _ := strconv.Atoi(m[2])
			n = max(n, had)
		}
	}
	return fmt.Sprintf("epoch-%d.%d", epoch, n+1), nil
}
