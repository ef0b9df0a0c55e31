package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/settlement"
)

// toldPrefixes are the prefixes of the records that are told of, in the order in which
// they can be applied.
var toldPrefixes = []string{prefixDirectory, prefixApp, prefixUser, prefixCred, prefixToken, keySettings, prefixMember, prefixAdministrator, prefixGateway}

// step is the cursor's for the records under toldPrefixes[i].
func (r *rejoining) step(step string, i int) string { return fmt.Sprintf("%s%d ", step, i) }

// changed looks at what the old copy has and has written since the fork.
func (r *rejoining) changed(ctx context.Context) error {
	for i, prefix := range toldPrefixes {
		step := r.step(stepChanged, i)
		err := r.each(ctx, step, prefix, func(ctx context.Context, batch []record) error {
			return r.look(ctx, step, batch)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removed looks at what this database has and the old copy has not.
func (r *rejoining) removed(ctx context.Context) error {
	if r.reader.old.Revision() <= r.from {
		return nil // a voter that was killed may know less than the epoch began with: it lacks, and removed nothing
	}
	for i, prefix := range toldPrefixes {
		step := r.step(stepRemoved, i)
		if prefix == keySettings || r.at.Cursor > step+prefix+"\xff" {
			continue
		}
		var here []record
		_, err := r.s.kv.Scan(ctx, prefix, func(key string, value []byte, rev int64) bool {
			if step+key > r.at.Cursor {
				here = append(here, record{key, nil, rev})
			}
			return ctx.Err() == nil
		})
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		var batch []record
		for _, rec := range here {
			gone, err := r.isGone(ctx, rec)
			if err != nil {
				return err
			}
			if gone {
				batch = append(batch, record{key: rec.key})
			}
			if len(batch) == rejoinBatch {
				if err := r.look(ctx, step, batch); err != nil {
					return err
				}
				batch = nil
			}
		}
		if len(batch) > 0 {
			if err := r.look(ctx, step, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// isGone reports whether the old copy had a record of this database and has it no more.
func (r *rejoining) isGone(ctx context.Context, here record) (bool, error) {
	old := r.reader.old
	_, rev, _, err := old.At(ctx, here.key, old.Revision())
	if err != nil || rev != 0 {
		return false, err
	}
	if r.from > r.o.Fork { // what another server's copy of the same epoch has shown is done
		_, known, err := r.base(ctx, here.key, nil, 0, r.from)
		if b, _, _, aerr := old.At(ctx, here.key, r.from); known && b == nil || err != nil || aerr != nil {
			return false, errors.Join(err, aerr)
		}
	}
	if here.rev <= r.o.Fork {
		return true, nil
	}
	b, known, err := r.base(ctx, here.key, nil, 0, r.o.Fork)
	if err != nil || known {
		return b != nil, err
	}
	return r.older(ctx, here.key)
}

// older reports whether an object of this database was made before its epoch began.
func (r *rejoining) older(ctx context.Context, key string) (bool, error) {
	b, rev, err := r.s.kv.Get(ctx, key)
	if err != nil || rev == 0 || r.o.Since.IsZero() {
		return false, err
	}
	o, err := r.s.object(key, b)
	if err != nil {
		return false, nil
	}
	switch {
	case o.User != nil:
		return o.User.Created.Before(r.o.Since), nil
	case o.Credential != nil:
		return o.Credential.Created.Before(r.o.Since), nil
	case o.Application != nil:
		return o.Application.Created.Before(r.o.Since), nil
	case o.Directory != nil:
		return o.Directory.Created.Before(r.o.Since), nil
	case o.Gateway != nil:
		return o.Gateway.Created.Before(r.o.Since), nil
	case o.Token != nil:
		return o.Token.Created.Before(r.o.Since), nil
	case o.Administrator != nil:
		return o.Administrator.Created.Before(r.o.Since), nil
	}
	return false, nil
}

// look compares a batch of records with those of this database, applies what restricts
// and lists the rest.
func (r *rejoining) look(ctx context.Context, step string, batch []record) error {
	last := step + batch[len(batch)-1].key
	return r.commit(ctx, last, func(ctx context.Context, m *merging, rep *reportRecord) ([]mfa.Act, error) {
		var acts []mfa.Act
		for _, rec := range batch {
			act, err := r.lookAt(ctx, m, rep, rec)
			if err != nil {
				return nil, err
			}
			acts = append(acts, act...)
		}
		return acts, nil
	})
}

func (r *rejoining) lookAt(ctx context.Context, m *merging, rep *reportRecord, rec record) ([]mfa.Act, error) {
	c, now, err := r.change(ctx, m, rep, rec)
	if err != nil || c == nil || c.Stands(now) == parking.Done {
		return nil, err
	}
	if c.Replaced, err = r.replaced(ctx, m, *c, now); err != nil {
		return nil, err
	}
	var acts []mfa.Act
	if restriction, ok := c.Restriction(now); ok && !now.None() {
		if err := m.change(ctx, restriction); err != nil {
			return nil, err
		}
		if what := restrictionText(*c, restriction); m.putsOrDeletes(rec.key) {
			rep.Restrict(what)
			acts = append(acts, mfa.Act{Verb: "group parked", Object: c.Object, Detail: what + ", as in " + restriction.By})
		}
		if c.Restricted() {
			return acts, nil
		}
		if b, ok := m.puts[rec.key]; ok {
			if now, err = r.s.object(rec.key, b); err != nil {
				return nil, err
			}
		}
	}
	if c.Stands(now) == parking.Done {
		return acts, nil
	}
	b, err := r.s.formatParked(*c, rec.key)
	if err != nil {
		return nil, err
	}
	had, err := m.get(ctx, prefixSealed+blobParked+c.ID)
	if err != nil {
		return nil, err
	}
	if had == nil {
		rep.Listed++
	}
	return acts, m.putSealed(blobParked+c.ID, b)
}

// replaced returns the block that a restriction of c is to take the place of, or has when
// another copy brought c.
func (r *rejoining) replaced(ctx context.Context, m *merging, c parking.Change, now parking.Object) (*mfa.Block, error) {
	switch {
	case now.User == nil || now.User.Block == nil:
		return nil, nil
	case !c.Undone(now.User.Block.By):
		return now.User.Block, nil
	}
	b, err := m.get(ctx, prefixSealed+blobParked+c.ID)
	if err != nil || b == nil {
		return nil, err
	}
	before, _, err := r.s.parseParked(c.ID, b)
	return before.Replaced, err
}

// putsOrDeletes reports whether t changes key.
func (t *tx) putsOrDeletes(key string) bool {
	if _, put := t.puts[key]; put {
		return true
	}
	for _, k := range t.deletes {
		if k == key {
			return true
		}
	}
	return false
}

// restrictionText tells what was applied by itself of c, with the login of the user: whoever
// reads it may look for somebody who is removed by then.
func restrictionText(c parking.Change, r mfa.Change) string {
	who, login := string(r.User), c.Login
	for _, o := range []parking.Object{c.After, c.Before} {
		if o.User != nil && login == "" {
			login = o.User.Login
		}
	}
	if login != "" {
		who = fmt.Sprintf("%q (%s)", login, r.User)
	}
	switch r.What {
	case mfa.ChangeBlock:
		return "user " + who + " blocked"
	case mfa.ChangeDisable:
		return "credential " + string(r.Credential) + " of user " + who + " disabled"
	}
	return "API token " + r.Token + " revoked"
}

// change makes a change of a record of the old copy (value nil: removed), and returns the
// object of now. nil: there is nothing to tell.
func (r *rejoining) change(ctx context.Context, m *merging, rep *reportRecord, rec record) (*parking.Change, parking.Object, error) {
	none := parking.Object{}
	kind, object := kindOf(rec.key)
	nowBytes, err := m.get(ctx, rec.key)
	if err != nil {
		return nil, none, err
	}
	base, known, err := r.base(ctx, rec.key, nowBytes, m.ifRev[rec.key], r.o.Fork)
	if err != nil {
		return nil, none, err
	}
	c := &parking.Change{ID: parkedID(r.reader.old.ClusterID(), rec.key), Epoch: r.o.Epoch, ClusterID: r.reader.old.ClusterID(), Server: r.s.o.Server,
		Kind: kind, What: parking.Changed, Object: object, Revision: rec.rev, BaseKnown: known, Found: r.s.now()}
	if kind == parking.Credential {
		if whole, err := r.withUser(ctx, m, object); whole || err != nil {
			return nil, none, err
		}
	}
	switch {
	case rec.value == nil:
		c.What = parking.Removed
	case base == nil && (known || nowBytes == nil):
		c.What = parking.Added
	}
	if kind == parking.Server && (c.What == parking.Changed || c.What == parking.Added && nowBytes != nil) {
		return nil, none, nil // what its servers say of themselves they say again
	}
	var now parking.Object
	for _, o := range []struct {
		to   *parking.Object
		from []byte
	}{{&c.Before, base}, {&c.After, rec.value}, {&now, nowBytes}} {
		if *o.to, err = r.reader.object(rec.key, o.from); err != nil {
			r.unreadable(rep, rec.key, err)
			return nil, none, nil
		}
	}
	if err := r.used(ctx, c); err != nil {
		return nil, none, err
	}
	if kind == parking.Credential || kind == parking.Administrator {
		if c.Login, err = r.login(ctx, object); err != nil {
			return nil, none, err
		}
	}
	if r.o.Acts != nil {
		c.Acts = r.o.Acts(wordOf(*c))
	}
	return c, now, nil
}

// login returns the login of the user whom a credential of the old copy belongs to.
func (r *rejoining) login(ctx context.Context, credential string) (string, error) {
	user, _, _ := strings.Cut(credential, "/")
	key := userKey(mfa.UserID(user))
	b, rev, _, err := r.reader.old.At(ctx, key, r.reader.old.Revision())
	if err != nil || rev == 0 {
		return "", err
	}
	if o, err := r.reader.object(key, b); err == nil {
		return o.User.Login, nil
	}
	return "", nil
}

// withUser reports whether a credential needs no telling, since its user came or went with it.
func (r *rejoining) withUser(ctx context.Context, m *merging, object string) (bool, error) {
	user, _, _ := strings.Cut(object, "/")
	key := userKey(mfa.UserID(user))
	there, rev, _, err := r.reader.old.At(ctx, key, r.reader.old.Revision())
	if err != nil {
		return false, err
	}
	here, err := m.get(ctx, key)
	if err != nil {
		return false, err
	}
	if rev == 0 {
		return true, nil // removed there
	}
	if here != nil || there == nil {
		return false, nil
	}
	base, known, err := r.base(ctx, key, nil, 0, r.o.Fork)
	return base == nil && known, err // added there
}

// used adds to a change that adds something how far its codes are used up, and to a new
// user their credentials.
func (r *rejoining) used(ctx context.Context, c *parking.Change) error {
	if c.What == parking.Removed || c.Kind != parking.User && c.Kind != parking.Credential {
		return nil
	}
	old := r.reader.old
	user, _, _ := strings.Cut(c.Object, "/")
	b, rev, _, err := old.At(ctx, recordKey(mfa.UserID(user)), old.Revision())
	if err != nil {
		return err
	}
	var rec settlement.Record
	if rev != 0 && rec.UnmarshalBinary(b) == nil {
		c.Floors = maps.Collect(rec.Floors.All())
	}
	if c.Kind != parking.User || c.What != parking.Added {
		return nil
	}
	var bad error
	err = old.Scan(ctx, prefixCred+user+"/", func(key string, value []byte, _ int64) bool {
		o, err := r.reader.object(key, value)
		if err != nil {
			bad = err
			return false
		}
		c.Credentials = append(c.Credentials, *o.Credential)
		return true
	})
	return errors.Join(err, bad)
}

// wordOf returns what the trail calls the object of c.
func wordOf(c parking.Change) string {
	for _, o := range []parking.Object{c.After, c.Before} {
		switch {
		case o.User != nil:
			return o.User.Login
		case o.Credential != nil, o.Administrator != nil:
			return c.Login
		case o.Application != nil:
			return o.Application.Name
		case o.Token != nil:
			return o.Token.Name
		}
	}
	return c.Object
}

// parkedID names a change: the same for each copy of the same epoch, and each run.
func parkedID(cluster, key string) string {
	sum := sha256.Sum256([]byte("parked\n" + cluster + "\n" + key))
	return idEncoding.EncodeToString(sum[:idSize])
}
