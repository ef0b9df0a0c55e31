package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked: another process has the data folder open.
var ErrLocked = errors.New("data folder is in use")

var errLockHeld = errors.New("held")

const lockFileName = "lock"

// folderLock is the exclusive right to a data folder. etcd alone would wait for ever for
// the other process.
type folderLock struct {
	file *os.File
	made bool // the lock file was not there before
}

// lockFolder takes the lock of dir, or fails at once.
func lockFolder(dir string) (*folderLock, error) {
	path := filepath.Join(dir, lockFileName)
	_, err := os.Lstat(path)
	made := errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := lockFile(file); err != nil {
		defer file.Close()
		if errors.Is(err, errLockHeld) {
			return nil, fmt.Errorf("%s: %w by %s; stop it first, two servers cannot share a folder", dir, ErrLocked, holder(file))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &folderLock{file: file, made: made}, nil
}

// holder names the process that wrote its id into the lock file.
func holder(file *os.File) string {
	b := make([]byte, 20)
	n, _ := file.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return "another process that is just starting"
	}
	return fmt.Sprintf("process %d", pid)
}

// claim writes our process id into the lock file, for the message of whoever comes second.
func (l *folderLock) claim() error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("lock the data folder: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("lock the data folder: %w", err)
	}
	return nil
}

// release gives the folder back. The file stays: to remove it would let a third process
// lock the name while a second one holds the old file.
func (l *folderLock) release() { l.file.Close() }

// undo gives the folder back as it was found, for a folder that was refused.
func (l *folderLock) undo() {
	l.file.Close()
	if l.made {
		os.Remove(l.file.Name())
	}
}
