package web

import (
	"context"
	"net/http"
	"time"
)

// holdFor is how long a form is held that waits for an answer given elsewhere. The page that
// comes then asks again by itself.
const holdFor = 20 * time.Second

// AwaitForm is what a sign-in page shows while the answer is given on a device or a phone: the
// number to type there, and a form that sends itself and is held until there is an answer.
type AwaitForm struct {
	Number string // two digits; "": there are none
	Call   bool   // it is a telephone that rings
	Action string // where the form goes
	Hidden map[string]string
	Auto   bool // it sends itself
}

// Hold bounds a leg of a sign-in that may be held: an answer to a challenge. Others, and what
// they ask of a directory, have limits of their own.
func Hold(r *http.Request) (context.Context, context.CancelFunc) {
	if r.PostFormValue("handle") == "" {
		return r.Context(), func() {}
	}
	return context.WithTimeout(r.Context(), holdFor)
}

// Looked reports whether a form brings no answer, but asks whether there is one meanwhile.
func Looked(r *http.Request) bool {
	return r.PostFormValue("handle") != "" && r.PostFormValue("code") == "" && r.PostFormValue("passkey") == ""
}
