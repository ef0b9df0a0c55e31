package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"countersign/internal/mfa"
)

// accepting is an engine that accepts, and calls during while it is at it.
type accepting struct{ during func() }

func (a accepting) Authenticate(context.Context, mfa.Request) (mfa.Decision, error) {
	if a.during != nil {
		a.during()
	}
	return mfa.Decision{Verdict: mfa.Accept}, nil
}

// A server that has heard of a later epoch answers nobody, not even whom it was about to.
func TestSetAsideDecidesNothing(t *testing.T) {
	var why atomic.Pointer[aside]
	d := heeding{accepting{}, why.Load}
	if got, err := d.Authenticate(t.Context(), mfa.Request{}); err != nil || got.Verdict != mfa.Accept {
		t.Fatalf("%v, %v", got, err)
	}
	d.engine = accepting{func() { why.Store(&aside{why: "the group is at epoch 2"}) }}
	for _, when := range []string{"during", "before"} {
		if got, err := d.Authenticate(t.Context(), mfa.Request{}); !errors.Is(err, mfa.ErrUnavailable) || got.Verdict != mfa.Reject {
			t.Errorf("set aside %s: %v, %v", when, got, err)
		}
	}
}
