package cluster

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate makes f size bytes long and has the file system set them aside.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return fill(f, size)
		default:
			return err
		}
	}
}

// networkDisks are the file systems on which locks and syncs cannot be relied on.
var networkDisks = map[uint32]string{
	unix.NFS_SUPER_MAGIC:  "NFS",
	unix.SMB_SUPER_MAGIC:  "SMB",
	unix.CIFS_SUPER_MAGIC: "SMB",
	unix.SMB2_SUPER_MAGIC: "SMB",
}

// networkDisk returns the name of the network file system that path lies on, or "".
func networkDisk(path string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return "", &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return networkDisks[uint32(s.Type)], nil
}
