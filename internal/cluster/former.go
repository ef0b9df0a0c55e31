package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Former is a copy that an epoch was made from by a promotion on this server: all that is
// in it is in the epoch too.
type Former struct {
	Copy  string // folder under db
	Epoch uint64
	Path  string
	Bytes int64
}

// FormerCopies lists the former copies of a data folder, by name. The one that counts and
// those that are parked or on their way are none.
func FormerCopies(dataDir, counts string) ([]Former, error) {
	m := copyRE.FindStringSubmatch(counts)
	if m == nil {
		return nil, fmt.Errorf("copy %q is no folder of ours", counts)
	}
	now, err := strconv.ParseUint(m[1], 10, 64)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(dataDir, dbDirName))
	if err != nil {
		return nil, err
	}
	joining, err := os.ReadFile(filepath.Join(dataDir, joiningFileName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []Former
	for _, e := range entries {
		m := copyRE.FindStringSubmatch(e.Name())
		if m == nil || !e.IsDir() || e.Name() == strings.TrimSpace(string(joining)) {
			continue
		}
		path := copyDir(dataDir, e.Name())
		epoch, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil || epoch >= now {
			continue
		}
		if _, err := os.Stat(path + parkedSuffix); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		all = append(all, Former{e.Name(), epoch, path, sizeOf(path)})
	}
	slices.SortFunc(all, func(a, b Former) int { return strings.Compare(a.Copy, b.Copy) })
	return all, nil
}

// sizeOf adds up the files in a folder, in bytes; what cannot be read counts for nothing.
func sizeOf(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // it counts for nothing
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}

// DropFormer removes a former copy.
func DropFormer(dataDir string, f Former) error {
	if !copyRE.MatchString(f.Copy) {
		return fmt.Errorf("copy %q is no folder of ours", f.Copy)
	}
	if err := os.RemoveAll(copyDir(dataDir, f.Copy)); err != nil {
		return err
	}
	return syncDir(filepath.Join(dataDir, dbDirName))
}
