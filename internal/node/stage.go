package node

import (
	"context"
	"errors"
	"fmt"
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
}

// newStage returns a stage that is not stopped by the end of ctx but by stop, and has its
// values.
func newStage(ctx context.Context, fail func(error)) *stage {
	s := &stage{fail: fail}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// run starts a task. A task must end when its context is done, and not before.
func (s *stage) run(name string, task func(ctx context.Context) error) {
	s.tasks.Go(func() {
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

// stop ends the stage's tasks and returns their errors.
func (s *stage) stop() error {
	s.cancel()
	s.tasks.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}
