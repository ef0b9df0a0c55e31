package peer

import (
	"context"
	"net/http"

	"countersign/internal/admin"
	"countersign/internal/group"
)

// PathFigures has a server answer from its trail what is asked of every trail beside its
// pages: the body is an admin.TrailQuestion, the answer an admin.TrailAnswer.
const PathFigures = "/peer/v1/figures"

// Figures serves PathFigures; more serves everything else.
func Figures(answer func(ctx context.Context, q admin.TrailQuestion) (admin.TrailAnswer, error), more http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathFigures, func(w http.ResponseWriter, r *http.Request) {
		var in admin.TrailQuestion
		var out admin.TrailAnswer
		err := group.ReadBody(r, &in)
		if err == nil {
			out, err = answer(r.Context(), in)
		}
		group.WriteAnswer(w, out, err)
	})
	mux.Handle("/", more)
	return mux
}
