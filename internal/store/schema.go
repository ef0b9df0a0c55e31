package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// schema is the version v of every JSON record of a kind that no later schema has changed.
// The newest one that this program reads is Schema. A server refuses a newer record, and a
// field that it does not know, instead of dropping what it cannot keep: a group writes a
// new schema only once all its servers can read it, see GroupSchema.
const schema = 1

// GroupSchema is the schema that the group writes.
type GroupSchema struct {
	Schema  int       `json:"schema"`
	Program string    `json:"program,omitempty"` // version of the program that began it
	By      string    `json:"by,omitempty"`      // server
	Since   time.Time `json:"since,omitzero"`
}

// schemaRecord is g/schema. Every program must be able to read it, also one that is too old
// for the rest: so its own form stays, and fields that are not known are passed over.
type schemaRecord struct {
	V int `json:"v"`
	GroupSchema
}

func parseGroupSchema(b []byte) (GroupSchema, error) {
	var r schemaRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return GroupSchema{}, fmt.Errorf("record %s: %w", keySchema, err)
	}
	if r.Schema < 1 {
		return GroupSchema{}, fmt.Errorf("record %s: schema %d", keySchema, r.Schema)
	}
	return r.GroupSchema, nil
}

// Check refuses a program that reads schemas up to knows and is of a version, if the group
// writes a later one. The error wraps mfa.ErrOutdated.
func (g GroupSchema) Check(knows int, version string) error {
	if g.Schema <= max(knows, 1) {
		return nil
	}
	return fmt.Errorf("%w: it writes records of schema %d since %s, this program, version %s, knows schemas up to %d: install version %s or a later one",
		mfa.ErrOutdated, g.Schema, g.Since.UTC().Format(time.DateOnly), version, max(knows, 1), g.Program)
}

// GroupSchema returns the schema that the group writes, from the local copy; 1 if it has
// never gone beyond.
func (s *Store) GroupSchema() GroupSchema {
	g := s.catalog().schema
	g.Schema = max(g.Schema, 1)
	return g
}

// RaiseSchema has the group write a schema from now on. It is refused (mfa.ErrConflict)
// unless all servers on record know it. names are those that the caller has heard say so:
// there must not be another one.
func (s *Store) RaiseSchema(ctx context.Context, to GroupSchema, names []string) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		now, err := t.groupSchema(ctx)
		if err != nil || now.Schema >= to.Schema {
			return err
		}
		var refusal error
		_, err = s.kv.Scan(ctx, prefixMember, func(key string, value []byte, rev int64) bool {
			name := strings.TrimPrefix(key, prefixMember)
			m, err := parseMember(name, value)
			switch {
			case err != nil:
				refusal = err
			case !slices.Contains(names, name), m.Schema < to.Schema:
				refusal = fmt.Errorf("server %s may not know it: %w", name, mfa.ErrConflict)
			}
			t.ifRev[key] = rev
			return refusal == nil
		})
		if err == nil {
			err = refusal
		}
		if err != nil {
			return err
		}
		t.put(keySchema, schemaRecord{schema, to})
		return nil
	})
	if err != nil {
		return fmt.Errorf("raise the schema of the records to %d: %w", to.Schema, err)
	}
	return nil
}

// groupSchema reads g/schema at the master.
func (t *tx) groupSchema(ctx context.Context) (GroupSchema, error) {
	b, err := t.get(ctx, keySchema)
	if err != nil || b == nil {
		return GroupSchema{Schema: 1}, err
	}
	return parseGroupSchema(b)
}

// fits refuses a new server that is too old for the group, and has this write and one that
// raises the schema meet: both write the same record.
func (t *tx) fits(ctx context.Context, m mfa.Member) error {
	g, err := t.groupSchema(ctx)
	if err != nil {
		return err
	}
	if err := g.Check(m.Schema, m.Version); err != nil {
		return err
	}
	t.put(keySchema, schemaRecord{schema, g})
	return nil
}
