package node

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/admin"
	"countersign/internal/cluster"
)

// formerEvery is how often former copies are looked at.
const formerEvery = time.Hour

// formerUntil is when the copies that this server's epochs were made from are removed: they
// are kept as long as parked ones, for somebody who doubts what the promotion took over.
func (s *server) formerUntil() time.Time { return s.node.Folder().Since.Add(parkedKeep) }

// dropFormer removes them when that time has come.
func (s *server) dropFormer() {
	dir := s.Config.DataDir
	all, err := cluster.FormerCopies(dir, s.node.Folder().Copy)
	if err != nil {
		s.own.Warn("the copies that earlier epochs have left could not be looked at", "error", err)
	}
	if s.Now().Before(s.formerUntil()) {
		return
	}
	for _, f := range all {
		if err := cluster.DropFormer(dir, f); err != nil {
			s.own.Warn("the copy that an epoch was made from could not be removed; the next try is in an hour", "path", f.Path, "error", err)
			continue
		}
		s.own.Info("the copy that an epoch was made from was kept long enough and is removed", "path", f.Path, "bytes", f.Bytes)
	}
}

// keepFormer does so now and then, until ctx is done.
func (s *server) keepFormer(ctx context.Context) error {
	tick := time.NewTicker(formerEvery)
	defer tick.Stop()
	for {
		if s.aside.Load() == nil {
			s.dropFormer()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// checkFormer is what doctor says of them: what they take of the disk, and until when.
func (s *server) checkFormer() (list []admin.Check) {
	all, err := cluster.FormerCopies(s.Config.DataDir, s.node.Folder().Copy)
	if err != nil {
		return []admin.Check{check("former copies", s.Config.DataDir, "file", err, "", "look at the folder db in data_dir")}
	}
	for _, f := range all {
		list = append(list, check("former copy", f.Path, "file", nil, fmt.Sprintf("of epoch %d, which a promotion here ended: %d MiB; it is removed after %s, or by you if the room is needed",
			f.Epoch, f.Bytes>>20, s.formerUntil().UTC().Format(time.RFC3339)), ""))
	}
	return list
}
