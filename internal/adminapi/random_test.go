package adminapi

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/admin"
)

// TestOperationsAtRandom asks for every operation as everybody who may, with what its description
// allows, and a little beside it: FuzzOperations mutates texts, and rarely gets as far as a use case.
// OPERATIONS_ROUNDS has it do so more often.
func TestOperationsAtRandom(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("OPERATIONS_ROUNDS"))
	outside := newOutsider(t, Document)
	callers := 4 + len(admin.Scopes())
	for round := range uint64(max(rounds, 1)) {
		g := &guess{Rand: rand.New(rand.NewPCG(round, 7))} //nolint:gosec // a test
		for who := range callers {
			r := populated(t)
			g.schemas = r.api.huma.OpenAPI().Components.Schemas
			caller := r.somebody(t, uint8(who))
			ops := r.operations()
			names := slices.Sorted(maps.Keys(ops))
			g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			for _, name := range names {
				if op := ops[name]; !strings.Contains(name, "/audit/tail") && refused(caller, op) == "" {
					r.probe(t, outside, caller, g.request(name, op), "")
				}
			}
			if t.Failed() {
				t.Fatalf("in round %d as caller %d", round, who)
			}
		}
	}
}

// guess makes up requests.
type guess struct {
	*rand.Rand
	schemas huma.Registry
}

// words are what texts are made of: names that there are, and odd ones.
var words = []string{"alice", "zoe-afar", "bob", "shop", "vpn", "corp", "provider", "night", "totp", "sms", "email", "recovery", "tap", "password", "read", "staff", "419551", "hunter2 hunter2",
	"+491701234567", "alice@corp.example", "2026-11-25T11:00:00Z", "192.0.2.0/24", "2001:db8::1", "https://example.net/x", "(uid={user})", "mon-fri 08:00-18:00", "Europe/Berlin", "GEZDGNBVGY3TQOJQ",
	"", " ", "\x00", "ä", "\u202e", "-1", "null", "../..", "a,b;c=d", "%s%n", "<b>", strings.Repeat("a", 64), strings.Repeat("é", 300)}

func (g *guess) word() string { return words[g.IntN(len(words))] }

func (g *guess) request(name string, op *huma.Operation) example {
	path := pathParameter.ReplaceAllStringFunc(op.Path, func(string) string {
		if w := url.PathEscape(g.word()); w != "" && !strings.Contains(w, "..") {
			return w
		}
		return "alice"
	})
	query := url.Values{}
	for _, p := range op.Parameters {
		if p.In == "query" && (p.Required || g.IntN(3) == 0) {
			query.Set(p.Name, strings.Trim(text(g.value(p.Schema, 0)), `"`))
		}
	}
	x := example{operation: name, path: path + "?" + query.Encode()}
	if op.RequestBody != nil {
		for kind, media := range op.RequestBody.Content {
			if x.body = g.word() + "\n" + g.word(); kind == "application/json" {
				x.body = text(g.value(media.Schema, 0))
			}
		}
	}
	return x
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// value is one that a schema allows; one in thirty may be anything.
func (g *guess) value(s *huma.Schema, depth int) any {
	if s == nil || depth > 4 || g.IntN(30) == 0 {
		return []any{nil, true, -1, 1e300, g.word(), []any{}, map[string]any{"x": 1}}[g.IntN(7)]
	}
	if s.Ref != "" {
		return g.value(g.schemas.SchemaFromRef(s.Ref), depth)
	}
	if len(s.AllOf) > 0 {
		out := g.value(s.AllOf[0], depth)
		if body, ok := out.(map[string]any); ok {
			of := g.schemas.SchemaFromRef(s.AllOf[0].Ref)
			for _, name := range s.AllOf[1].Required {
				body[name] = g.value(of.Properties[name], depth+1)
			}
		}
		return out
	}
	if len(s.Enum) > 0 {
		return s.Enum[g.IntN(len(s.Enum))]
	}
	switch s.Type {
	case huma.TypeObject:
		out := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			if slices.Contains(s.Required, name) || g.IntN(3) == 0 {
				out[name] = g.value(s.Properties[name], depth+1)
			}
		}
		return out
	case huma.TypeArray:
		out := make([]any, g.IntN(3))
		for i := range out {
			out[i] = g.value(s.Items, depth+1)
		}
		return out
	case huma.TypeInteger, huma.TypeNumber:
		if s.Minimum != nil && g.IntN(2) == 0 {
			return int64(*s.Minimum) + int64(g.IntN(3))
		}
		return []int64{0, 1, 5, 60, 3600, -1, 1 << 40, -1 << 63, 1<<63 - 1}[g.IntN(9)]
	case huma.TypeBoolean:
		return g.IntN(2) == 0
	case huma.TypeString:
		if s.Format == "date-time" && g.IntN(4) > 0 {
			return []string{"2026-11-25T11:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-11-25T11:00:00.999+14:00"}[g.IntN(4)]
		}
		return g.word()
	}
	return g.word()
}
