package node

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// errStuck: something of a run has not ended.
var errStuck = errors.New("did not stop")

// stack is what has been started; it is stopped from the top.
type stack struct{ parts []part }

type part struct {
	stop func() error
	what func() string // what is not over while stop has not returned
}

// push adds a step that is taken when the server stops.
func (k *stack) push(what string, stop func() error) {
	k.parts = append(k.parts, part{stop: stop, what: func() string { return what }})
}

// stage adds the end of a stage.
func (k *stack) stage(s *stage) {
	k.parts = append(k.parts, part{stop: s.stop, what: func() string { return strings.Join(s.running(), ", ") }})
}

// unwind stops everything, within the time given: what was answered is durable in any case.
// The error of one that takes longer is errStuck.
func (k *stack) unwind(within time.Duration) error {
	done := make(chan error, 1)
	var at atomic.Pointer[part]
	go func() {
		var errs []error
		for i := len(k.parts) - 1; i >= 0; i-- {
			at.Store(&k.parts[i])
			errs = append(errs, k.parts[i].stop())
		}
		done <- errors.Join(errs...)
	}()
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		what := "nothing yet"
		if p := at.Load(); p != nil {
			what = p.what()
		}
		return fmt.Errorf("%w within %s (still: %s) and is ended; nothing that was answered is lost", errStuck, within, what)
	}
}
