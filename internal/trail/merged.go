package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

const mergedName = "merged.json"

// SetMerged notes durably that everything up to p is in the group's database, so that
// the next start need not read it and retention may remove it. A p that is not newer
// than the last one changes nothing.
func (t *Trail) SetMerged(p Position) error {
	t.mergedMu.Lock()
	defer t.mergedMu.Unlock()
	if p.Seq <= t.merged.Seq {
		return nil
	}
	if head := t.Head(); p.Seq > head.Seq {
		return fmt.Errorf("trail: merged up to record %d, but the last one is %d", p.Seq, head.Seq)
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := writeFile(t.opt.FS, t.opt.Dir, mergedName, append(b, '\n')); err != nil {
		return fmt.Errorf("trail: %s: %w", join(t.opt.Dir, mergedName), err)
	}
	t.merged = p
	return nil
}

// Merged returns the last position given to SetMerged, in this run or an earlier one;
// zero if that is lost, and then everything is to be merged again.
func (t *Trail) Merged() Position {
	t.mergedMu.Lock()
	defer t.mergedMu.Unlock()
	return t.merged
}

func (t *Trail) readMerged() error {
	name := join(t.opt.Dir, mergedName)
	f, err := t.opt.FS.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b, err := readAt(f, 0, min(size, 4096))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var p Position
	if err := json.Unmarshal(b, &p); err != nil || p.Seq > t.head.Seq {
		t.opt.Log.Error("trail: the note of what is merged is unusable; everything is read back", "file", name, "error", err, "merged", p.Seq, "head", t.head.Seq)
		return nil
	}
	t.merged = p
	return nil
}

// writeFile replaces a small file, or leaves it as it was.
func writeFile(fsys FS, dir, name string, b []byte) error {
	tmp := join(dir, name+".new")
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, join(dir, name)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// SaveHead calls save with the head each second in which it moved, until ctx is done,
// and then once more. What save stores is what Verify compares a trail with, so it
// belongs where whoever cuts the trail cannot reach: in the group's database.
func (t *Trail) SaveHead(ctx context.Context, save func(context.Context, Position) error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var saved Position
	failing := false
	store := func(ctx context.Context) {
		head := t.Head()
		if head == saved {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		err := save(ctx, head)
		if err == nil {
			saved = head
		} else if !failing {
			t.opt.Log.Warn("trail: its head cannot be saved; trying again each second", "error", err)
		}
		failing = err != nil
	}
	for {
		store(context.WithoutCancel(ctx))
		select {
		case <-tick.C:
		case <-ctx.Done():
			store(context.WithoutCancel(ctx))
			return nil
		}
	}
}
