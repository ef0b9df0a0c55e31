package group

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// schemaEvery is how often the master looks whether all servers know a later schema.
const schemaEvery = time.Second

// SchemaStore is what raising the schema needs of the database. Raise is refused unless
// names are all servers on record, and their records say that they know it.
type SchemaStore interface {
	Members() []mfa.Member
	Schema() int // that the group writes
	Raise(ctx context.Context, to int, names []string) error
}

// Schemas raises the schema of the group's records once every server knows the next one.
// All fields must be set.
type Schemas struct {
	Server string // this server's name
	Knows  int    // newest schema that this program knows
	Store  SchemaStore
	Peers  Peers
	Leads  func() bool // this server is the master
	Trail  Recorder
	Now    func() time.Time
	Log    *slog.Logger
}

// Run does so while this server is the master, until ctx is done.
func (s *Schemas) Run(ctx context.Context) error {
	tick := time.NewTicker(schemaEvery)
	defer tick.Stop()
	last := ""
	for {
		if s.Leads() {
			if why := s.step(ctx); why != last && ctx.Err() == nil {
				last = why
				if why != "" {
					s.Log.Info("the group goes on writing records that its oldest server knows", "schema", s.Store.Schema(), "this_server_knows", s.Knows, "waits_for", why)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// step raises the schema if that can be, and says what it waits for otherwise.
func (s *Schemas) step(ctx context.Context) (why string) {
	before := s.Store.Schema()
	if s.Knows <= before {
		return ""
	}
	to, names, waits := s.next()
	if to <= before {
		return strings.Join(waits, "; ")
	}
	if err := s.Store.Raise(ctx, to, names); err != nil {
		return err.Error()
	}
	s.Log.Info("every server knows a later schema, and the group writes it from now on: an older program cannot come back", "schema", to, "before", before)
	act := mfa.Act{Time: s.Now(), Server: s.Server, By: "group", Verb: "schema raise", Object: fmt.Sprint(to), Detail: "known to " + strings.Join(names, ", ")}
	if err := s.Trail.Append(context.WithoutCancel(ctx), mfa.Record{Act: &act}); err != nil {
		return fmt.Sprintf("schema %d is written, but that could not be recorded in the trail: %v", to, err)
	}
	return ""
}

// next returns the newest schema that all servers know, who they are, and which of them
// this server's own has to wait for. A server that does not answer may be of any version.
func (s *Schemas) next() (to int, names, waits []string) {
	to = s.Knows
	for _, m := range s.Store.Members() {
		names = append(names, m.Name)
		knows, version := max(m.Schema, 1), m.Version
		if m.Name != s.Server {
			r, ok := s.Peers.Heard(m.Name)
			if !ok {
				to = 0
				waits = append(waits, fmt.Sprintf("server %s does not answer", m.Name))
				continue
			}
			knows, version = min(knows, max(r.Schema, 1)), r.Version
		}
		if knows < s.Knows {
			waits = append(waits, fmt.Sprintf("server %s, version %s, knows schemas up to %d", m.Name, version, knows))
		}
		to = min(to, knows)
	}
	slices.Sort(waits)
	return to, names, waits
}
