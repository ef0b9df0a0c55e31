package bench

import (
	"os"
	"slices"
	"time"
)

// Disk is what one write of 4 KiB and its fdatasync cost, appended to a file in the
// folder that the servers keep their data in. Whatever writes before it answers waits for
// this.
type Disk struct {
	P50   float64 `json:"fdatasync_p50_ms"`
	P99   float64 `json:"fdatasync_p99_ms"`
	Syncs int     `json:"syncs"`
}

// disk samples for d.
func disk(dir string, d time.Duration) (all []time.Duration, err error) {
	f, err := os.CreateTemp(dir, "fdatasync")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var block [4096]byte
	for start := time.Now(); time.Since(start) < d; {
		began := time.Now()
		if _, err := f.Write(block[:]); err != nil {
			return nil, err
		}
		if err := datasync(f); err != nil {
			return nil, err
		}
		all = append(all, time.Since(began))
	}
	return all, nil
}

func newDisk(all []time.Duration) Disk {
	slices.Sort(all)
	return Disk{P50: ms(at(all, .5)), P99: ms(at(all, .99)), Syncs: len(all)}
}
