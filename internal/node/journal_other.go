//go:build !linux

package node

import "os"

// fileID returns nothing: there is no journal.
func fileID(*os.File) (device, inode uint64, ok bool) { return 0, 0, false }
