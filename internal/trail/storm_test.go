package trail

import (
	"testing"
	"testing/synctest"
	"time"
)

// In a storm the index pauses on, until that is over, somebody asks or it has paused long
// enough; otherwise a pause is a pause.
func TestIndexYieldsToAStorm(t *testing.T) {
	const (
		lines, took = 1000, 50 * time.Millisecond
		pause       = indexRest * took
		pace        = float64(lines) / float64(pause/time.Millisecond) // lines in a millisecond that it can follow
		tick        = 10 * time.Millisecond
	)
	for _, tt := range []struct {
		name  string
		rate  float64       // lines in a millisecond that come
		until time.Duration // when they cease
		asked time.Duration // 0: never
		want  time.Duration
	}{
		{"nothing comes", 0, 0, 0, pause + indexPause},
		{"nearly a storm", pace * indexStorm * .7, time.Hour, 0, pause + indexPause},
		{"a storm that ended before", pace * indexStorm * 2, pause - tick, 0, pause + indexPause},
		{"a storm", pace * indexStorm * 2, 2 * pause, 0, 2*pause + indexPause},
		{"a storm without an end", pace * indexStorm * 2, time.Hour, 0, pause + indexYield*pause},
		{"a query in a storm", pace * indexStorm * 2, time.Hour, 2*pause + 3*time.Millisecond, 2*pause + 3*time.Millisecond},
		{"a query in the pause", 0, 0, pause / 2, pause / 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			tr := &Trail{}
			x := &Index{t: tr, hurry: make(chan struct{}, 1)}
			began := time.Now()
			ended := make(chan struct{})
			go func() {
				for seq := 0.0; ; {
					select {
					case <-time.After(tick):
					case <-ended:
						return
					}
					if time.Since(began) <= tt.until {
						seq += tt.rate * float64(tick/time.Millisecond)
						tr.advance(Position{Seq: uint64(seq)}, 0)
					}
				}
			}()
			if tt.asked > 0 {
				time.AfterFunc(tt.asked, func() {
					x.mu.Lock()
					x.want = x.done + 1
					x.mu.Unlock()
					x.hurry <- struct{}{}
				})
			}
			x.rest(t.Context(), took, lines)
			close(ended)
			if got := time.Since(began); got < tt.want || got > tt.want+indexPause {
				t.Errorf("%s: paused %s, want %s to %s", tt.name, got, tt.want, tt.want+indexPause)
			}
		})
	}
}
