package peer

import (
	"context"
	"net/http"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// PathTrail asks a server for one page of its trail, newest first.
const PathTrail = "/peer/v1/trail"

// TrailQuery is the body of PathTrail: attempts, or acts, of which Since and Until alone
// select some.
type TrailQuery struct {
	Acts        bool       `json:"acts,omitempty"`
	User        mfa.UserID `json:"user,omitempty"`
	Login       string     `json:"login,omitempty"`
	Application string     `json:"application,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Method      string     `json:"method,omitempty"`
	Verdict     string     `json:"verdict,omitempty"`
	Since       time.Time  `json:"since,omitzero"`
	Until       time.Time  `json:"until,omitzero"`
	Before      uint64     `json:"before,omitempty"` // seq; 0: from the newest on
	Limit       int        `json:"limit"`
}

// TrailPage is the answer.
type TrailPage struct {
	Entries []TrailEntry `json:"entries"`
	More    bool         `json:"more"`
}

// TrailEntry is one record and its place in that server's trail.
type TrailEntry struct {
	Seq    uint64     `json:"seq"`
	Record mfa.Record `json:"record"`
}

// Trails serves PathTrail; more serves everything else.
func Trails(page func(ctx context.Context, q TrailQuery) (TrailPage, error), more http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathTrail, func(w http.ResponseWriter, r *http.Request) {
		var in TrailQuery
		var out TrailPage
		err := group.ReadBody(r, &in)
		if err == nil {
			out, err = page(r.Context(), in)
		}
		group.WriteAnswer(w, out, err)
	})
	mux.Handle("/", more)
	return mux
}
