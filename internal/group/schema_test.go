package group

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

type schemaStore struct {
	members []mfa.Member
	schema  int
	raised  []string
}

func (s *schemaStore) Members() []mfa.Member { return s.members }
func (s *schemaStore) Schema() int           { return s.schema }
func (s *schemaStore) Raise(_ context.Context, to int, names []string) error {
	s.schema, s.raised = to, names
	return nil
}

type schemaPeers map[string]Report

func (p schemaPeers) Heard(name string) (Report, bool) { r, ok := p[name]; return r, ok }

type acts struct{ all []mfa.Record }

func (a *acts) Append(_ context.Context, r ...mfa.Record) error {
	a.all = append(a.all, r...)
	return nil
}

// The schema rises when every server answers and knows it, by its record and by what it says.
func TestSchemas(t *testing.T) {
	two := func(name string, schema int) mfa.Member { return mfa.Member{Name: name, Schema: schema} }
	for _, c := range []struct {
		name    string
		knows   int
		members []mfa.Member
		heard   schemaPeers
		want    int
		waits   string
	}{
		{"alone", 2, nil, nil, 2, ""},
		{"alone on record", 2, []mfa.Member{two("n1", 2)}, nil, 2, ""},
		{"nothing new", 1, []mfa.Member{two("n1", 1), two("n2", 1)}, schemaPeers{"n2": {Schema: 1}}, 1, ""},
		{"nothing new, and the other is away", 1, []mfa.Member{two("n1", 1), two("n2", 1)}, nil, 1, ""},
		{"the other is old", 2, []mfa.Member{two("n1", 2), two("n2", 1)}, schemaPeers{"n2": {Schema: 1, Version: "v1"}}, 1, "server n2, version v1, knows schemas up to 1"},
		{"the other never told", 2, []mfa.Member{two("n1", 2), two("n2", 0)}, schemaPeers{"n2": {}}, 1, "n2"},
		{"the other is away", 2, []mfa.Member{two("n1", 2), two("n2", 2)}, nil, 1, "server n2 does not answer"},
		{"the other went back, its record is old", 2, []mfa.Member{two("n1", 2), two("n2", 2)}, schemaPeers{"n2": {Schema: 1}}, 1, "n2"},
		{"the other is new, its record is old", 2, []mfa.Member{two("n1", 2), two("n2", 1)}, schemaPeers{"n2": {Schema: 2}}, 1, "n2"},
		{"all new", 2, []mfa.Member{two("n1", 2), two("n2", 2)}, schemaPeers{"n2": {Schema: 2}}, 2, ""},
		{"the others are newer", 2, []mfa.Member{two("n1", 2), two("n2", 3)}, schemaPeers{"n2": {Schema: 3}}, 2, ""},
	} {
		st, trail := &schemaStore{members: c.members, schema: 1}, &acts{}
		s := &Schemas{Server: "n1", Knows: c.knows, Store: st, Peers: c.heard, Trail: trail, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		why := s.step(t.Context())
		if st.schema != c.want || !strings.Contains(why, c.waits) || (why == "") != (c.waits == "") {
			t.Errorf("%s: schema %d, waits for %q; want %d", c.name, st.schema, why, c.want)
		}
		if raised := st.schema > 1; raised != (len(trail.all) == 1) || raised && !slices.Equal(st.raised, onRecord(c.members)) {
			t.Errorf("%s: raised for %v, %d records in the trail", c.name, st.raised, len(trail.all))
		}
	}
}

func onRecord(members []mfa.Member) (all []string) {
	for _, m := range members {
		all = append(all, m.Name)
	}
	return all
}
