package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/parking"
)

// OldCopy is a copy of the database of an epoch that ended, opened to be read. It stays as
// it is; the revisions up to the fork are those that the group's database has too.
type OldCopy interface {
	ClusterID() string
	Revision() int64
	// Scan calls yield for each key under prefix, in order, until it returns false.
	Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) error
	// At returns what key held at a revision; rev 0: nothing. known is false if the history
	// does not reach back so far.
	At(ctx context.Context, key string, at int64) (value []byte, rev int64, known bool, err error)
	// Created returns the revision at which key, as it is now, came to be; 0: it is absent.
	Created(ctx context.Context, key string) (rev int64, err error)
}

// ancestry returns the ancestors of the copy's epoch, oldest first.
func ancestry(ctx context.Context, old OldCopy) ([]parking.Ancestor, error) {
	b, rev, _, err := old.At(ctx, keyEpoch, old.Revision())
	if err != nil || rev == 0 {
		return nil, err
	}
	r, err := parseEpoch(b)
	return r.Ancestors(), err
}

// oldReader opens the records of an old copy, whose keys may have been rotated since the
// fork, and those of the group's database.
type oldReader struct {
	old   OldCopy
	rings []*Store // that can do nothing but open records
}

// readOld returns a reader of old. The copy's keyset is wrapped to this server.
func (s *Store) readOld(ctx context.Context, old OldCopy) (*oldReader, error) {
	r := &oldReader{old: old, rings: []*Store{s}}
	key := prefixKeyset + s.o.Server
	b, rev, _, err := old.At(ctx, key, old.Revision())
	if err != nil || rev == 0 {
		return r, err // a copy that holds none opens with the keys of now, or not
	}
	k, err := unwrap(key, b, s.o.Identity)
	if err != nil {
		return nil, fmt.Errorf("the keyset of the parked copy: %w", err)
	}
	if !s.ring.Keyset().Includes(k) {
		r.rings = append(r.rings, &Store{ring: keyring.NewRing(k), o: s.o})
	}
	return r, nil
}

// object opens the record of a key; the zero Object of none.
func (r *oldReader) object(key string, b []byte) (o parking.Object, err error) {
	if b == nil {
		return o, nil
	}
	for _, s := range r.rings {
		if o, err = s.object(key, b); !errors.Is(err, keyring.ErrUnknownKey) {
			break
		}
	}
	return o, err
}

// kindOf returns what the record of a key is about, and what names it; "": nothing that is
// told of.
func kindOf(key string) (kind parking.Kind, object string) {
	if key == keySettings {
		return parking.Settings, "group"
	}
	for _, k := range []struct {
		prefix string
		kind   parking.Kind
	}{
		{prefixUser, parking.User}, {prefixCred, parking.Credential}, {prefixApp, parking.Application},
		{prefixDirectory, parking.Directory}, {prefixToken, parking.Token}, {prefixMember, parking.Server},
		{prefixAdministrator, parking.Administrator}, {prefixGateway, parking.Gateway},
	} {
		if rest, ok := strings.CutPrefix(key, k.prefix); ok {
			return k.kind, rest
		}
	}
	return "", ""
}

// object opens the record of a key of one of those kinds.
func (s *Store) object(key string, b []byte) (o parking.Object, err error) {
	kind, rest := kindOf(key)
	switch kind {
	case parking.User:
		var r userRecord
		if r, err = parseUser(key, b); err == nil {
			var u mfa.User
			u, err = r.open(s.ring, mfa.UserID(rest))
			o.User = &u
		}
	case parking.Credential:
		user, id, _ := strings.Cut(rest, "/")
		var r credRecord
		if r, err = parseCred(key, b); err == nil {
			var c mfa.Credential
			c, err = r.open(s.ring, mfa.UserID(user), mfa.CredentialID(id))
			o.Credential = &c
		}
	case parking.Application:
		var a mfa.Application
		a, err = s.parseApplication(mfa.ApplicationID(rest), b)
		o.Application = &a
	case parking.Directory:
		var r directoryRecord
		r, err = s.parseDirectory(rest, b)
		d := r.directory(rest)
		o.Directory = &d
	case parking.Gateway:
		var r gatewayRecord
		r, err = s.parseGateway(rest, b)
		o.Gateway = &r.opened
	case parking.Token:
		var t mfa.APIToken
		t, err = parseToken(rest, b)
		o.Token = &t
	case parking.Administrator:
		var a mfa.Administrator
		a, err = parseAdministrator(mfa.UserID(rest), b)
		o.Administrator = &a
	case parking.Settings:
		p, perr := parseSettings(b)
		o.Settings, err = &p, perr
	case parking.Server:
		var m mfa.Member
		m, err = parseMember(rest, b)
		o.Server = &m
	default:
		err = fmt.Errorf("record %s is of no kind that is told of: %w", key, mfa.ErrInvalid)
	}
	if err != nil {
		return parking.Object{}, err
	}
	return o, nil
}

// opened returns the record of o as it is kept in the list of changes, whose records are
// sealed as a whole: its own sealed part is open.
func (s *Store) opened(key string, o parking.Object) (json.RawMessage, error) {
	var r any
	var err error
	switch {
	case o.None():
		return nil, nil
	case o.User != nil:
		r, err = s.sealUser(*o.User)
	case o.Credential != nil:
		r, err = sealCred(s.ring, *o.Credential)
	case o.Application != nil:
		r, err = s.sealApplication(*o.Application)
	case o.Directory != nil:
		r, err = s.sealDirectory(*o.Directory)
	case o.Gateway != nil:
		r, err = s.sealGateway(*o.Gateway)
	case o.Token != nil:
		r = tokenRecordOf(*o.Token)
	case o.Administrator != nil:
		r = administratorRecordOf(*o.Administrator)
	case o.Settings != nil:
		r = settingsRecord{schema, *o.Settings, o.Settings.Rules.List()}
	case o.Server != nil:
		r = memberRecord{schema, *o.Server}
	}
	if err != nil {
		return nil, err
	}
	return s.turn(key, format(r), func(kind, owner string, b []byte) ([]byte, error) {
		plain, err := s.ring.Open(kind, owner, key, b)
		return plain.Expose(), err
	})
}

// closed is the way back: a record as it stands in the database.
func (s *Store) closed(key string, b json.RawMessage) ([]byte, error) {
	if len(b) == 0 || string(b) == "null" {
		return nil, nil
	}
	return s.turn(key, b, func(kind, owner string, b []byte) ([]byte, error) { return s.ring.Seal(kind, owner, key, b) })
}

// turn replaces the sealed part of a record, if its kind has one.
func (s *Store) turn(key string, b []byte, part func(kind, owner string, b []byte) ([]byte, error)) ([]byte, error) {
	for _, k := range sealedKinds {
		rest, ok := strings.CutPrefix(key, k.prefix)
		if !ok {
			continue
		}
		fields := map[string]json.RawMessage{}
		var r sealedPart
		if err := errors.Join(json.Unmarshal(b, &fields), json.Unmarshal(b, &r)); err != nil {
			return nil, err
		}
		if k.prefix == prefixCred {
			rest, _, _ = strings.Cut(rest, "/")
		}
		next, err := part(k.kind, rest, r.Sealed)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", key, err)
		}
		fields["sealed"] = format(next)
		return format(fields), nil
	}
	return b, nil
}
