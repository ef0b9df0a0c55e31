package web

import (
	"net/http"

	"countersign/internal/secret"
)

// Cookie reads the token that the browser sent; the empty text if it sent none.
func Cookie(r *http.Request, name string) secret.Text {
	k, err := r.Cookie(name)
	if err != nil {
		return secret.Text{}
	}
	return secret.FromString(k.Value)
}

// SetCookie gives the browser a token; the empty one takes it away. A name begins with
// __Host-: set by this host over TLS only, for every path, and no other host can plant it.
func SetCookie(w http.ResponseWriter, name string, token secret.Text) {
	k := &http.Cookie{Name: name, Value: string(token.Expose()), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if token.Empty() {
		k.MaxAge = -1
	}
	http.SetCookie(w, k)
}
