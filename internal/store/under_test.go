package store_test

import (
	"context"
	"testing"

	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// A part of a database is one, and nothing beside it is seen or changed.
func TestUnder(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.KV {
		kv := &storetest.Memory{}
		beside := map[string][]byte{"u/aaaaaaaaaaaaaaaa": []byte("no user"), "operator": []byte("x"), "operators0": []byte("y"), "g/acme": []byte("{}")}
		if _, ok, err := kv.Commit(t.Context(), nil, beside, nil); err != nil || !ok {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for key, want := range beside {
				if got, _, err := kv.Get(context.WithoutCancel(t.Context()), key); err != nil || string(got) != string(want) {
					t.Errorf("%s is %q, %v", key, got, err)
				}
			}
		})
		return store.Under(kv, "operators/")
	})
}
