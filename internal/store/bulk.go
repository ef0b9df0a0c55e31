package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"countersign/internal/mfa"
)

// Bulk creation: operations in one commit (each condition or change is one; the database
// takes 512, and keeps the latest commits in memory), bytes in one commit (it takes
// 1 MiB), and commits in flight.
const (
	bulkOps      = 240
	bulkBytes    = 512 << 10
	bulkInFlight = 6
)

// CreateUsers stores many users with their first credentials, several users in a write and
// several writes at a time. Of each user all or nothing is stored. The first result has an
// error for each user that was not (mfa.ErrExists with the login form that is taken,
// mfa.ErrInvalid) and nil for the others; ids and times are filled into users. The second
// is set if the database failed, and stands with every user whose fate it decided.
func (s *Store) CreateUsers(ctx context.Context, users []mfa.NewUser) ([]error, error) {
	b := &bulk{s: s, users: users, errs: make([]error, len(users))}
	work := make(chan []int)
	var wg sync.WaitGroup
	for range bulkInFlight {
		wg.Go(func() {
			for batch := range work {
				b.store(ctx, batch)
			}
		})
	}
	b.split(work)
	close(work)
	wg.Wait()
	return b.errs, b.failed
}

// bulk is one call of CreateUsers. errs[i] is written by the goroutine that has user i.
type bulk struct {
	s     *Store
	users []mfa.NewUser
	errs  []error

	mu     sync.Mutex
	failed error // the first failure of the database; ends it all
}

func (b *bulk) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed == nil {
		b.failed = err
	}
}

func (b *bulk) over() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}

// split checks the users and hands them out in batches that fit one commit.
func (b *bulk) split(work chan<- []int) {
	forms := map[string]bool{} // of this call
	var batch []int
	ops, size := 0, 0
	flush := func() {
		if len(batch) > 0 {
			work <- batch
		}
		batch, ops, size = nil, 0, 0
	}
	for i := range b.users {
		if b.errs[i] = b.check(i, forms); b.errs[i] != nil {
			continue
		}
		n, bytes := cost(b.users[i])
		if ops+n > bulkOps || size+bytes > bulkBytes {
			flush()
		}
		batch, ops, size = append(batch, i), ops+n, size+bytes
	}
	flush()
}

// check prepares user i and refuses it if this call or the view has one of its forms.
func (b *bulk) check(i int, forms map[string]bool) error {
	u := &b.users[i].User
	if err := b.s.prepare(u); err != nil {
		return err
	}
	for _, form := range append([]string{u.Login}, u.Aliases...) {
		if forms[form] {
			return taken(form)
		}
		if _, err := b.s.UserByForm(context.Background(), form); err == nil {
			return taken(form)
		}
	}
	for _, form := range append([]string{u.Login}, u.Aliases...) {
		forms[form] = true
	}
	return nil
}

// cost is what a user adds to a commit, at most: operations and bytes, about.
func cost(n mfa.NewUser) (ops, bytes int) {
	u := n.User
	forms := 1 + len(u.Aliases)
	bytes = 500 + 100*forms + 2*(len(u.Login)+len(u.Name)+len(u.Email)+len(u.Phone)+len(u.Directory))
	for _, t := range append(u.Tags, u.Aliases...) {
		bytes += 2 * len(t)
	}
	for _, c := range n.Credentials {
		bytes += 500 + 2*(c.Secret.Len()+len(c.Label)+len(c.Why))
	}
	return 5 + 2*forms + 2*len(n.Credentials), bytes // 5: profile and settlement record, their conditions, that of the directory; 2: form or credential with its condition
}

// store writes one batch. Users whose login is taken are taken out and the rest is tried
// again.
func (b *bulk) store(ctx context.Context, batch []int) {
	for range attempts {
		err := b.over()
		if err == nil {
			err = context.Cause(ctx)
		}
		var ok bool
		t := b.s.begin()
		if err == nil {
			batch, err = b.build(ctx, t, batch)
		}
		if err == nil && len(batch) > 0 {
			ok, err = t.commit(ctx)
		}
		if err != nil {
			b.spread(batch, fmt.Errorf("create user: %w", err))
			b.fail(err)
			return
		}
		if ok || len(batch) == 0 {
			return
		}
		if batch, err = b.sift(ctx, batch); err != nil {
			b.spread(batch, fmt.Errorf("create user: %w", err))
			b.fail(err)
			return
		}
	}
	b.spread(batch, fmt.Errorf("create user: %w", mfa.ErrConflict))
}

func (b *bulk) spread(batch []int, err error) {
	for _, i := range batch {
		b.errs[i] = err
	}
}

// build adds the batch to t and returns it without those that cannot be stored.
func (b *bulk) build(ctx context.Context, t *tx, batch []int) ([]int, error) {
	dirs := map[string]error{}
	var rest []int
	for _, i := range batch {
		u := b.users[i].User
		err, known := dirs[u.Directory]
		if !known {
			err = t.refer(ctx, u.Directory)
			if err != nil && !errors.Is(err, mfa.ErrInvalid) {
				return batch, err
			}
			dirs[u.Directory] = err
		}
		if err == nil {
			err = b.create(t, b.users[i])
		}
		if b.errs[i] = err; err == nil {
			rest = append(rest, i)
		}
	}
	return rest, nil
}

// create adds a user whose seeds nobody had before.
func (b *bulk) create(t *tx, n mfa.NewUser) error {
	creds, err := b.s.prepareCreds(n.User, n.Credentials)
	if err != nil {
		return err
	}
	for _, c := range creds {
		if key, ok := b.s.seedKey(c); ok {
			t.absent(key)
		}
	}
	return t.create(n.User, creds)
}

// reuses reports whether the user gets a seed that somebody had before.
func (b *bulk) reuses(ctx context.Context, n mfa.NewUser) (bool, error) {
	for _, c := range n.Credentials {
		if key, ok := b.s.seedKey(c); ok {
			if _, rev, err := b.s.kv.Get(ctx, key); err != nil || rev != 0 {
				return rev != 0, err
			}
		}
	}
	return false, nil
}

// sift finds out at the master which of the batch are refused, stores those singly whose
// seeds have a floor, and returns the others.
func (b *bulk) sift(ctx context.Context, batch []int) ([]int, error) {
	var rest []int
next:
	for n, i := range batch {
		u := b.users[i].User
		for _, form := range append([]string{u.Login}, u.Aliases...) {
			_, rev, err := b.s.kv.Get(ctx, b.s.formKey(form))
			if err != nil {
				return append(rest, batch[n:]...), err
			}
			if rev != 0 {
				b.errs[i] = taken(form)
				continue next
			}
		}
		had, err := b.reuses(ctx, b.users[i])
		if err != nil {
			return append(rest, batch[n:]...), err
		}
		if had {
			if _, err := b.s.CreateUser(ctx, u, b.users[i].Credentials); errors.Is(err, mfa.ErrExists) || errors.Is(err, mfa.ErrInvalid) {
				b.errs[i] = err
			} else if err != nil {
				return append(rest, batch[n:]...), err
			}
			continue
		}
		_, rev, err := b.s.kv.Get(ctx, userKey(u.ID))
		if err != nil {
			return append(rest, batch[n:]...), err
		}
		if rev != 0 {
			b.errs[i] = fmt.Errorf("user id %s: %w", u.ID, mfa.ErrExists)
			continue
		}
		rest = append(rest, i)
	}
	return rest, nil
}
