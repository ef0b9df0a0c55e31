package admin_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/keyring"
)

// keys is a keyset whose resealing fails so many times.
type keys struct {
	n     int
	fails int
	runs  int
}

func (k *keys) Keys() []keyring.Info             { return make([]keyring.Info, k.n) }
func (k *keys) RotateKeys(context.Context) error { k.n++; return nil }
func (k *keys) Reseal(_ context.Context, progress func(done, total int)) error {
	k.runs++
	progress(k.runs, 10)
	if k.fails > 0 {
		k.fails--
		return errors.New("no master")
	}
	return nil
}

func TestResealRunsInTheBackgroundUntilItIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := &keys{n: 1, fails: 2}
		r.Service.Keys = k
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		if k.runs != 0 {
			t.Errorf("one key: resealed %d times", k.runs)
		}
		list, err := r.RotateKeys(t.Context(), "root")
		if err != nil || !list.Reseal.Running || len(list.Keys) != 2 {
			t.Errorf("rotated: %+v, %v", list, err)
		}
		synctest.Wait()
		if list, _ := r.ListKeys(ctx); !list.Reseal.Running || list.Reseal.Error != "no master" || list.Reseal.Total != 10 {
			t.Errorf("after the first failure: %+v", list.Reseal)
		}
		time.Sleep(time.Minute) // the bubble's clock: two pauses and more
		synctest.Wait()
		if list, _ := r.ListKeys(ctx); list.Reseal.Running || list.Reseal.Error != "" || k.runs != 3 {
			t.Errorf("at the end: %+v after %d runs", list.Reseal, k.runs)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestResealGoesOnAfterAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := &keys{n: 2}
		r.Service.Keys = k
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		if k.runs != 1 {
			t.Errorf("resealed %d times, want once", k.runs)
		}
		cancel()
		<-ended
	})
}
