package peer

import (
	"context"
	"net/http"

	"countersign/internal/group"
)

// PathRetire has the coordinator that leads forget a group, or one of its servers.
const PathRetire = "/peer/v1/retire"

// Retire is the body of PathRetire.
type Retire struct {
	Group  string `json:"group"`
	Server string `json:"server,omitempty"` // "": the group with all its servers
	By     string `json:"by"`
}

// Retiring serves PathRetire; more serves everything else.
func Retiring(do func(ctx context.Context, r Retire) error, more http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathRetire, func(w http.ResponseWriter, r *http.Request) {
		var in Retire
		err := group.ReadBody(r, &in)
		if err == nil {
			in.By += " at " + Caller(r.Context())
			err = do(r.Context(), in)
		}
		group.WriteAnswer(w, struct{}{}, err)
	})
	mux.Handle("/", more)
	return mux
}
