package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// applicationRecord is a/ID. Sealed holds the secret.
type applicationRecord struct {
	V             int                      `json:"v"`
	Name          string                   `json:"name"`
	Kind          string                   `json:"kind"`
	Addresses     []netip.Prefix           `json:"addresses,omitempty"`
	FirstFactor   string                   `json:"first_factor,omitempty"`
	Methods       []mfa.MethodID           `json:"methods,omitempty"`
	Passcode      mfa.Passcode             `json:"passcode,omitempty"`
	Waiting       mfa.Waiting              `json:"waiting,omitempty"`
	UnknownPass   bool                     `json:"unknown_users_pass,omitempty"`
	UnknownUntil  time.Time                `json:"unknown_users_until,omitzero"`
	DegradedAllow bool                     `json:"degraded_allow,omitempty"`
	Exempt        []netip.Prefix           `json:"exempt,omitempty"`
	MA            mfa.MessageAuthenticator `json:"message_authenticator,omitempty"`
	Rate          int                      `json:"rate,omitempty"`
	Retries       int                      `json:"retries,omitempty"`
	Reply         []mfa.ReplyRule          `json:"reply,omitempty"`
	Callback      *callbackRecord          `json:"callback,omitempty"`
	Disabled      bool                     `json:"disabled,omitempty"`
	Created       time.Time                `json:"created,omitzero"`
	Changed       time.Time                `json:"changed,omitzero"`
	Sealed        []byte                   `json:"sealed"`
}

// callbackRecord is where an application is told what became of a sign-in.
type callbackRecord struct {
	URL      string         `json:"url"`
	CAs      string         `json:"ca_pem,omitempty"`
	Networks []netip.Prefix `json:"networks,omitempty"`
}

// callbackRecordOf returns nil for none.
func callbackRecordOf(c mfa.Callback) *callbackRecord {
	if c.URL == "" {
		return nil
	}
	return &callbackRecord{c.URL, c.CAs, c.Networks}
}

func (r *callbackRecord) callback() mfa.Callback {
	if r == nil {
		return mfa.Callback{}
	}
	return mfa.Callback{URL: r.URL, CAs: r.CAs, Networks: r.Networks}
}

func appKey(id mfa.ApplicationID) string { return prefixApp + string(id) }

func (s *Store) sealApplication(a mfa.Application) (applicationRecord, error) {
	sealed, err := s.ring.Seal("application", string(a.ID), appKey(a.ID), a.Secret.Expose())
	return applicationRecord{V: schema, Name: a.Name, Kind: a.Kind, Addresses: a.Addresses, FirstFactor: a.FirstFactor, Methods: a.Methods,
		Passcode: a.Passcode, Waiting: a.Waiting, UnknownPass: a.UnknownPass, UnknownUntil: a.UnknownUntil.UTC(), DegradedAllow: a.DegradedAllow, Exempt: a.Exempt, MA: a.MA, Rate: a.Rate,
		Retries: a.Retries, Reply: a.Reply, Callback: callbackRecordOf(a.Callback), Disabled: a.Disabled, Created: a.Created.UTC(), Changed: a.Changed.UTC(), Sealed: sealed}, err
}

func (s *Store) parseApplication(id mfa.ApplicationID, b []byte) (mfa.Application, error) {
	var r applicationRecord
	if err := parse(appKey(id), b, &r, &r.V); err != nil {
		return mfa.Application{}, err
	}
	secret, err := s.ring.Open("application", string(id), appKey(id), r.Sealed)
	if err != nil {
		return mfa.Application{}, fmt.Errorf("record %s: %w", appKey(id), err)
	}
	return mfa.Application{ID: id, Name: r.Name, Kind: r.Kind, Addresses: r.Addresses, Secret: secret, FirstFactor: r.FirstFactor,
		Methods: r.Methods, Passcode: r.Passcode, Waiting: r.Waiting, UnknownPass: r.UnknownPass, UnknownUntil: r.UnknownUntil, DegradedAllow: r.DegradedAllow, Exempt: r.Exempt, MA: r.MA,
		Rate: r.Rate, Retries: r.Retries, Reply: r.Reply, Callback: r.Callback.callback(), Disabled: r.Disabled, Created: r.Created, Changed: r.Changed}, nil
}

// Application returns the application, or mfa.ErrNotFound.
func (s *Store) Application(id mfa.ApplicationID) (mfa.Application, error) {
	c := s.catalog()
	if a, ok := c.apps[id]; ok {
		return a, nil
	}
	return mfa.Application{}, s.missing(c, appKey(id), fmt.Sprintf("application %s", id))
}

// ApplicationByName returns the application of that name, in any case, or mfa.ErrNotFound.
func (s *Store) ApplicationByName(name string) (mfa.Application, error) {
	c := s.catalog()
	if id, ok := c.appNames[fold(name)]; ok {
		return c.apps[id], nil
	}
	return mfa.Application{}, s.missing(c, "", fmt.Sprintf("application %q", name))
}

