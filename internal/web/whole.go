package web

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
)

// What is said of a form that cannot be read. Neither is anybody's answer to anything: nothing
// is decided of what has not arrived.
var (
	ErrTooLarge = fmt.Errorf("more than %d KiB at once are not taken; send less, or in several parts", maxForm>>10)
	ErrBroken   = errors.New("what was sent broke off on the way, or is no form; send it again")
)

// Whole reads the form of a request before anything looks at a field of it, and has refuse answer
// one that is too large or did not arrive: to what comes behind, a field that could not be read
// would be an empty one, and an empty password is a wrong one. To the paths files come, which
// are read by themselves.
func Whole(next http.Handler, refuse func(http.ResponseWriter, *http.Request, error), files ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(files, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		if err := readForm(r); errors.As(err, new(*http.MaxBytesError)) {
			refuse(w, r, ErrTooLarge)
		} else if err != nil {
			refuse(w, r, ErrBroken)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}

// readForm reads the form that a request brings; none is no error.
func readForm(r *http.Request) error {
	if r.Method != http.MethodPost {
		return nil
	}
	if err := r.ParseForm(); err != nil {
		return err
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "multipart/form-data" {
		return r.ParseMultipartForm(maxForm) // in memory: it is no larger
	}
	return nil
}
