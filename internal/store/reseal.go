package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
)

// resealBatch is how many records one commit of Reseal rewrites.
const resealBatch = 64

// sealedKinds are the kinds of record with a sealed part, and what it is sealed as. The
// owner is what follows the prefix; of a credential the user; a request has none.
var sealedKinds = []struct{ prefix, kind string }{
	{prefixApp, "application"},
	{prefixDirectory, "directory"},
	{prefixGateway, "gateway"},
	{prefixSealed, "blob"},
	{prefixJoin, "join"},
	{prefixWait, "wait"},
	{prefixUser, "user"},
	{prefixCred, "credential"},
	{prefixRequest, "request"},
	{prefixNotice, "notice"}, // few have one
}

// Reseal rewrites every record that is sealed under another key than the primary. Each is
// rewritten only if nobody changed it meanwhile, and read again otherwise, so no change is
// lost. What is left to do is told by the records themselves: after a restart it goes on
// there. progress, if not nil, is called now and then from this goroutine. A record that
// cannot be opened is left as it is, and the first such error returned at the end.
func (s *Store) Reseal(ctx context.Context, progress func(done, total int)) error {
	total, err := s.SealedUnderOldKeys(ctx)
	if err != nil {
		return err
	}
	r := resealing{s: s, total: total, progress: progress}
	r.report(0)
	for _, k := range sealedKinds {
		for _, prefix := range pieces(k.prefix) {
			keys, err := s.sealedUnderOldKeys(ctx, prefix)
			for chunk := range slices.Chunk(keys, resealBatch) {
				if err == nil {
					err = r.rewrite(ctx, k.kind, k.prefix, chunk)
				}
			}
			if err != nil {
				return fmt.Errorf("reseal %s: %w", prefix, err)
			}
		}
	}
	r.total = r.done // the rest others have written anew meanwhile
	r.report(0)
	return r.bad
}

// SealedUnderOldKeys counts the records that Reseal has to rewrite.
func (s *Store) SealedUnderOldKeys(ctx context.Context) (int, error) {
	n := 0
	for _, k := range sealedKinds {
		for _, prefix := range pieces(k.prefix) {
			keys, err := s.sealedUnderOldKeys(ctx, prefix)
			if err != nil {
				return 0, fmt.Errorf("look for records sealed under old keys: %w", err)
			}
			n += len(keys)
		}
	}
	return n, nil
}

// pieces cuts the kinds that there are many of into 32 parts, to hold fewer keys at a time.
func pieces(prefix string) []string {
	if prefix != prefixUser && prefix != prefixCred {
		return []string{prefix}
	}
	var list []string
	for _, c := range "abcdefghijklmnopqrstuvwxyz234567" {
		list = append(list, prefix+string(c))
	}
	return list
}

// sealedUnderOldKeys returns the keys under prefix of such records.
func (s *Store) sealedUnderOldKeys(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	primary := s.ring.Primary()
	_, err := s.kv.Scan(ctx, prefix, func(key string, value []byte, _ int64) bool {
		var r sealedPart
		if json.Unmarshal(value, &r) == nil {
			if id, err := keyring.KeyOf(r.Sealed); err == nil && id != primary {
				keys = append(keys, key)
			}
		}
		return ctx.Err() == nil
	})
	return keys, errors.Join(err, ctx.Err())
}

// sealedPart is what all records with a sealed part have in common.
type sealedPart struct {
	V      int    `json:"v"`
	Sealed []byte `json:"sealed"`
}

// resealing is one call of Reseal.
type resealing struct {
	s           *Store
	done, total int
	progress    func(done, total int)
	bad         error
}

func (r *resealing) report(n int) {
	r.done += n
	if r.progress != nil {
		r.progress(r.done, max(r.done, r.total))
	}
}

// rewrite rewrites some records in one commit or, if others change them at the same time,
// one by one.
func (r *resealing) rewrite(ctx context.Context, kind, prefix string, keys []string) error {
	defer r.report(len(keys))
	t := r.s.begin()
	t.same = true
	for _, key := range keys {
		if err := r.add(ctx, t, kind, prefix, key); err != nil {
			return err
		}
	}
	if len(t.puts) == 0 {
		return nil
	}
	if ok, err := t.commit(ctx); ok {
		return nil
	} else if err != nil && !errors.Is(err, mfa.ErrUnknownOutcome) {
		return err
	}
	for _, key := range keys {
		again := func(ctx context.Context, t *tx) error {
			t.same = true
			return r.add(ctx, t, kind, prefix, key)
		}
		if err := r.s.write(ctx, again); err != nil && !errors.Is(err, mfa.ErrUnknownOutcome) && !errors.Is(err, mfa.ErrConflict) {
			return err
		}
	}
	return nil
}

// add adds the rewriting of one record to t, if it still needs it.
func (r *resealing) add(ctx context.Context, t *tx, kind, prefix, key string) error {
	b, err := t.get(ctx, key)
	if err != nil || b == nil {
		return err
	}
	next, err := r.s.reseal(kind, strings.TrimPrefix(key, prefix), key, b)
	if err != nil {
		err = fmt.Errorf("record %s is left as it is: %w", key, err)
		r.s.o.Log.Error("reseal", "error", err)
		if r.bad == nil {
			r.bad = err
		}
	}
	if next == nil {
		delete(t.ifRev, key)
		return nil
	}
	t.puts[key] = next
	return nil
}

// reseal returns a record with its sealed part under the primary key, the rest as it was,
// or nil if it is so already.
func (s *Store) reseal(kind, rest, key string, b []byte) ([]byte, error) {
	fields := map[string]json.RawMessage{}
	var r sealedPart
	if err := errors.Join(json.Unmarshal(b, &fields), json.Unmarshal(b, &r)); err != nil {
		return nil, err
	}
	if id, err := keyring.KeyOf(r.Sealed); err != nil || id == s.ring.Primary() {
		return nil, err
	}
	if r.V != schema {
		return nil, fmt.Errorf("schema version %d, this server knows %d", r.V, schema)
	}
	owner := rest
	switch {
	case strings.HasPrefix(key, prefixCred):
		owner, _, _ = strings.Cut(rest, "/")
	case strings.HasPrefix(key, prefixRequest):
		owner = ""
	}
	plain, err := s.ring.Open(kind, owner, key, r.Sealed)
	if err != nil {
		return nil, err
	}
	sealed, err := s.ring.Seal(kind, owner, key, plain.Expose())
	if err != nil {
		return nil, err
	}
	fields["sealed"] = format(sealed)
	return format(fields), nil
}