// Applications returns all applications in the order of their names.
func (s *Store) Applications() []mfa.Application {
	c := s.catalog()
	list := make([]mfa.Application, 0, len(c.apps))
	for _, a := range c.apps {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b mfa.Application) int { return strings.Compare(fold(a.Name), fold(b.Name)) })
	return list
}

// ApplicationsGeneration returns a number that changes whenever Applications would return
// something else. It costs one atomic load.
func (s *Store) ApplicationsGeneration() uint64 { return s.catalog().appsGen }

func (s *Store) nameKey(prefix, name string) string {
	d := s.ring.DigestOf("name "+prefix, fold(name))
	return prefix + idEncoding.EncodeToString(d[:16])
}

// claimName claims a name within prefix for id; mfa.ErrExists if it is somebody else's.
func (t *tx) claimName(ctx context.Context, prefix, name, id string) error {
	if name == "" {
		return fmt.Errorf("a name is needed: %w", mfa.ErrInvalid)
	}
	key := t.s.nameKey(prefix, name)
	b, err := t.get(ctx, key)
	if err != nil {
		return err
	}
	if b != nil {
		var c claim
		if err := parse(key, b, &c, &c.V); err != nil {
			return err
		}
		if c.ID != id {
			return fmt.Errorf("name %q: %w", name, mfa.ErrExists)
		}
	}
	t.put(key, claim{schema, id})
	return nil
}

// CreateApplication stores a new application. It assigns what is empty of id and times.
// The error wraps mfa.ErrExists if the name is taken, in any case, and mfa.ErrInvalid if
// the directory that it names as first factor does not exist.
func (s *Store) CreateApplication(ctx context.Context, a mfa.Application) (mfa.Application, error) {
	if a.ID == "" {
		a.ID = mfa.ApplicationID(mfa.NewID(s.o.Random))
	}
	if _, ok := parseID(a.ID); !ok {
		return mfa.Application{}, badID("application", string(a.ID))
	}
	if a.Created.IsZero() {
		a.Created = s.now()
	}
	if a.Changed.IsZero() {
		a.Changed = a.Created
	}
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		if err := t.claimName(ctx, prefixAppName, a.Name, string(a.ID)); err != nil {
			return err
		}
		if b, err := t.get(ctx, appKey(a.ID)); err != nil {
			return err
		} else if b != nil {
			return fmt.Errorf("application id %s: %w", a.ID, mfa.ErrExists)
		}
		if err := t.refer(ctx, firstFactorDirectory(a)); err != nil {
			return err
		}
		r, err := s.sealApplication(a)
		t.put(appKey(a.ID), r)
		return err
	})
	if err != nil {
		return mfa.Application{}, fmt.Errorf("create application %q: %w", a.Name, err)
	}
	return a, nil
}

// firstFactorDirectory returns the directory that a names, or "".
func firstFactorDirectory(a mfa.Application) string {
	if a.FirstFactor == mfa.FirstFactorNone {
		return ""
	}
	return a.FirstFactor
}

// application reads a/ID, which must exist.
func (t *tx) application(ctx context.Context, id mfa.ApplicationID) (mfa.Application, error) {
	b, err := t.get(ctx, appKey(id))
	if err != nil {
		return mfa.Application{}, err
	}
	if b == nil {
		return mfa.Application{}, mfa.ErrNotFound
	}
	return t.s.parseApplication(id, b)
}

// UpdateApplication runs change on a fresh copy of the application, perhaps more than
// once, and stores what it made of it. The id stays.
func (s *Store) UpdateApplication(ctx context.Context, id mfa.ApplicationID, change func(*mfa.Application) error) (mfa.Application, error) {
	var a mfa.Application
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		old, err := t.application(ctx, id)
		if err != nil {
			return err
		}
		a = old
		a.Addresses, a.Methods = slices.Clone(old.Addresses), slices.Clone(old.Methods)
		a.Exempt, a.Reply = slices.Clone(old.Exempt), slices.Clone(old.Reply)
		if err := change(&a); err != nil {
			return err
		}
		a.ID, a.Created, a.Changed = id, old.Created, s.now()
		if err := t.claimName(ctx, prefixAppName, a.Name, string(id)); err != nil {
			return err
		}
		if fold(a.Name) != fold(old.Name) {
			t.del(s.nameKey(prefixAppName, old.Name))
		}
		if a.FirstFactor != old.FirstFactor {
			if err := t.refer(ctx, firstFactorDirectory(a)); err != nil {
				return err
			}
		}
		r, err := s.sealApplication(a)
		t.put(appKey(id), r)
		return err
	})
	if err != nil {
		return mfa.Application{}, fmt.Errorf("change application %s: %w", id, err)
	}
	return a, nil
}

// RemoveApplication deletes the application and what was learnt about its clients.
func (s *Store) RemoveApplication(ctx context.Context, id mfa.ApplicationID) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		a, err := t.application(ctx, id)
		if err != nil {
			return err
		}
		t.del(appKey(id), s.nameKey(prefixAppName, a.Name))
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove application %s: %w", id, err)
	}
	return s.forgetNASes(ctx, id)
}
