package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/store"
)

const (
	schemaName    = "schema.json"   // what the group writes, beside the database: read before anything is opened
	currentWithin = 2 * time.Second // that the others have at a start to say that this program is too old
	currentAtMost = 5 * time.Second // the same while none of them has answered at all
	schemaEvery   = time.Second
)

// loadSchema reads what the group was last known to write.
func loadSchema(dataDir string) (g store.GroupSchema, err error) {
	path := filepath.Join(dataDir, schemaName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return store.GroupSchema{Schema: 1}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &g)
	}
	if err == nil && g.Schema < 1 {
		err = fmt.Errorf("it is damaged: schema %d", g.Schema)
	}
	if err != nil {
		return store.GroupSchema{}, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// fitsFolder refuses a data folder that is of a later program, before anything in it is
// opened.
func (s *server) fitsFolder() error {
	g, err := loadSchema(s.Config.DataDir)
	if err != nil {
		return err
	}
	if err := g.Check(store.Schema, s.Version); err != nil {
		return fmt.Errorf("%s was left as it is: %w", s.Config.DataDir, err)
	}
	return nil
}

// fitsGroup asks the other servers whether this program is too old for the group, before
// the database is opened. Who does not answer is heard later.
func (s *server) fitsGroup(ctx context.Context) error {
	if s.peers == nil {
		return nil
	}
	others := slices.DeleteFunc(slices.Clone(s.peers.members()), func(m mfa.Member) bool { return m.Name == s.Config.Name })
	err := outdated(ctx, others, func(ctx context.Context, m mfa.Member) error {
		err := s.peers.client.Call(ctx, m.Peer, http.MethodGet, peer.PathReport, nil, nil)
		if err != nil {
			return fmt.Errorf("server %s at %s says: %w", m.Name, m.Peer, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s was left as it is: %w", s.Config.DataDir, err)
	}
	return nil
}

// outdated asks others and returns the first error that is mfa.ErrOutdated. It waits
// currentWithin for all of them, and currentAtMost until one of them, busy, has answered.
func outdated(ctx context.Context, others []mfa.Member, ask func(context.Context, mfa.Member) error) error {
	ctx, cancel := context.WithTimeout(ctx, currentAtMost)
	defer cancel()
	answers := make(chan error, len(others))
	for _, m := range others {
		go func() { answers <- ask(ctx, m) }()
	}
	enough := time.NewTimer(currentWithin)
	defer enough.Stop()
	answered, late := false, false
	for range others {
		var err error
		select {
		case err = <-answers:
		case <-enough.C:
			if answered {
				return nil
			}
			late = true
			err = <-answers // at currentAtMost, when nobody answers
		}
		if errors.Is(err, mfa.ErrOutdated) {
			return err
		}
		answered = answered || err == nil
		if late && answered {
			return nil
		}
	}
	return nil
}

// groupSchema is what this server knows the group to write.
func (p *peering) groupSchema() store.GroupSchema {
	if st := p.records.Load(); st != nil {
		if g := st.GroupSchema(); g.Schema > 1 {
			return g
		}
	}
	g, _ := loadSchema(p.dir) // that it can be read was seen at the start
	return g
}

// fits is what peers of a version are told.
func (p *peering) fits(knows int, version string) error { return p.groupSchema().Check(knows, version) }

// hello is what this server tells of itself.
func (s *server) hello() peer.Hello { return peer.Hello{Version: s.Version, Schema: store.Schema} }

// keepSchema notes beside the database what the group writes, and ends this server if that
// is more than it knows, until ctx is done.
func (s *server) keepSchema(ctx context.Context) error {
	tick := time.NewTicker(schemaEvery)
	defer tick.Stop()
	had, err := loadSchema(s.Config.DataDir)
	if err != nil {
		return err
	}
	for {
		if g := s.store.GroupSchema(); g.Schema > had.Schema {
			if err := s.noteSchema(g); err != nil {
				s.own.Warn("the schema of the group's records could not be noted in the data folder; the next try is in a moment", "error", err)
			} else {
				had = g
			}
			if err := g.Check(store.Schema, s.Version); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *server) noteSchema(g store.GroupSchema) error {
	b, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(s.Config.DataDir, schemaName), append(b, '\n'))
}

// runSchema starts what looks after the schema of the group's records.
func (s *server) runSchema(services *stage) {
	services.run("schema", s.keepSchema)
	services.run("schema of the group", s.schemas().Run)
}

// fitsRecords refuses a database of a later program that nobody had told of before.
func (s *server) fitsRecords() error { return s.store.GroupSchema().Check(store.Schema, s.Version) }

// schemas raises the schema while this server is the master.
func (s *server) schemas() *group.Schemas {
	return &group.Schemas{Server: s.Config.Name, Knows: store.Schema, Store: schemaStore{s}, Peers: &s.heard, Leads: s.group.Cluster.Leads,
		Trail: s.recorder(), Now: s.Now, Log: s.log.Logger("group")}
}

// schemaStore is package store as group.Schemas wants it.
type schemaStore struct{ s *server }

func (a schemaStore) Members() []mfa.Member { return a.s.store.Members() }
func (a schemaStore) Schema() int           { return a.s.store.GroupSchema().Schema }

func (a schemaStore) Raise(ctx context.Context, to int, names []string) error {
	g := store.GroupSchema{Schema: to, Program: a.s.Version, By: a.s.Config.Name, Since: a.s.Now().UTC().Truncate(time.Second)}
	return a.s.store.RaiseSchema(ctx, g, names)
}
