package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// errUsed tells no more to who has only guessed an id.
var errUsed = fmt.Errorf("%w: this founding code is not known: it was used, or it has expired; make another with `countersign coordinator activation create --group NAME`", mfa.ErrInvalid)

// CreateFoundingCode makes a single-use code that founds a group of that name. A group that
// was founded but has never reported may be founded again.
func (s *Service) CreateFoundingCode(ctx context.Context, by, name string, life time.Duration) (text string, expires time.Time, err error) {
	if !group.ValidName(name) {
		return "", expires, fmt.Errorf("%w: group name %q: want 1 to 63 letters, digits, dots, hyphens and underscores", mfa.ErrInvalid, name)
	}
	if life <= 0 || life > group.MaxCodeLife {
		return "", expires, fmt.Errorf("%w: a code lives for at most %s", mfa.ErrInvalid, group.MaxCodeLife)
	}
	if _, _, err := s.foundable(ctx, name); err != nil {
		return "", expires, err
	}
	a, err := group.NewActivation()
	if err != nil {
		return "", expires, err
	}
	a.CA, a.Group, a.Role, a.Coordinators = sha256.Sum256(s.CA.Certificate().Raw), name, group.RoleFounder, s.addresses()
	expires = s.Now().Add(life).UTC().Truncate(time.Second)
	sealed, err := s.Ring.Seal("founding code", name, a.ID, a.Secret.Expose())
	if err != nil {
		return "", expires, err
	}
	b, err := json.Marshal(founding{schema, name, expires, by, sealed})
	if err != nil {
		return "", expires, err
	}
	key := prefixFound + a.ID
	_, ok, err := s.KV.Commit(ctx, map[string]int64{key: 0}, map[string][]byte{key: b}, nil)
	if err == nil && !ok {
		err = mfa.ErrConflict
	}
	if err != nil {
		return "", expires, fmt.Errorf("founding code: %w", err)
	}
	return a.String(), expires, s.record(ctx, by, "activation create", a.ID, "founds group "+name)
}

// foundable returns the record of a group that may be founded, and its revision (0: none).
func (s *Service) foundable(ctx context.Context, name string) (Group, int64, error) {
	g, rev, err := s.group(ctx, name)
	if err != nil {
		return g, 0, err
	}
	if rev != 0 && g.Epoch > 0 {
		return g, 0, fmt.Errorf("a group named %s uses this coordinator already: %w; add a server to it with `countersign group activation create` on one of its servers; if all of them are gone for good, run `countersign coordinator retire %s` first", name, mfa.ErrExists, name)
	}
	return g, rev, nil
}

// code is a founding code that r has proven to hold.
func (s *Service) code(ctx context.Context, r *group.Request) (c founding, a group.Activation, rev int64, err error) {
	if err := r.Check(); err != nil {
		return c, a, 0, err
	}
	c, rev, err = read(ctx, s.KV, prefixFound+r.Code, func(f *founding) int { return f.V })
	if err != nil {
		return c, a, 0, err
	}
	if rev == 0 {
		return c, a, 0, errUsed
	}
	if a.Secret, err = s.Ring.Open("founding code", c.Group, r.Code, c.Secret); err != nil {
		return c, a, 0, err
	}
	switch {
	case !r.Proven(a.Secret): // before all that tells something
		return c, a, 0, errUsed
	case s.Now().After(c.Expires):
		return c, a, 0, fmt.Errorf("%w: this founding code expired at %s; make another with `countersign coordinator activation create --group %s`", mfa.ErrInvalid, c.Expires.Format(time.RFC3339), c.Group)
	case r.Role != group.RoleFounder:
		return c, a, 0, fmt.Errorf("%w: this code founds a group, it admits no %s", mfa.ErrInvalid, r.Role)
	}
	return c, a, rev, nil
}

func (c founding) preview() group.Preview {
	return group.Preview{Group: c.Group, Role: group.RoleFounder, Expires: c.Expires, By: c.By}
}

// Founds reports whether there is a founding code of that id.
func (s *Service) Founds(ctx context.Context, id string) (bool, error) {
	_, rev, err := s.KV.Get(ctx, prefixFound+id)
	return rev != 0, err
}

// PreviewFounding says what a founding code founds.
func (s *Service) PreviewFounding(ctx context.Context, r group.Request) (group.Proven, error) {
	c, a, _, err := s.code(ctx, &r)
	if err != nil {
		return group.Proven{}, err
	}
	if _, _, err := s.foundable(ctx, c.Group); err != nil {
		return group.Proven{}, err
	}
	return group.Prove(a.Secret, &r, group.KindPreview, c.preview())
}

