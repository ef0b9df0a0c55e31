package peer

import (
	"net/http"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// PathDecide has another server decide one leg of an authentication: the body is a
// group.Question, the answer a group.Decided.
const PathDecide = "/peer/v1/decide"

// Decide serves PathDecide by auth; more serves everything else.
func Decide(auth mfa.Authenticator, more http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathDecide, func(w http.ResponseWriter, r *http.Request) {
		var in group.Question
		var out mfa.Decision
		err := group.ReadBody(r, &in)
		if err == nil {
			out, err = auth.Authenticate(r.Context(), in.Request())
		}
		group.WriteAnswer(w, group.Decided(out), err)
	})
	mux.Handle("/", more)
	return mux
}
