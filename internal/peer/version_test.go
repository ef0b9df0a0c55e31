package peer

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// A server that speaks another protocol is told both versions, one that is too old for the
// group what it needs; what etcd sends of it is refused too, until it is understood.
func TestUnderstands(t *testing.T) {
	s := &Server{Hello: Hello{Version: "v3", Schema: 2}, RaftPaths: []string{"/raft", "/raft/"}, Fits: func(schema int, version string) error {
		if schema < 2 {
			return fmt.Errorf("%w: it needs v2", mfa.ErrOutdated)
		}
		return nil
	}}
	ask := func(path string, change func(http.Header)) error {
		r := httptest.NewRequest(http.MethodGet, "https://n1"+path, nil)
		if change != nil {
			Hello{Version: "v3", Schema: 2}.sign(r)
			change(r.Header)
		}
		return s.understands("n2", r)
	}
	set := func(key, value string) func(http.Header) { return func(h http.Header) { h.Set(key, value) } }
	for _, c := range []struct {
		name   string
		change func(http.Header)
		is     error
		text   string
	}{
		{"the same", set(VersionHeader, "v3"), nil, ""},
		{"a later one that still speaks ours", set(ProtocolHeader, fmt.Sprintf("%d-%d", Protocol, Protocol+5)), nil, ""},
		{"a later one", set(ProtocolHeader, fmt.Sprintf("%d-%d", Protocol+1, Protocol+2)), group.ErrProtocol, `version "v3", speaks "2-3", this server, version "v3", speaks "1-1"`},
		{"an earlier one", set(ProtocolHeader, "0-0"), group.ErrProtocol, `speaks "0-0"`},
		{"nonsense", set(ProtocolHeader, "one"), group.ErrProtocol, `speaks "one"`},
		{"none", func(h http.Header) { h.Del(ProtocolHeader) }, group.ErrProtocol, `speaks ""`},
		{"too old", set(SchemaHeader, "1"), mfa.ErrOutdated, "it needs v2"},
		{"no schema", func(h http.Header) { h.Del(SchemaHeader) }, mfa.ErrInvalid, "schema"},
	} {
		err := ask(PathReport, c.change)
		if !errors.Is(err, c.is) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
		if raft := ask("/raft/stream/message", nil); (raft == nil) != (c.is == nil) {
			t.Errorf("%s: etcd's requests: %v", c.name, raft)
		}
	}
}
