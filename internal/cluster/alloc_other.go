//go:build !linux

package cluster

import "os"

// allocate makes f size bytes long and has the file system set them aside.
func allocate(f *os.File, size int64) error { return fill(f, size) }
