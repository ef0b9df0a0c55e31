package peer

import (
	"context"
	"net/http"

	"countersign/internal/group"
)

// PathDatabase has the master read or write the database for a server whose copy is behind.
const PathDatabase = "/peer/v1/database"

// Operation is the body of PathDatabase: one of Get (a key), Scan (a prefix) and Commit.
type Operation struct {
	Get     string            `json:"get,omitempty"`
	Scan    string            `json:"scan,omitempty"`
	Commit  bool              `json:"commit,omitempty"`
	If      map[string]int64  `json:"if,omitempty"`
	Puts    map[string][]byte `json:"puts,omitempty"`
	Deletes []string          `json:"deletes,omitempty"`
}

// Entries is the answer.
type Entries struct {
	Revision int64   `json:"revision"`
	OK       bool    `json:"ok"` // of a commit
	Entries  []Entry `json:"entries,omitempty"`
}

// Entry is one key.
type Entry struct {
	Key      string `json:"key"`
	Value    []byte `json:"value"`
	Revision int64  `json:"revision"`
}

// Database serves PathDatabase; more serves everything else.
func Database(do func(ctx context.Context, op Operation) (Entries, error), more http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathDatabase, func(w http.ResponseWriter, r *http.Request) {
		var op Operation
		var out Entries
		err := group.ReadBody(r, &op)
		if err == nil {
			out, err = do(r.Context(), op)
		}
		group.WriteAnswer(w, out, err)
	})
	mux.Handle("/", more)
	return mux
}
