package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Memory is a server at rest with so many users.
type Memory struct {
	Users  int     `json:"users"`
	Start  float64 `json:"start_ms"`   // median, from exec to the first answer to a Status-Server
	Heap   int64   `json:"heap_bytes"` // what a collection leaves
	RSS    int64   `json:"rss_bytes"`  // resident, with the collector's ordinary setting
	Data   int64   `json:"data_bytes"` // the data folder
	Import Import  `json:"import"`     // of those users
	starts []float64
}

// starts is how often a server is started to tell how long that takes.
const starts = 5

// memory measures a server with p users in a folder of its own.
func memory(ctx context.Context, binary, dir string, p population) (m Memory, err error) {
	m.Users = int(p)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return m, err
	}
	in, err := found(ctx, binary, dir, nodeConf)
	if err != nil {
		return m, err
	}
	server, _, err := in.serve(ctx, in.alive)
	if err != nil {
		return m, err
	}
	err = in.addApplication(ctx)
	if err == nil && p > 0 {
		var took time.Duration
		took, err = in.importUsers(ctx, p)
		m.Import = Import{int(p), took.Seconds(), float64(p) / took.Seconds()}
	}
	if err = errors.Join(err, server.stop()); err != nil {
		return m, err
	}
	for range starts {
		server, took, err := in.serve(ctx, in.answers)
		if err != nil {
			return m, err
		}
		m.starts = append(m.starts, ms(took))
		m.RSS = server.rss()
		if err := server.stop(); err != nil {
			return m, err
		}
	}
	m.Start = median(m.starts)
	m.Heap, err = in.heap(ctx)
	m.Data = size(in.dir + "/data")
	return m, err
}

// heap returns what the server holds on its heap when it rests. The collector is told to
// run often; the smallest of many readings is then close to what it left.
func (in *installation) heap(ctx context.Context) (least int64, err error) {
	server, _, err := in.serve(ctx, in.answers, "GOGC=5")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	var first float64
	for i := 0; ; i++ {
		v, err := in.scrape(ctx, "go_memstats_heap_alloc_bytes", "go_gc_duration_seconds_count")
		if err != nil {
			return 0, err
		}
		if i == 0 {
			first = v[1]
			continue
		}
		if h := int64(v[0]); v[1] > first && (least == 0 || h < least) {
			least = h
		}
		if i >= 300 && v[1] >= first+3 {
			return least, nil
		}
		if i == 5000 {
			return 0, errors.New("the server's collector did not run three times in 5000 readings of its metrics")
		}
	}
}

// scrape reads gauges and counters without labels from the server's metrics.
func (in *installation) scrape(ctx context.Context, names ...string) ([]float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+in.metrics.String()+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("metrics of the server: %w", err)
	}
	defer a.Body.Close()
	values, found := make([]float64, len(names)), 0
	lines := bufio.NewScanner(a.Body)
	for lines.Scan() {
		for i, n := range names {
			if v, ok := strings.CutPrefix(lines.Text(), n+" "); ok {
				if values[i], err = strconv.ParseFloat(v, 64); err != nil {
					return nil, fmt.Errorf("metric %s: %w", n, err)
				}
				found++
			}
		}
	}
	_, _ = io.Copy(io.Discard, a.Body)
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if found != len(names) {
		return nil, fmt.Errorf("metrics of the server lack one of %s", strings.Join(names, ", "))
	}
	return values, nil
}

// size is what the files under dir hold on the disk, in bytes.
func size(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if i, err := e.Info(); err == nil {
				sum += i.Size()
			}
		}
		return nil
	})
	return sum
}
