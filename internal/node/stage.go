package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// stage is a set of tasks that end together. A server is a stack of stages: what was
// started last stops first, so that a front-end never outlives the database under it.
type stage struct {
	ctx    context.Context
	cancel context.CancelFunc
	fail   func(error) // called with the first error of each task; stops the server
	tasks  sync.WaitGroup
	mu     sync.Mutex
	errs   []error
	names  map[string]int // of tasks that have not ended
}

// newStage returns a stage that is not stopped by the end of ctx but by stop, and has its
// values.
func newStage(ctx context.Context, fail func(error)) *stage {
	s := &stage{fail: fail, names: map[string]int{}}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// run starts a task. A task must end when its context is done, and not before.
func (s *stage) run(name string, task func(ctx context.Context) error) {
	s.count(name, 1)
	s.tasks.Go(func() {
		defer s.count(name, -1)
		err := task(s.ctx)
		stopping := s.ctx.Err() != nil
		switch {
		case stopping && (err == nil || errors.Is(err, context.Canceled)):
			return
		case err == nil:
			err = errors.New("ended by itself")
		}
		err = fmt.Errorf("%s: %w", name, err)
		s.mu.Lock()
		s.errs = append(s.errs, err)
		s.mu.Unlock()
		s.fail(err)
	})
}

func (s *stage) count(name string, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[name] += by; s.names[name] == 0 {
		delete(s.names, name)
	}
}

// running returns the tasks that have not ended.
func (s *stage) running() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.names))
}

// stop ends the stage's tasks and returns their errors.
func (s *stage) stop() error {
	s.cancel()
	s.tasks.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}
