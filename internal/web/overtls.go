package web

import "net/http"

// OverTLS gives every answer of an https listener, whoever of those behind it writes it (a page,
// the API, a mux that puts a path right), what browsers are to know of the whole host: that it is
// reached by https alone, and that nothing of it is anything but what it says it is.
func OverTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
