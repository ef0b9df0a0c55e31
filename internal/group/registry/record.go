package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

const (
	schema       = 1
	keyCA        = "ca"
	prefixGroup  = "g/"
	prefixServer = "s/"
	prefixFound  = "f/"
	prefixJoin   = "j/"
	prefixOwn    = "c/"
	prefixCode   = "n/"
	usedCode     = "used/" // n/used/ID: one that was, until it is swept away
)

// Group is what a coordinator knows of a group.
type Group struct {
	V         int       `json:"v"`
	Name      string    `json:"name"`
	Created   time.Time `json:"created"`
	By        string    `json:"by"` // who made its founding code
	Epoch     uint64    `json:"epoch"`
	Highest   uint64    `json:"highest"` // epoch heard, granted or skipped; at least Epoch
	Master    string    `json:"master,omitempty"`
	Since     time.Time `json:"since,omitzero"` // of Master, as first heard here
	DecidedBy string    `json:"decided_by,omitempty"`
	Granted   *Grant    `json:"granted,omitempty"` // the last one
}

// Server is a server of a group.
type Server struct {
	V         int       `json:"v"`
	Group     string    `json:"group"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Key       string    `json:"key"`             // pki.KeyDigest of its certificate's key
	Hosts     []string  `json:"hosts,omitempty"` // that its certificate holds, but for loopback
	Addresses []string  `json:"addresses,omitempty"`
	Added     time.Time `json:"added"`
	By        string    `json:"by"`
}

// founding is f/ID.
type founding struct {
	V       int       `json:"v"`
	Group   string    `json:"group"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by"`
	Secret  []byte    `json:"secret"` // sealed
}

// joining is j/DIGEST.
type joining struct {
	V       int       `json:"v"`
	Group   string    `json:"group"`
	Expires time.Time `json:"expires"`
	Server  string    `json:"server"` // that made it
}

func groupKey(name string) string         { return prefixGroup + name }
func serverKey(group, name string) string { return prefixServer + group + "/" + name }

// read reads a record; revision 0 if it is not there.
func read[T any](ctx context.Context, kv KV, key string, version func(*T) int) (v T, rev int64, err error) {
	b, rev, err := kv.Get(ctx, key)
	if err != nil || rev == 0 {
		return v, rev, err
	}
	if v, err = parse(key, b, version); err != nil {
		return v, 0, err
	}
	return v, rev, nil
}

func parse[T any](key string, b []byte, version func(*T) int) (v T, err error) {
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("record %s is damaged: %w", key, err)
	}
	if got := version(&v); got != schema {
		return v, fmt.Errorf("record %s has version %d, this program knows %d: run the version that wrote it", key, got, schema)
	}
	return v, nil
}

func (g *Group) version() int  { return g.V }
func (m *Server) version() int { return m.V }

func (s *Service) group(ctx context.Context, name string) (Group, int64, error) {
	return read(ctx, s.KV, groupKey(name), (*Group).version)
}

func (s *Service) server(ctx context.Context, group, name string) (Server, int64, error) {
	return read(ctx, s.KV, serverKey(group, name), (*Server).version)
}

// errUnchanged ends an update that has nothing to write.
var errUnchanged = errors.New("unchanged")

// updateGroup changes a group's record by compare-and-swap: change sees the newest one, and
// nothing comes between that and the write. It returns the record as it stands.
func (s *Service) updateGroup(ctx context.Context, name string, change func(*Group) error) (Group, error) {
	for {
		g, rev, err := s.group(ctx, name)
		if err != nil {
			return Group{}, err
		}
		if rev == 0 {
			return Group{}, fmt.Errorf("no group named %s uses this coordinator: %w", name, mfa.ErrNotFound)
		}
		if err := change(&g); errors.Is(err, errUnchanged) {
			return g, nil
		} else if err != nil {
			return Group{}, err
		}
		g.Highest = max(g.Highest, g.Epoch)
		b, err := json.Marshal(g)
		if err != nil {
			return Group{}, err
		}
		_, ok, err := s.KV.Commit(ctx, map[string]int64{groupKey(name): rev}, map[string][]byte{groupKey(name): b}, nil)
		if err != nil || ok {
			return g, err
		}
	}
}

