package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/policy"
	"countersign/internal/settlement"
)

// parkedRecord is the plain part of x/parked/ID. Before and After are records as they stand
// under Key, their sealed part open: the blob is sealed as a whole, so that a rotation of the keys
// finds nothing inside.
type parkedRecord struct {
	V           int                            `json:"v"`
	Key         string                         `json:"key"`
	Epoch       uint64                         `json:"epoch"`
	ClusterID   string                         `json:"cluster_id"`
	Server      string                         `json:"server"`
	What        string                         `json:"what"`
	Revision    int64                          `json:"revision,omitempty"`
	Login       string                         `json:"login,omitempty"`
	BaseKnown   bool                           `json:"base_known,omitempty"`
	Before      json.RawMessage                `json:"before,omitempty"`
	After       json.RawMessage                `json:"after,omitempty"`
	Credentials map[string]json.RawMessage     `json:"credentials,omitempty"` // by key
	Floors      map[mfa.CredentialID]mfa.Floor `json:"floors,omitempty"`
	Acts        []mfa.Act                      `json:"acts,omitempty"`
	Replaced    *mfa.Block                     `json:"replaced_block,omitempty"`
	Found       time.Time                      `json:"found"`
}

func (s *Store) formatParked(c parking.Change, key string) ([]byte, error) {
	r := parkedRecord{V: schema, Key: key, Epoch: c.Epoch, ClusterID: c.ClusterID, Server: c.Server, What: c.What, Revision: c.Revision, Login: c.Login,
		BaseKnown: c.BaseKnown, Floors: c.Floors, Acts: c.Acts, Replaced: c.Replaced, Found: c.Found, Credentials: map[string]json.RawMessage{}}
	var err error
	if r.Before, err = s.opened(key, c.Before); err != nil {
		return nil, err
	}
	if r.After, err = s.opened(key, c.After); err != nil {
		return nil, err
	}
	for _, cred := range c.Credentials {
		key := credKey(cred.User, cred.ID)
		if r.Credentials[key], err = s.opened(key, parking.Object{Credential: &cred}); err != nil {
			return nil, err
		}
	}
	return format(r), nil
}

func (s *Store) parseParked(id string, b []byte) (c parking.Change, key string, err error) {
	plain, err := s.openBlob(blobParked+id, b)
	if err != nil {
		return c, "", err
	}
	var r parkedRecord
	if err := parse(prefixSealed+blobParked+id, plain.Expose(), &r, &r.V); err != nil {
		return c, "", err
	}
	c = parking.Change{ID: id, Epoch: r.Epoch, ClusterID: r.ClusterID, Server: r.Server, What: r.What, Revision: r.Revision, Login: r.Login,
		BaseKnown: r.BaseKnown, Floors: r.Floors, Acts: r.Acts, Replaced: r.Replaced, Found: r.Found}
	c.Kind, c.Object = kindOf(r.Key)
	if c.Before, err = s.closedObject(r.Key, r.Before); err != nil {
		return c, r.Key, err
	}
	if c.After, err = s.closedObject(r.Key, r.After); err != nil {
		return c, r.Key, err
	}
	for _, key := range slices.Sorted(maps.Keys(r.Credentials)) {
		o, err := s.closedObject(key, r.Credentials[key])
		if err != nil {
			return c, r.Key, err
		}
		if o.Credential == nil {
			return c, r.Key, fmt.Errorf("record %s%s%s: credential %q: %w", prefixSealed, blobParked, id, key, mfa.ErrInvalid)
		}
		c.Credentials = append(c.Credentials, *o.Credential)
	}
	return c, r.Key, nil
}

func (s *Store) closedObject(key string, b json.RawMessage) (parking.Object, error) {
	sealed, err := s.closed(key, b)
	if err != nil || sealed == nil {
		return parking.Object{}, err
	}
	return s.object(key, sealed)
}

// CountParked returns how many changes wait for an administrator, by the local copy; it needs
// no master.
func (s *Store) CountParked(ctx context.Context) (n int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := false
	err = s.kv.Watch(ctx, prefixSealed+blobParked, func(k string, _ []byte, rev int64) bool {
		switch {
		case k != "":
			n++
		case rev == 0:
			n = 0
		default:
			done = true
		}
		return !done
	})
	if done {
		err = nil
	}
	return n, err
}

