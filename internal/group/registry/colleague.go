package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/group"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
)

// WatchKV is a KV whose local copy can be followed; see store.KV.
type WatchKV interface {
	KV
	Watch(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) error
}

// Colleagues are the records of the coordinators themselves, where there are several: who
// they are, and codes that admit another one. It implements group.Store. All exported fields
// must be set; it is safe for concurrent use.
type Colleagues struct {
	KV   WatchKV
	Ring *keyring.Ring
	// Keyset is the record from which the coordinator of that name reads the keyset when it
	// starts, wrapped to recipient. With no recipient its key alone is wanted.
	Keyset func(name, recipient string) (key string, value []byte, err error)

	mu      sync.Mutex
	members map[string]mfa.Member // by name, from the local copy
	ready   chan struct{}         // closed once the local copy was read
}

// colleague is c/NAME.
type colleague struct {
	V int `json:"v"`
	mfa.Member
}

func (c *colleague) version() int { return c.V }

// invitation is n/ID.
type invitation struct {
	V       int       `json:"v"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by"`
	Secret  []byte    `json:"secret"` // sealed
}

func (i *invitation) version() int { return i.V }

// Run feeds Members from the local copy until ctx is done; it needs no majority.
func (c *Colleagues) Run(ctx context.Context) error {
	var fresh map[string]mfa.Member // while the copy is read anew
	return c.KV.Watch(ctx, prefixOwn, func(key string, value []byte, rev int64) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case key == "" && rev == 0:
			fresh = map[string]mfa.Member{}
		case key == "" && fresh != nil:
			c.members, fresh = fresh, nil
			c.open()
		case key == "":
		default:
			into := fresh
			if into == nil {
				into = c.members
			}
			name := strings.TrimPrefix(key, prefixOwn)
			delete(into, name)
			if r, err := parse(key, value, (*colleague).version); value != nil && err == nil {
				into[name] = r.Member
			}
		}
		return ctx.Err() == nil
	})
}

// open closes ready. c.mu is held.
func (c *Colleagues) open() {
	if c.ready == nil {
		c.ready = make(chan struct{})
	}
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
}

