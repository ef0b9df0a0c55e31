package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// vanishing is a database whose master is gone as soon as it has got a commit.
type vanishing struct {
	*storetest.Memory
	armed, lands bool
}

func (v *vanishing) Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (rev int64, ok bool, err error) {
	if !v.armed {
		return v.Memory.Commit(ctx, ifRev, puts, deletes)
	}
	if v.lands {
		if _, ok, err := v.Memory.Commit(ctx, ifRev, puts, deletes); err != nil || !ok {
			return 0, ok, err
		}
	}
	v.Offline(true)
	return 0, false, fmt.Errorf("no answer: %w", mfa.ErrUnknownOutcome)
}

// A master that vanishes with a change on its way to it: nobody knows whether it was made,
// so nobody is told that it was not.
func TestMasterLostWithAChangeOnItsWay(t *testing.T) {
	for _, lands := range []bool{true, false} {
		kv := &vanishing{Memory: &storetest.Memory{}, lands: lands}
		ctx, stop := context.WithCancel(t.Context())
		s, done := start(t, ctx, kv, newRing(t), store.Options{Server: "test", Group: func() bool { return true }})
		t.Cleanup(func() { stop(); <-done })
		u, err := s.CreateUser(ctx, mfa.User{Login: "alice"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		kv.armed = true
		_, err = s.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Tags = []string{"x"}; return nil })
		if !errors.Is(err, mfa.ErrUnknownOutcome) || strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("lands %v: %v; want that its outcome is not known", lands, err)
		}
	}
}