// ParkedChanges lists the changes that wait for an administrator, in the order in which
// they can be applied, and how each stands to what it is about now. It reads at the master.
func (s *Store) ParkedChanges(ctx context.Context) (list []parking.Change, err error) {
	err = s.withKeys(ctx, func() error {
		list = nil
		var keys []string
		var bad error
		_, err := s.kv.Scan(ctx, prefixSealed+blobParked, func(k string, value []byte, _ int64) bool {
			var c parking.Change
			var key string
			if c, key, bad = s.parseParked(strings.TrimPrefix(k, prefixSealed+blobParked), value); bad == nil {
				list, keys = append(list, c), append(keys, key)
			}
			return bad == nil
		})
		if err = errors.Join(err, bad); err != nil {
			return err
		}
		for i := range list {
			if _, err := s.stands(ctx, &list[i], keys[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, mfa.ErrUnavailable) {
		return nil, fmt.Errorf("list the parked changes: they are read at the master, which does not answer; ask again when the group has one (countersign doctor says what to do): %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("list the parked changes: %w", err)
	}
	slices.SortFunc(list, func(a, b parking.Change) int {
		if parking.Before(a, b) {
			return -1
		}
		return 1
	})
	return list, nil
}

// stands sets how c stands to what is under key now, and returns that.
func (s *Store) stands(ctx context.Context, c *parking.Change, key string) (now parking.Object, err error) {
	b, rev, err := s.kv.Get(ctx, key)
	if err == nil && rev != 0 {
		now, err = s.object(key, b)
	}
	c.Standing = c.Stands(now)
	return now, err
}

// parked reads one change with the revision of its blob. The error wraps mfa.ErrNotFound if
// there is none.
func (s *Store) parked(ctx context.Context, id string) (c parking.Change, key string, rev int64, err error) {
	err = s.withKeys(ctx, func() error {
		var b []byte
		b, rev, err = s.kv.Get(ctx, prefixSealed+blobParked+id)
		if err == nil && rev == 0 {
			err = mfa.ErrNotFound
		}
		if err != nil {
			return err
		}
		c, key, err = s.parseParked(id, b)
		return err
	})
	if err != nil {
		err = fmt.Errorf("parked change %s: %w", id, err)
	}
	return c, key, rev, err
}

// ParkedChange returns one of them. The error wraps mfa.ErrNotFound if there is none.
func (s *Store) ParkedChange(ctx context.Context, id string) (parking.Change, error) {
	c, key, _, err := s.parked(ctx, id)
	if err == nil {
		_, err = s.stands(ctx, &c, key)
	}
	return c, err
}

// ApplyParked makes the change, by the same conditional writes as an administrator would,
// and takes it off the list. If its object was changed in this epoch too the error wraps
// mfa.ErrConflict, unless force: then it becomes what it was in the epoch that ended. A restriction
// of now stays in any case. If it is cut off in between, applying again ends it.
func (s *Store) ApplyParked(ctx context.Context, id string, force bool) (parking.Change, error) {
	c, key, rev, err := s.parked(ctx, id)
	if err != nil {
		return c, err
	}
	if err := s.withKeys(ctx, func() error { _, err := s.stands(ctx, &c, key); return err }); err != nil {
		return c, err
	}
	if c.Standing != parking.Done {
		if err := s.apply(ctx, &c, key, force); err != nil {
			return c, fmt.Errorf("apply parked change %s: %w", id, err)
		}
	}
	return c, s.dropParked(ctx, id, rev)
}

// DiscardParked takes the change off the list for good. What kept somebody out in its place
// ends.
func (s *Store) DiscardParked(ctx context.Context, id string) (parking.Change, error) {
	c, _, rev, err := s.parked(ctx, id)
	if err != nil {
		return c, err
	}
	if err := s.lift(ctx, c); err != nil {
		return c, fmt.Errorf("discard parked change %s: %w", id, err)
	}
	return c, s.dropParked(ctx, id, rev)
}

// dropParked removes the blob, unless another copy has brought more meanwhile.
func (s *Store) dropParked(ctx context.Context, id string, rev int64) error {
	key := prefixSealed + blobParked + id
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, key)
		if err != nil || b == nil {
			return err
		}
		if t.ifRev[key] != rev {
			return fmt.Errorf("parked change %s: another server has brought more of it meanwhile, look again: %w", id, mfa.ErrConflict)
		}
		t.del(key)
		return nil
	})
}

// lift ends a block or the disabling that came in place of c: a block that it took the place
// of is back.
func (s *Store) lift(ctx context.Context, c parking.Change) (err error) {
	switch {
	case c.Kind == parking.User:
		_, err = s.UpdateUser(ctx, mfa.UserID(c.Object), func(u *mfa.User) error {
			if u.Block != nil && c.Undone(u.Block.By) {
				u.Block = c.Replaced
			}
			return nil
		})
	case c.Kind == parking.Credential && c.What == parking.Removed:
		user, id, _ := strings.Cut(c.Object, "/")
		_, err = s.UpdateCredential(ctx, mfa.UserID(user), mfa.CredentialID(id), func(cred *mfa.Credential) error {
			if cred.Disabled && c.Undone(cred.By) {
				cred.Disabled = false
			}
			return nil
		})
	}
	if errors.Is(err, mfa.ErrNotFound) {
		return nil
	}
	return err
}

// errChanged: the object of a parked change was changed in this epoch too.
var errChanged = told{"it was changed in this epoch too: look at both, then apply with --force to take the parked one, or discard it", mfa.ErrConflict}

// apply makes the change; each case is one conditional write, and decides on what that reads.
func (s *Store) apply(ctx context.Context, c *parking.Change, key string, force bool) error {
	check := func(now parking.Object) error {
		if !force && c.Stands(now) == parking.Conflict {
			return errChanged
		}
		return nil
	}
	if c.Kind == parking.Server {
		return fmt.Errorf("what epoch %d did to server %s is told of only: activate it anew if it came then (countersign activate), or take it out (countersign group forget %s); then discard this: %w",
			c.Epoch, c.Object, c.Object, mfa.ErrInvalid)
	}
	b, rev, err := s.kv.Get(ctx, key)
	if err != nil {
		return err
	}
	var now parking.Object
	if rev != 0 {
		if now, err = s.object(key, b); err != nil {
			return err
		}
	}
	switch {
	case c.What == parking.Removed:
		return s.applyRemoval(ctx, c, now, check)
	case now.None():
		if err := check(now); err != nil {
			return err
		}
		return s.applyCreation(ctx, c)
	}
	return s.applyUpdate(ctx, c, check)
}

func (s *Store) applyRemoval(ctx context.Context, c *parking.Change, now parking.Object, check func(parking.Object) error) (err error) {
	if err := check(now); err != nil {
		return err
	}
	switch c.Kind {
	case parking.User:
		err = s.RemoveUser(ctx, mfa.UserID(c.Object))
	case parking.Credential:
		user, id, _ := strings.Cut(c.Object, "/")
		err = s.RemoveCredential(ctx, mfa.UserID(user), mfa.CredentialID(id))
	case parking.Application:
		err = s.RemoveApplication(ctx, mfa.ApplicationID(c.Object))
	case parking.Directory:
		err = s.RemoveDirectory(ctx, c.Object)
	case parking.Gateway:
		err = s.RemoveGateway(ctx, c.Object)
	case parking.Token:
		err = s.RemoveAPIToken(ctx, c.Object)
	case parking.Administrator:
		err = s.RemoveAdministrator(ctx, mfa.UserID(c.Object), false)
	}
	if errors.Is(err, mfa.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Store) applyCreation(ctx context.Context, c *parking.Change) (err error) {
	switch o := c.After; c.Kind {
	case parking.User:
		_, err = s.CreateUser(ctx, *o.User, c.Credentials)
	case parking.Credential:
		err = s.AddCredential(ctx, *o.Credential)
		if errors.Is(err, mfa.ErrNotFound) {
			err = fmt.Errorf("user %s is not here: apply their own change first if it is listed: %w", c.Login, err)
		}
	case parking.Application:
		_, err = s.CreateApplication(ctx, *o.Application)
	case parking.Directory:
		_, err = s.CreateDirectory(ctx, *o.Directory)
	case parking.Gateway:
		_, err = s.CreateGateway(ctx, *o.Gateway)
	case parking.Token:
		_, err = s.CreateAPIToken(ctx, *o.Token)
	case parking.Administrator:
		_, err = s.CreateAdministrator(ctx, *o.Administrator)
	case parking.Settings:
		err = s.UpdateSettings(ctx, func(p *policy.Settings) error { *p = *o.Settings; return nil })
	}
	if err != nil {
		return err
	}
	return s.raiseFloors(ctx, c)
}

// raiseFloors keeps the used codes of what was added used.
func (s *Store) raiseFloors(ctx context.Context, c *parking.Change) error {
	if len(c.Floors) == 0 {
		return nil
	}
	user, _, _ := strings.Cut(c.Object, "/")
	has := map[mfa.CredentialID]bool{}
	if o := c.After.Credential; o != nil {
		has[o.ID] = true
	}
	for _, cred := range c.Credentials {
		has[cred.ID] = true
	}
	return s.UpdateRecord(ctx, mfa.UserID(user), func(r *settlement.Record) error {
		for id, f := range c.Floors {
			if has[id] {
				*r = r.Raise(id, f)
			}
		}
		return nil
	})
}

// applyUpdate changes what is there. What restricts now and did not come from the epoch that
// ended stays.
func (s *Store) applyUpdate(ctx context.Context, c *parking.Change, check func(parking.Object) error) (err error) {
	switch o := c.After; c.Kind {
	case parking.User:
		_, err = s.UpdateUser(ctx, mfa.UserID(c.Object), func(u *mfa.User) error {
			now := *u
			if err := check(parking.Object{User: &now}); err != nil {
				return err
			}
			*u = *o.User
			lifted := c.Before.User != nil && c.Before.User.Block != nil && now.Block != nil && !now.Block.Stricter(c.Before.User.Block)
			if now.Block.Stricter(u.Block) && !lifted {
				u.Block = now.Block
			}
			return nil
		})
	case parking.Credential:
		user, id, _ := strings.Cut(c.Object, "/")
		_, err = s.UpdateCredential(ctx, mfa.UserID(user), mfa.CredentialID(id), func(cred *mfa.Credential) error {
			now := *cred
			if err := check(parking.Object{Credential: &now}); err != nil {
				return err
			}
			*cred = *o.Credential
			lifted := c.Before.Credential != nil && c.Before.Credential.Disabled
			cred.Disabled = cred.Disabled || now.Disabled && !lifted
			return nil
		})
	case parking.Application:
		_, err = s.UpdateApplication(ctx, mfa.ApplicationID(c.Object), func(a *mfa.Application) error {
			now := *a
			err := check(parking.Object{Application: &now})
			*a = *o.Application
			return err
		})
	case parking.Directory:
		_, err = s.UpdateDirectory(ctx, c.Object, func(d *mfa.Directory) error {
			now := *d
			err := check(parking.Object{Directory: &now})
			*d = *o.Directory
			return err
		})
	case parking.Gateway:
		_, err = s.UpdateGateway(ctx, c.Object, func(g *mfa.Gateway) error {
			now := *g
			err := check(parking.Object{Gateway: &now})
			*g = *o.Gateway
			return err
		})
	case parking.Administrator:
		_, err = s.UpdateAdministrator(ctx, mfa.UserID(c.Object), func(a *mfa.Administrator) error {
			now := *a
			err := check(parking.Object{Administrator: &now})
			*a = *o.Administrator
			return err
		})
	case parking.Settings:
		err = s.UpdateSettings(ctx, func(p *policy.Settings) error {
			now := *p
			err := check(parking.Object{Settings: &now})
			*p = *o.Settings
			return err
		})
	case parking.Token:
		return fmt.Errorf("API token %s is here already: %w", c.Object, mfa.ErrExists)
	}
	return err
}
