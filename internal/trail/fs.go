package trail

import (
	"io"
	"os"
	"path/filepath"
)

// FS is the file operations that a trail is made of. The system's own is used outside
// tests; a test's file system loses what was not synced.
type FS interface {
	// MkdirAll makes a folder with mode 0700, with its parents, unless it exists.
	MkdirAll(dir string) error
	// List returns the names of the files in a folder, sorted.
	List(dir string) ([]string, error)
	// Create makes a file with mode 0600 that must not exist.
	Create(name string) (File, error)
	// Open opens a file for reading, and for writing too if write is set.
	Open(name string, write bool) (File, error)
	// Rename moves a file onto another name, replacing what was there.
	Rename(from, to string) error
	// Remove deletes a file.
	Remove(name string) error
	// SyncDir makes what Create, Rename and Remove did in a folder durable.
	SyncDir(dir string) error
}

// File is an open file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes the contents and the size durable.
	Sync() error
	Close() error
}

// systemFS is the operating system's file system.
type systemFS struct{}

func (systemFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

func (systemFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (systemFS) Create(name string) (File, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (systemFS) Open(name string, write bool) (File, error) {
	if write {
		return openFile(name, os.O_RDWR)
	}
	return openFile(name, os.O_RDONLY)
}

func openFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(filepath.Clean(name), flag, 0o600)
	if err != nil {
		return nil, err
	}
	return systemFile{f}, nil
}

func (systemFS) Rename(from, to string) error { return os.Rename(from, to) }
func (systemFS) Remove(name string) error     { return os.Remove(name) }
func (systemFS) SyncDir(dir string) error     { return syncDir(dir) }

type systemFile struct{ *os.File }

func (f systemFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f systemFile) Sync() error { return datasync(f.File) }
