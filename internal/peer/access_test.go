package peer

import (
	"crypto/tls"
	"crypto/x509"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// ownPaths reads from the source which paths there are: a new one must be in this table.
func ownPaths(t *testing.T) map[string]string {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), "_test.go") || !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Path") {
				return true
			}
			if lit, ok := v.Values[0].(*ast.BasicLit); ok {
				if paths[v.Names[0].Name], err = strconv.Unquote(lit.Value); err != nil {
					t.Error(err)
				}
			}
			return true
		})
	}
	return paths
}

// Which role may call what: s server, w witness, c coordinator, n no role on record.
func TestWhoMayCallWhat(t *testing.T) {
	want := map[string]string{
		"PathReport": "swc", "PathJoin": "swc", "PathForget": "swc", "PathEpoch": "swc", "PathTestimony": "swc", "PathOverview": "swc",
		"PathCertificate": "sw", "PathPromote": "sw", "PathDecide": "s", "PathDatabase": "s", "PathTrail": "s", "PathFigures": "s", "PathRetire": "c",
		"/raft/stream": "swc", "/coordinator/v1/preview": "swc", "/other": "", "/peer/v1/unknown": "",
	}
	paths := ownPaths(t)
	for name := range paths {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is in nobody's table: say here and in access who may call it", name)
		}
	}
	roles := map[string]string{"s": mfa.RoleServer, "w": mfa.RoleWitness, "c": mfa.RoleCoordinator, "n": ""}
	ca := newCA(t)
	cert := issue(t, ca, "n2")
	reached := false
	h := func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			reached = true
			group.WriteAnswer(w, struct{}{}, nil)
		})
	}
	for name, may := range want {
		path := name
		if p, ok := paths[name]; ok {
			path = p
		}
		for letter, role := range roles {
			reached = false
			s := &Server{Allow: func(string) (string, bool) { return "n2", true }, Role: func(string) string { return role }, Passed: []string{"/coordinator/v1/"},
				Sure: func() bool { return true }, Epoch: func() uint64 { return 1 }, Raft: h, RaftPaths: []string{"/raft/"}, API: h,
				Tell:    func() (group.SignedEpoch, error) { reached = true; return group.SignedEpoch{}, nil },
				Testify: func() Testimony { reached = true; return Testimony{} },
				Hear:    func(Testimony) error { return nil }, Ahead: func(string) {}, Log: slog.New(slog.DiscardHandler)}
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf}}
			Hello{Version: "v", Schema: 1}.sign(r)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if in := strings.Contains(may, letter); in != reached || in != (w.Code == http.StatusOK) {
				t.Errorf("%s of a %q: reached %v, answer %d %s", name, role, reached, w.Code, w.Body)
			}
		}
	}
}
