package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign/internal/mfa"
)

// Under returns the part of kv whose keys begin with prefix, without it: a Store beside
// records of another kind in one database.
func Under(kv KV, prefix string) KV { return under{kv, prefix} }

type under struct {
	kv     KV
	prefix string
}

// Get implements KV.
func (u under) Get(ctx context.Context, key string) (value []byte, rev int64, err error) {
	return u.kv.Get(ctx, u.prefix+key)
}

// Scan implements KV.
func (u under) Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) (rev int64, err error) {
	return u.kv.Scan(ctx, u.prefix+prefix, func(key string, value []byte, rev int64) bool {
		return yield(strings.TrimPrefix(key, u.prefix), value, rev)
	})
}

// Commit implements KV.
func (u under) Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (rev int64, ok bool, err error) {
	for _, keys := range [][]string{slices.Collect(maps.Keys(ifRev)), slices.Collect(maps.Keys(puts)), deletes} {
		if slices.Contains(keys, "") {
			return 0, false, fmt.Errorf("a record without a key: %w", mfa.ErrInvalid)
		}
	}
	conditions, values := make(map[string]int64, len(ifRev)), make(map[string][]byte, len(puts))
	for k, v := range ifRev {
		conditions[u.prefix+k] = v
	}
	for k, v := range puts {
		values[u.prefix+k] = v
	}
	gone := make([]string, 0, len(deletes))
	for _, k := range deletes {
		gone = append(gone, u.prefix+k)
	}
	return u.kv.Commit(ctx, conditions, values, gone)
}

// Watch implements KV. What is told of no key stays that.
func (u under) Watch(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) error {
	return u.kv.Watch(ctx, u.prefix+prefix, func(key string, value []byte, rev int64) bool {
		return yield(strings.TrimPrefix(key, u.prefix), value, rev)
	})
}
