package trail

import (
	"testing"
	"testing/synctest"
	"time"
)

// In a storm the index pauses on, until that is over, somebody asks or it has paused long
// enough; otherwise a pause is a pause.
func TestIndexYieldsToAStorm(t *testing.T) {
	const pause, lines = time.Second, 100
	for _, tt := range []struct {
		name  string
		lines []uint64 // that the trail gets in each pause; the last ones go on
		asked time.Duration
		want  time.Duration
	}{
		{"nothing comes", []uint64{0}, 0, pause},
		{"what it can nearly follow", []uint64{indexStorm * lines}, 0, pause},
		{"a storm of three pauses", []uint64{indexStorm*lines + 1, 5000, 5000, 10}, 0, 4 * pause},
		{"a storm without an end", []uint64{5000}, 0, indexYield * pause},
		{"a query in a storm", []uint64{5000}, 2*pause + pause/2, 2*pause + pause/2},
	} {
		synctest.Test(t, func(t *testing.T) {
			tr := &Trail{}
			x := &Index{t: tr, hurry: make(chan struct{}, 1)}
			began, ended := time.Now(), make(chan struct{})
			go func() {
				left := tt.lines
				for head := tr.Head(); ; {
					select {
					case <-time.After(pause / 2): // in the middle of each pause
					case <-ended:
						return
					}
					if head.Seq += left[0]; len(left) > 1 {
						left = left[1:]
					}
					tr.advance(head, 0)
					select {
					case <-time.After(pause / 2):
					case <-ended:
						return
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
			x.rest(t.Context(), pause, lines)
			close(ended)
			if got := time.Since(began); got != tt.want {
				t.Errorf("%s: paused %s, want %s", tt.name, got, tt.want)
			}
		})
	}
}
