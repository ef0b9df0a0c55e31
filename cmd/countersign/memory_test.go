package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestMemory(t *testing.T) {
	const machine = "MemFree:  1 kB\nMemTotal:       2048 kB\nMemAvailable: 7 kB\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"machine", map[string]string{"proc/meminfo": machine}, 2 << 20},
		{"nothing known", nil, 0},
		{"odd figure", map[string]string{"proc/meminfo": "MemTotal: x kB\n"}, 0},
		{"no limit", map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 2 << 20},
		{"own limit", map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.high": "1000000\n"}, 1000000},
		{"limit above", map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "900000\n",
			"sys/fs/cgroup/a/memory.max": "500000\n"}, 500000},
		{"limit of a container", map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "400000\n"}, 400000},
		{"limit above the machine's", map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "40000000\n"}, 2 << 20},
		{"old control groups", map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "5:memory:/a\n"}, 2 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := memory(root); got != c.want {
				t.Errorf("%d bytes, want %d", got, c.want)
			}
		})
	}
}

// A heap in which little lives may grow to its floor all the same.
func TestHeapFloor(t *testing.T) {
	const total = 4 << 30
	defer debug.SetGCPercent(debug.SetGCPercent(heapGrowth))
	goal := func() int64 {
		runtime.GC()
		s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	without := goal()
	ballast := make([]byte, ballastSize(total))
	with := goal()
	runtime.KeepAlive(ballast)
	if without >= total/heapFloor || with < total/heapFloor {
		t.Errorf("the collector runs at %d bytes, with ballast at %d; want below and above %d", without, with, total/heapFloor)
	}
}
