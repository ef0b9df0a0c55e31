// Package store keeps Countersign's records in a replicated map: users, credentials,
// applications, directories, settlements. It seals what is secret before it is written,
// and answers reads from an in-memory view that the map's own changes feed.
package store

import "context"

// KV is the little that store needs of a replicated map; builtin types only, so that
// cluster implements it without importing store. Get and Scan are linearizable; local
// reads belong to the view that Watch feeds.
type KV interface {
	// Get returns the value of key and its revision; revision 0 means absent.
	Get(ctx context.Context, key string) (value []byte, rev int64, err error)
	// Scan calls yield for each key under prefix, in order, at one revision, until it
	// returns false. It returns that revision.
	Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) (rev int64, err error)
	// Commit applies puts and deletes together if every key in ifRev is still at that
	// revision (0: absent), and reports whether it did. An error leaves the outcome open
	// unless it wraps mfa.ErrReadOnly or mfa.ErrUnavailable: then nothing was written.
	// The maps are the caller's again when it has returned, the values never.
	Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (rev int64, ok bool, err error)
	// Watch feeds a local view until ctx is done or yield returns false. It calls yield
	// ("", nil, 0) to say: forget everything; then (key, value, rev) for each key under
	// prefix of the local copy at one revision; then ("", nil, rev): complete up to rev.
	// From then on every change in order: (key, value, rev) for a put, (key, nil, rev)
	// for a deletion, and ("", nil, rev) after each revision. After a compaction that it
	// missed it starts over. It reads the local copy and needs no master.
	Watch(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) error
}
