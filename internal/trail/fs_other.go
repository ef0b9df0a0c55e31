//go:build !linux

package trail

import (
	"errors"
	"os"
	"runtime"
)

func datasync(f *os.File) error { return f.Sync() }

// syncDir does nothing on Windows, which has no sync of folders: NTFS journals them.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
