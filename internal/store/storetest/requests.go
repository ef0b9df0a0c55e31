package storetest

import (
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func requests(t *testing.T, r *rig) {
	ctx := t.Context()
	one := mfa.KeptRequest{Caller: [16]byte{1}, Key: [16]byte{2}, Body: [32]byte{3}, Server: "nyc1", Begun: noon, Expires: noon.Add(time.Hour)}
	there, err := r.BeginRequest(ctx, one)
	is(t, "begin", err, nil)
	if there != nil {
		t.Errorf("there is %+v", there)
	}
	there, err = r.BeginRequest(ctx, one)
	is(t, "begin again", err, nil)
	if there == nil || there.Done || there.Body != one.Body || there.Server != "nyc1" || !there.Begun.Equal(noon) {
		t.Errorf("in flight: %+v", there)
	}
	one.ETag, one.Answer = `"7"`, []byte(`{"login":"alice"}`)
	is(t, "end", r.EndRequest(ctx, one), nil)
	there, err = r.BeginRequest(ctx, one)
	is(t, "once it is done", err, nil)
	if there == nil || !there.Done || string(there.Answer) != string(one.Answer) || there.ETag != one.ETag {
		t.Errorf("done: %+v", there)
	}
	other := one
	other.Caller = [16]byte{9}
	if there, err := r.BeginRequest(ctx, other); there != nil || err != nil {
		t.Errorf("of another caller: %+v, %v", there, err)
	}
	is(t, "drop", r.DropRequest(ctx, other), nil)
	if there, err := r.BeginRequest(ctx, other); there != nil || err != nil {
		t.Errorf("after it came to nothing: %+v, %v", there, err)
	}
	old := mfa.KeptRequest{Caller: [16]byte{1}, Key: [16]byte{4}, Server: "nyc1", Begun: noon.Add(-2 * time.Hour), Expires: noon.Add(-time.Hour)}
	for range 2 { // an expired one is nobody's
		if there, err := r.BeginRequest(ctx, old); there != nil || err != nil {
			t.Errorf("expired: %+v, %v", there, err)
		}
	}
	if n, err := r.CountRequests(ctx, one.Caller); n != 1 || err != nil {
		t.Errorf("one caller has %d requests, %v; want the one that has not expired", n, err)
	}
	left, err := r.SweepRequests(ctx)
	is(t, "sweep", err, nil)
	if len(left) != 2 || left[one.Caller] != 1 || left[other.Caller] != 1 {
		t.Errorf("left %v", left)
	}
	requestRace(t, r)
}

// Of many who begin one request at the same moment one carries it out.
func requestRace(t *testing.T, r *rig) {
	one := mfa.KeptRequest{Caller: [16]byte{5}, Key: [16]byte{5}, Server: "nyc1", Begun: noon, Expires: noon.Add(time.Hour)}
	first := make(chan bool, 8)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			there, err := r.BeginRequest(t.Context(), one)
			if err != nil {
				t.Error(err)
			} else if there == nil {
				first <- true
			}
		})
	}
	all.Wait()
	if n := len(first); n != 1 {
		t.Errorf("%d carry it out", n)
	}
}
