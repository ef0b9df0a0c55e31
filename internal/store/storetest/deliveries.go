package storetest

import (
	"testing"
	"time"

	"countersign/internal/mfa"
)

// What one server tells of a message the others are told of, and may ask for.
func deliveries(t *testing.T, r *rig) {
	ctx := t.Context()
	other := join(t, r.kv, "two", r.ring.Keyset())
	tag := []byte{1, 2, 3, 4, 5, 6}
	_, err := other.Delivery(ctx, tag)
	is(t, "nobody has told", err, mfa.ErrNotFound)
	lost := mfa.Delivery{Tag: tag, Fate: mfa.FateLost, Why: "UNDELIV, error 027"}
	is(t, "tell", r.TellDelivery(ctx, lost), nil)
	select {
	case got := <-other.told:
		same(t, "told", got, lost)
	case <-time.After(time.Minute):
		t.Fatal("the other server was not told")
	}
	got, err := other.Delivery(ctx, tag)
	is(t, "read", err, nil)
	same(t, "read", got, lost)
	resent := mfa.Delivery{Tag: tag, Fate: mfa.FateResent}
	is(t, "tell again", other.TellDelivery(ctx, resent), nil)
	got, err = r.Delivery(ctx, tag)
	is(t, "read again", err, nil)
	same(t, "read again", got, resent)
	is(t, "sweep", r.SweepDeliveries(ctx), nil)
	_, err = r.Delivery(ctx, tag)
	is(t, "what is new is kept", err, nil)
	r.late.Store(int64(2 * time.Hour))
	is(t, "sweep later", r.SweepDeliveries(ctx), nil)
	_, err = r.Delivery(ctx, tag)
	is(t, "what is old is not", err, mfa.ErrNotFound)
}
