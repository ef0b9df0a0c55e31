package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// PrepareDataDir makes the data folder (mode 0700) or checks that the one that is there
// is ours alone and can be written. It changes nothing in a folder that holds something.
func (c Config) PrepareDataDir() error {
	dir := c.DataDir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return fmt.Errorf("data_dir %s: cannot make its parent folder: %w", dir, cause(err))
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("data_dir %s: cannot make it: %w (make it with mode 0700, owned by the user that runs countersign)", dir, cause(err))
		}
		return nil
	case err != nil:
		return fmt.Errorf("data_dir %s: %w", dir, cause(err))
	case !info.IsDir():
		return fmt.Errorf("data_dir %s: is a file, must be a folder", dir)
	}

	// Opening is the only honest test for a read-only file system or another owner.
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("data_dir %s: cannot write to it: %w (it must belong to the user that runs countersign)", dir, cause(err))
	}
	f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("data_dir %s: %w", dir, err)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("data_dir %s: %w", dir, cause(err))
	}
	if len(entries) > 0 {
		return fmt.Errorf("data_dir %s: mode %04o lets others in; run: chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("data_dir %s: %w", dir, cause(err))
	}
	return nil
}

// cause strips the path that the operating system's error repeats.
func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}
