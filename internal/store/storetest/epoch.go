package storetest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/store"
)

// epoch checks the record of how the epoch began, and what it holds back.
func epoch(t *testing.T, r *rig) {
	ctx := t.Context()
	if e, err := r.EpochRecord(); err != nil || e.Epoch != 0 {
		t.Errorf("record of a first epoch: %+v, %v", e, err)
	}
	if f, err := r.Fork(); err != nil || f != (mfa.Fork{}) {
		t.Errorf("fork of a first epoch: %+v, %v", f, err)
	}
	_, err := r.ReleaseHold(ctx, "root")
	is(t, "release of nothing", err, mfa.ErrNotFound)
	since := noon.Add(-time.Minute)
	first := store.EpochRecord{Epoch: 2, ClusterID: "00000000deadbeef", Previous: store.PreviousEpoch{Epoch: 1, ClusterID: "00000000cafecafe", ForkRevision: 41, LastRevisionHeard: 44},
		OldMaster: "n1", Members: []string{"n1", "n2", "n3"}, Since: since, DecidedBy: "operator", By: "root", Unconfirmed: true,
		Hold: &store.EpochHold{Awaits: []string{"n1", "n3"}}}
	is(t, "first record", r.UpdateEpochRecord(ctx, func(e *store.EpochRecord) error { *e = first; return nil }), nil)
	got, err := r.EpochRecord()
	if err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("record: %+v, %v; want %+v", got, err, first)
	}
	held := func(what string, want bool) {
		t.Helper()
		if f, err := r.Fork(); err != nil || f.Held != want || !f.Time.Equal(since) {
			t.Errorf("%s: fork %+v, %v; want held %v", what, f, err, want)
		}
	}
	held("two trails are missing", true)
	refusal := errors.New("refused")
	is(t, "refused change", r.UpdateEpochRecord(ctx, func(e *store.EpochRecord) error { e.Hold = nil; return refusal }), refusal)
	for _, c := range []struct {
		server   string
		released bool
	}{{"n2", false}, {"n1", false}, {"n1", false}, {"n3", true}, {"n3", false}} {
		released, err := r.TrailMerged(ctx, c.server)
		if err != nil || released != c.released {
			t.Errorf("trail of %s merged: released %v, %v; want %v", c.server, released, err, c.released)
		}
	}
	held("all trails are merged", false)
	if got, _ := r.EpochRecord(); got.Hold.ReleasedBy != "merge" || !reflect.DeepEqual(got.Hold.Merged, []string{"n1", "n3"}) {
		t.Errorf("after the merge: %+v", got.Hold)
	}

	is(t, "next record", r.UpdateEpochRecord(ctx, func(e *store.EpochRecord) error { *e = first; e.Epoch = 3; return nil }), nil)
	held("a new promotion", true)
	awaited, err := r.ReleaseHold(ctx, "root")
	if err != nil || !reflect.DeepEqual(awaited, []string{"n1", "n3"}) {
		t.Errorf("release: %v, %v", awaited, err)
	}
	held("released", false)
	_, err = r.ReleaseHold(ctx, "root")
	is(t, "released twice", err, mfa.ErrNotFound)
	if released, err := r.TrailMerged(ctx, "n1"); err != nil || released {
		t.Errorf("a merge after the release: %v, %v", released, err)
	}
	if got, _ := r.EpochRecord(); got.Hold.ReleasedBy != "root" {
		t.Errorf("after the release: %+v", got.Hold)
	}
}
