package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// heapGrowth is how much the heap may grow between two runs of the garbage collector, in
// percent of what the last one left. Most of a server's heap is its copy of the database,
// which a run looks through from end to end: with Go's 100 that is a quarter of the
// processor time of a busy server with 100 000 users.
const heapGrowth = 400

// heapFloor is up to where the heap may grow at least, as a part of the memory that there
// is. A run looks through all that lives, whatever was made since the last one: while that is
// little beside the machine, fewer runs cost memory that nobody else has asked for.
const heapFloor = 16

// tuneMemory lets the heap grow, but not to more than half of the memory that there is:
// near that the collector runs more often. Who sets GOGC or GOMEMLIMIT decides instead.
// The caller keeps what it returns as long as the server runs.
func tuneMemory(env func(string) string) (ballast []byte) {
	total := memory("/")
	if total == 0 || env("GOGC") != "" || env("GOMEMLIMIT") != "" {
		return nil
	}
	debug.SetGCPercent(heapGrowth)
	debug.SetMemoryLimit(total / 2)
	return make([]byte, ballastSize(total))
}

// ballastSize returns the bytes that are to live beside all else, so that the heap may grow
// to total/heapFloor before the collector runs. Nobody touches them: the system gives no
// memory for them.
func ballastSize(total int64) int64 { return total / heapFloor * 100 / (heapGrowth + 100) }

// giveBackMemory gives the system what a start has used and the server needs no longer: with
// 100 000 users most of what it has.
func giveBackMemory() { debug.FreeOSMemory() }

// memory returns the bytes of memory that this process may use: the machine's, or less if
// its control group (version 2) or one above says so. 0: not known. root is "/".
func memory(root string) int64 {
	b, _ := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	_, rest, _ := strings.Cut(string(b), "MemTotal:")
	kb, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
	if kb <= 0 || kb > math.MaxInt64>>10 {
		return 0
	}
	total := kb << 10
	b, _ = os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	_, group, ok := strings.Cut(string(bytes.TrimSpace(b)), "0::")
	for ; ok && group != "."; group = filepath.Dir(group) {
		for _, name := range []string{"memory.max", "memory.high"} {
			b, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup", group, name))
			if err != nil {
				continue
			}
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				total = min(total, n)
			}
		}
		if group == "/" {
			break
		}
	}
	return total
}
