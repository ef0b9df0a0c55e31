package store

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/mfa"
)

// Reimpose makes once more what a server restricted without a master, and reports whether that
// changed anything. It is for a database that was restored from a backup, which lacks what was
// merged after it: what the backup has merged is passed over, for it may have been lifted since.
// What is gone is gone, and a block never takes the place of a stricter one.
func (s *Store) Reimpose(ctx context.Context, c mfa.Change) (done bool, err error) {
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		done = false
		merged, err := t.mergedOf(ctx, c.Server)
		if err != nil || c.Number <= merged {
			return err
		}
		t.restricts = true
		m := merging{tx: t, fresh: true, records: map[mfa.UserID]*mergedRecord{}}
		err = m.change(ctx, c)
		done = len(t.puts)+len(t.deletes) > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("%s, as server %s did without a master at %s: %w", c.What, c.Server, c.Time.UTC().Format(time.RFC3339), err)
	}
	return done, nil
}