// Found makes the server of r the first one of the group that its code names, and issues
// its certificate; the server makes the group's keys itself. The code is used up.
func (s *Service) Found(ctx context.Context, r group.Request) (group.Proven, error) {
	c, a, rev, err := s.code(ctx, &r)
	if err != nil {
		return group.Proven{}, err
	}
	g, groupRev, err := s.foundable(ctx, c.Group)
	if err != nil {
		return group.Proven{}, err
	}
	now := s.Now().UTC().Truncate(time.Second)
	cert, hosts, err := s.issue(ctx, c.Group, r.Name, []string{r.Peer, r.HTTPS, r.Coordinator}, r.PublicKey)
	if err != nil {
		return group.Proven{}, err
	}
	g.V, g.Name, g.Created, g.By = schema, c.Group, now, c.By // Highest stays: what was granted is not granted again
	m := Server{V: schema, Group: c.Group, Name: r.Name, Role: mfa.RoleServer, Key: pki.KeyDigest(r.PublicKey), Hosts: hosts, Addresses: []string{r.Peer}, Added: now, By: "founding code " + r.Code}
	ifRev := map[string]int64{prefixFound + r.Code: rev, groupKey(c.Group): groupRev}
	puts, deletes := map[string][]byte{}, []string{prefixFound + r.Code}
	before, err := s.Servers(ctx, c.Group)
	if err != nil {
		return group.Proven{}, err
	}
	for _, old := range before { // of a founding that came to nothing
		if old.Name != r.Name {
			deletes = append(deletes, serverKey(old.Group, old.Name))
		}
	}
	for key, v := range map[string]any{groupKey(c.Group): g, serverKey(c.Group, r.Name): m} {
		if puts[key], err = json.Marshal(v); err != nil {
			return group.Proven{}, err
		}
	}
	_, ok, err := s.KV.Commit(ctx, ifRev, puts, deletes)
	if err == nil && !ok {
		err = errUsed
	}
	if err != nil {
		return group.Proven{}, err
	}
	s.Log.Info("a group was founded", "group", c.Group, "server", r.Name, "peer", r.Peer, "code", r.Code, "code_by", c.By)
	answer, err := group.Prove(a.Secret, &r, group.KindGrant, group.Grant{Preview: c.preview(), Certificate: cert, Coordinators: s.addresses()})
	return answer, errors.Join(err, s.record(ctx, c.By, "group found", c.Group, "first server "+r.Name+", by founding code "+r.Code))
}

// AnnounceJoining tells the coordinator of a joining code that server from has made: the
// digest of its id, and when it expires. Requests with that code are then passed on to the
// group's master.
func (s *Service) AnnounceJoining(ctx context.Context, from Server, digest string, expires time.Time) error {
	if b, err := hex.DecodeString(digest); err != nil || len(b) != sha256.Size {
		return fmt.Errorf("%w: not the digest of an activation code", mfa.ErrInvalid)
	}
	if expires.After(s.Now().Add(group.MaxCodeLife + time.Hour)) {
		return fmt.Errorf("%w: a code lives for at most %s", mfa.ErrInvalid, group.MaxCodeLife)
	}
	b, err := json.Marshal(joining{schema, from.Group, expires.UTC(), from.Name})
	if err != nil {
		return err
	}
	_, _, err = s.KV.Commit(ctx, nil, map[string][]byte{prefixJoin + digest: b}, nil)
	return err
}

// GroupOf returns the group whose server has made the joining code with that id.
func (s *Service) GroupOf(ctx context.Context, id string) (string, error) {
	j, rev, err := read(ctx, s.KV, prefixJoin+group.CodeDigest(id), func(j *joining) int { return j.V })
	if err != nil {
		return "", err
	}
	if rev == 0 || s.Now().After(j.Expires.Add(time.Minute)) { // the master says which
		return "", fmt.Errorf("%w: this activation code is not known here: it has expired, or it is of a group that does not use this coordinator; make another with `countersign group activation create`", mfa.ErrInvalid)
	}
	return j.Group, nil
}

// Sweep removes codes that have expired a day ago.
func (s *Service) Sweep(ctx context.Context) error {
	var old []string
	for _, prefix := range []string{prefixFound, prefixJoin, prefixCode} {
		_, err := s.KV.Scan(ctx, prefix, func(key string, value []byte, _ int64) bool {
			var c struct {
				Expires time.Time `json:"expires"`
			}
			if json.Unmarshal(value, &c) == nil && s.Now().After(c.Expires.Add(24*time.Hour)) {
				old = append(old, key)
			}
			return len(old) < 100
		})
		if err != nil {
			return err
		}
	}
	if len(old) == 0 {
		return nil
	}
	_, _, err := s.KV.Commit(ctx, nil, nil, old)
	return err
}
