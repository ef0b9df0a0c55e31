package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const parkedSuffix = ".parked"

// Parked is a copy of the database of an epoch that ended, which this server had when it
// joined a later one. It may hold what no later epoch has.
type Parked struct {
	V         int       `json:"v"`
	Copy      string    `json:"copy"` // folder under db
	Group     string    `json:"group"`
	Epoch     uint64    `json:"epoch"`
	ClusterID string    `json:"cluster_id"`
	Since     time.Time `json:"since"` // of that epoch, on this server
	Next      uint64    `json:"next_epoch"`
	NextID    string    `json:"next_cluster_id"`
	Time      time.Time `json:"parked"`
}

// Path is the copy's folder in a data folder.
func (p Parked) Path(dataDir string) string { return copyDir(dataDir, p.Copy) }

// park marks the copy of old, which next takes the place of.
func park(o Options, old, next epochFile) error {
	p := Parked{V: 1, Copy: old.Copy, Group: old.Group, Epoch: old.Epoch, ClusterID: old.ClusterID, Since: old.Since,
		Next: next.Epoch, NextID: next.ClusterID, Time: o.Now().UTC().Truncate(time.Second)}
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFileAtomic(copyDir(o.DataDir, old.Copy)+parkedSuffix, append(b, '\n')); err != nil {
		return fmt.Errorf("park the copy of epoch %d: %w", old.Epoch, err)
	}
	return nil
}

// ParkedCopies lists the parked copies of a data folder, the oldest epoch first. A copy
// whose folder is gone is not among them, nor is counts, the copy that counts: a join that
// was interrupted may have marked it too early.
func ParkedCopies(dataDir, counts string) ([]Parked, error) {
	names, err := filepath.Glob(filepath.Join(dataDir, dbDirName, "epoch-*"+parkedSuffix))
	if err != nil {
		return nil, err
	}
	var all []Parked
	for _, name := range names {
		copy := strings.TrimSuffix(filepath.Base(name), parkedSuffix)
		if _, err := os.Stat(copyDir(dataDir, copy)); err != nil || copy == counts {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		p, err := parseParked(copy, b)
		if err != nil {
			return nil, fmt.Errorf("%s: it is damaged or of another version (%w): the copy in %s stays as it is", name, err, copyDir(dataDir, copy))
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Parked) int {
		return strings.Compare(a.Time.Format(time.RFC3339)+a.Copy, b.Time.Format(time.RFC3339)+b.Copy)
	})
	return all, nil
}

// parseParked reads the mark of copy.
func parseParked(copy string, b []byte) (p Parked, err error) {
	if err := json.Unmarshal(b, &p); err != nil {
		return Parked{}, err
	}
	m := copyRE.FindStringSubmatch(copy)
	switch {
	case p.V != 1:
		return Parked{}, fmt.Errorf("version %d: this program knows version 1", p.V)
	case p.Copy != copy || m == nil:
		return Parked{}, fmt.Errorf("it is of copy %q", p.Copy)
	case m[1] != strconv.FormatUint(p.Epoch, 10):
		return Parked{}, fmt.Errorf("it is of epoch %d", p.Epoch)
	}
	return p, nil
}

// DropParked removes a parked copy, and its mark last.
func DropParked(dataDir string, p Parked) error {
	if !copyRE.MatchString(p.Copy) {
		return fmt.Errorf("copy %q is no folder of ours", p.Copy)
	}
	if err := os.RemoveAll(p.Path(dataDir)); err != nil {
		return err
	}
	if err := os.Remove(p.Path(dataDir) + parkedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Join(dataDir, dbDirName))
}
