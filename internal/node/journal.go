package node

import (
	"fmt"
	"io"
	"os"
)

// journaled reports whether what is written to w goes to systemd's journal, as that tells its
// services: JOURNAL_STREAM names the device and inode of the stream. Many may read the journal,
// and it is sent to other machines.
func journaled(w io.Writer, stream string) bool {
	f, ok := w.(*os.File)
	if !ok || stream == "" {
		return false
	}
	device, inode, ok := fileID(f)
	return ok && stream == fmt.Sprintf("%d:%d", device, inode)
}
