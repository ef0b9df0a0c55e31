package store

import (
	"context"
	"fmt"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// decodeSmall takes one record of the kinds that the view keeps decoded into c.
func (s *Store) decodeSmall(c *catalog, key string, value []byte) error {
	kind, rest, _ := strings.Cut(key, "/")
	err := error(nil)
	switch kind {
	case "a":
		var a mfa.Application
		if a, err = s.parseApplication(mfa.ApplicationID(rest), value); err == nil {
			c.apps[a.ID] = a
			c.appNames[fold(a.Name)] = a.ID
		}
	case "d":
		var r directoryRecord
		if r, err = s.parseDirectory(rest, value); err == nil {
			c.dirs[rest] = r
		}
	case "gw":
		var r gatewayRecord
		if r, err = s.parseGateway(rest, value); err == nil {
			c.gateways[rest] = r
		}
	case "v":
		var r recordingRecord
		if r, err = parseRecording(key, value); err == nil {
			c.recordings[r.Name] = r
		}
	case "t":
		var t mfa.APIToken
		if t, err = parseToken(rest, value); err == nil {
			c.tokens[t.ID] = t
			c.digests[t.Digest] = t.ID
		}
	case "r":
		var a mfa.Administrator
		if a, err = parseAdministrator(mfa.UserID(rest), value); err == nil {
			c.administrators[a.User] = a
		}
	case "n":
		var n mfa.NAS
		if n, err = parseNAS(key, value); err == nil {
			c.nas[nasID{n.Application, n.Address}] = n
		}
	case "m":
		var m mfa.Member
		if m, err = parseMember(rest, value); err == nil {
			c.members[rest] = m
		}
	case "w":
		var n mfa.Session
		if n, err = parseSession(rest, value); err == nil {
			c.sessions[n.ID] = n
		}
	case "we":
		var e mfa.SessionsEnd
		if e, err = parseSessionsEnd(rest, value); err == nil {
			c.ends[e.User] = e
		}
	case "p":
		var p policy.Settings
		if p, err = parseSettings(value); err != nil { // a rule that is there may refuse
			p.Rules = policy.Unreadable(err)
		}
		c.settings = p
	case "g":
		err = c.decodeGroup(key, value)
	}
	if err != nil {
		s.o.Log.Error("a record in the database cannot be used", "key", key, "error", err)
	}
	return err
}

// decodeGroup takes one record of what the group is agreed on.
func (c *catalog) decodeGroup(key string, value []byte) error {
	if key == keySchema {
		g, err := parseGroupSchema(value)
		if err == nil {
			c.schema = g
		}
		return err
	}
	r, err := parseEpoch(value)
	if err == nil {
		c.epoch = r
	}
	return err
}

// catalog returns what is decoded now; nil before the view is loaded.
func (s *Store) catalog() *catalog {
	if c := s.view.cat.Load(); c != nil {
		return c
	}
	return newCatalog()
}

// missing says why the catalog has nothing for key.
func (s *Store) missing(c *catalog, key, what string) error {
	if b, ok := c.broken[key]; ok {
		return b.err
	}
	if s.view.cat.Load() == nil {
		return errNotLoaded
	}
	return fmt.Errorf("%s: %w", what, mfa.ErrNotFound)
}

// settingsRecord is p/settings.
type settingsRecord struct {
	V int `json:"v"`
	policy.Settings
	List []policy.Rule `json:"rules,omitempty"`
}

// parseSettings reads the group's settings; what is not in the record has its default.
func parseSettings(b []byte) (policy.Settings, error) {
	r := settingsRecord{Settings: policy.Defaults()}
	if err := parse(keySettings, b, &r, &r.V); err != nil {
		return policy.Defaults(), err
	}
	var err error
	if r.Rules, err = policy.Compile(r.List); err != nil {
		return policy.Defaults(), fmt.Errorf("record %s: %w", keySettings, err)
	}
	return r.Settings, nil
}

// Settings returns the group's settings.
func (s *Store) Settings() policy.Settings { return s.catalog().settings }

// UpdateSettings runs change on a fresh copy of the settings, perhaps more than once, and
// stores what it made of it. The error wraps mfa.ErrInvalid if they are out of bounds.
func (s *Store) UpdateSettings(ctx context.Context, change func(*policy.Settings) error) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, keySettings)
		if err != nil {
			return err
		}
		p := policy.Defaults()
		if b != nil {
			if p, err = parseSettings(b); err != nil {
				return err
			}
		}
		if err := change(&p); err != nil {
			return err
		}
		if err := p.Check(); err != nil {
			return fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
		}
		t.put(keySettings, settingsRecord{schema, p, p.Rules.List()})
		return nil
	})
}