// Ready waits until Run has read the local copy.
func (c *Colleagues) Ready(ctx context.Context) error {
	c.mu.Lock()
	if c.ready == nil {
		c.ready = make(chan struct{})
	}
	ready := c.ready
	c.mu.Unlock()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Members implements group.Store: by name, as the local copy knows them.
func (c *Colleagues) Members() []mfa.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []mfa.Member
	for _, m := range c.members {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b mfa.Member) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// CreateJoinCode implements group.Store.
func (c *Colleagues) CreateJoinCode(ctx context.Context, code group.Code) error {
	b, err := c.record(code)
	if err != nil {
		return err
	}
	key := prefixCode + code.ID
	_, ok, err := c.KV.Commit(ctx, map[string]int64{key: 0}, map[string][]byte{key: b}, nil)
	if err == nil && !ok {
		err = mfa.ErrConflict
	}
	return err
}

// record is n/ID.
func (c *Colleagues) record(code group.Code) ([]byte, error) {
	sealed, err := c.Ring.Seal("coordinator code", code.Role, code.ID, code.Secret.Expose())
	if err != nil {
		return nil, err
	}
	return json.Marshal(invitation{schema, code.Role, code.Expires, code.By, sealed})
}

// JoinCode implements group.Store.
func (c *Colleagues) JoinCode(ctx context.Context, id string) (group.Code, error) {
	code, _, err := c.code(ctx, id)
	return code, err
}

// UsedCode implements group.Store. A code that was used is kept until it is swept away, for the
// machine that used it and did not get the answer.
func (c *Colleagues) UsedCode(ctx context.Context, id string) (group.Code, error) {
	code, _, err := c.codeAt(ctx, usedCode, id)
	return code, err
}

func (c *Colleagues) code(ctx context.Context, id string) (group.Code, int64, error) {
	return c.codeAt(ctx, "", id)
}

// codeAt reads n/ID or, with usedCode, n/used/ID.
func (c *Colleagues) codeAt(ctx context.Context, below, id string) (group.Code, int64, error) {
	i, rev, err := read(ctx, c.KV, prefixCode+below+id, (*invitation).version)
	if err == nil && rev == 0 {
		err = mfa.ErrNotFound
	}
	if err != nil {
		return group.Code{}, 0, err
	}
	text, err := c.Ring.Open("coordinator code", i.Role, id, i.Secret)
	return group.Code{ID: id, Role: i.Role, Expires: i.Expires, By: i.By, Secret: text}, rev, err
}

// Invites reports whether there is a code of that id which admits a coordinator.
func (c *Colleagues) Invites(ctx context.Context, id string) (bool, error) {
	_, rev, err := c.KV.Get(ctx, prefixCode+id)
	return rev != 0, err
}

// Admit implements group.Store: the record, the keyset for it, and the end of the code are
// one commit. A code that was used admits once more the machine that is on record by it, with the
// same keys, as long as that is in no database yet: it did not get the answer.
func (c *Colleagues) Admit(ctx context.Context, id string, m mfa.Member, check func(group.Code, *mfa.Member) error) error {
	for {
		at := prefixCode + id
		code, codeRev, err := c.code(ctx, id)
		again := errors.Is(err, mfa.ErrNotFound)
		if again {
			at = prefixCode + usedCode + id
			code, codeRev, err = c.codeAt(ctx, usedCode, id)
		}
		if err != nil {
			return err
		}
		old, rev, err := read(ctx, c.KV, prefixOwn+m.Name, (*colleague).version)
		if err != nil {
			return err
		}
		var before *mfa.Member
		if rev != 0 {
			before = &old.Member
		}
		if again && !(before != nil && before.Same(m)) {
			return fmt.Errorf("activation code %s: %w", id, mfa.ErrNotFound)
		}
		if err := check(code, before); err != nil {
			return err
		}
		keysetKey, keyset, err := c.Keyset(m.Name, m.Wrap)
		if err != nil {
			return fmt.Errorf("%w: wrap the keyset to %s: %w", mfa.ErrInvalid, m.Name, err)
		}
		b, err := json.Marshal(colleague{schema, m})
		if err != nil {
			return err
		}
		puts, gone := map[string][]byte{prefixOwn + m.Name: b, keysetKey: keyset}, []string(nil)
		if !again {
			if puts[prefixCode+usedCode+id], err = c.record(code); err != nil {
				return err
			}
			gone = []string{at}
		}
		_, ok, err := c.KV.Commit(ctx, map[string]int64{at: codeRev, prefixOwn + m.Name: rev}, puts, gone)
		if err != nil || ok {
			return err
		}
	}
}

// UpdateMember implements group.Store. A record that is not there is made.
func (c *Colleagues) UpdateMember(ctx context.Context, name string, change func(*mfa.Member) error) error {
	for {
		r, rev, err := read(ctx, c.KV, prefixOwn+name, (*colleague).version)
		if err != nil {
			return err
		}
		r.V, r.Name = schema, name
		before, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := change(&r.Member); err != nil {
			return err
		}
		b, err := json.Marshal(r)
		if err != nil || rev != 0 && string(b) == string(before) {
			return err
		}
		_, ok, err := c.KV.Commit(ctx, map[string]int64{prefixOwn + name: rev}, map[string][]byte{prefixOwn + name: b}, nil)
		if err != nil || ok {
			return err
		}
	}
}

// RemoveMember implements group.Store. The keyset that was wrapped to it goes too.
func (c *Colleagues) RemoveMember(ctx context.Context, name string) error {
	key, _, err := c.Keyset(name, "")
	if err != nil {
		return err
	}
	_, _, err = c.KV.Commit(ctx, nil, nil, []string{prefixOwn + name, key})
	return err
}

// RemoveOthers drops the records of all coordinators, as a restore does: those that there
// were when the backup was made have another database.
func (c *Colleagues) RemoveOthers(ctx context.Context, own string) error {
	all, err := scan(ctx, c.KV, prefixOwn, (*colleague).version)
	if err != nil {
		return err
	}
	for _, m := range all {
		if m.Name == own {
			_, _, err = c.KV.Commit(ctx, nil, nil, []string{prefixOwn + own})
		} else {
			err = c.RemoveMember(ctx, m.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// CountUsers implements group.Store: a coordinator knows none.
func (c *Colleagues) CountUsers() int { return 0 }

// errNoSwap: two coordinators do not change places.
var errNoSwap = fmt.Errorf("%w: two coordinators cannot change places: run one, or three", mfa.ErrInvalid)

// Swap implements group.Store: there never is one.
func (c *Colleagues) Swap(context.Context) (mfa.Swap, error) { return mfa.Swap{}, mfa.ErrNotFound }

// BeginSwap implements group.Store.
func (c *Colleagues) BeginSwap(context.Context, mfa.Swap) error { return errNoSwap }

// EndSwap implements group.Store.
func (c *Colleagues) EndSwap(context.Context, mfa.Swap) error { return nil }