// scan reads all records under prefix.
func scan[T any](ctx context.Context, kv KV, prefix string, version func(*T) int) (all []T, err error) {
	var bad error
	_, err = kv.Scan(ctx, prefix, func(key string, value []byte, _ int64) bool {
		var v T
		if v, bad = parse(key, value, version); bad == nil {
			all = append(all, v)
		}
		return bad == nil
	})
	return all, errors.Join(err, bad)
}

// Groups returns the records of all groups.
func (s *Service) Groups(ctx context.Context) ([]Group, error) {
	return scan(ctx, s.KV, prefixGroup, (*Group).version)
}

// LocalGroups is Groups by the local copy kv, which needs no majority.
func (s *Service) LocalGroups(ctx context.Context, kv WatchKV) (all []Group, err error) {
	var bad error
	err = kv.Watch(ctx, prefixGroup, func(key string, value []byte, rev int64) bool {
		if key != "" {
			var g Group
			if g, bad = parse(key, value, (*Group).version); bad == nil {
				all = append(all, g)
			}
		}
		return bad == nil && (key != "" || rev == 0)
	})
	return all, errors.Join(err, bad)
}

// Servers returns the records of a group's servers; of all groups if group is "".
func (s *Service) Servers(ctx context.Context, group string) ([]Server, error) {
	prefix := prefixServer
	if group != "" {
		prefix += group + "/"
	}
	return scan(ctx, s.KV, prefix, (*Server).version)
}

// ReadCA is EnsureCA by the local copy, which needs no majority. The error wraps
// mfa.ErrNotFound if there is none in it.
func ReadCA(ctx context.Context, kv WatchKV, ring *keyring.Ring) (pki.CA, error) {
	var sealed []byte
	err := kv.Watch(ctx, keyCA, func(key string, value []byte, rev int64) bool {
		if key == keyCA {
			sealed = slices.Clone(value)
		}
		return key != "" || rev == 0
	})
	if err != nil {
		return pki.CA{}, err
	}
	if sealed == nil {
		return pki.CA{}, fmt.Errorf("the coordinator's CA: %w", mfa.ErrNotFound)
	}
	return openCA(ring, sealed)
}

func openCA(ring *keyring.Ring, sealed []byte) (pki.CA, error) {
	text, err := ring.Open(keyCA, "", "", sealed)
	if err != nil {
		return pki.CA{}, fmt.Errorf("the coordinator's CA: %w", err)
	}
	return pki.ParseCA(text)
}

// EnsureCA returns the authority of the coordinators called name, and makes it if there is none.
func EnsureCA(ctx context.Context, kv KV, ring *keyring.Ring, name string, now time.Time) (pki.CA, error) {
	for {
		b, rev, err := kv.Get(ctx, keyCA)
		if err != nil {
			return pki.CA{}, err
		}
		if rev != 0 {
			return openCA(ring, b)
		}
		ca, err := pki.NewCA(name, now)
		if err != nil {
			return pki.CA{}, err
		}
		text, err := ca.Marshal()
		if err != nil {
			return pki.CA{}, err
		}
		sealed, err := ring.Seal(keyCA, "", "", text.Expose())
		if err != nil {
			return pki.CA{}, err
		}
		if _, ok, err := kv.Commit(ctx, map[string]int64{keyCA: 0}, map[string][]byte{keyCA: sealed}, nil); err != nil || ok {
			return ca, err
		}
	}
}

func (s *Service) record(ctx context.Context, by, verb, object, detail string) error {
	act := mfa.Act{Time: s.Now(), Server: s.Name, By: by, Verb: verb, Object: object, Detail: detail}
	if err := s.Trail.Append(context.WithoutCancel(ctx), mfa.Record{Act: &act}); err != nil {
		return fmt.Errorf("%s %s was done, but could not be recorded in the trail: %w", verb, object, err)
	}
	return nil
}
