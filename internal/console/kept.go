package console

import (
	"fmt"
	"net/http"
	"net/url"
	"path"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// A form that cannot be carried out yet, because both factors have to be proven or no master
// answers, is kept, for any server of the group, and carried out afterwards as it was sent.

// author is whose a kept form is: of this session alone, so that nobody who had another of the
// user's leaves a form for them to prove.
func (v *visitor) author() mfa.UserID { return authorIn(v.Session) }

func authorIn(n mfa.Session) mfa.UserID { return n.User + " " + mfa.UserID(n.ID) }

// errGone says that a form is not kept any more.
var errGone = fmt.Errorf("what you had filled in is not kept any more: it is kept for %.0f minutes, and carried out once; fill it in again: %w", web.KeptFor.Minutes(), mfa.ErrInvalid)

// keep keeps the form of a request and returns what names it; "": it is too large.
func (c *Console) keep(r *http.Request, v *visitor) string {
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		return ""
	}
	return c.forms.Put(v.author(), web.Kept{URL: r.URL, Form: r.PostForm}, c.Now())
}

// sendToProof asks for both factors once more, and has the form carried out after that. The
// way back is to the page that the form is on, which is the path without its last part.
func (c *Console) sendToProof(w http.ResponseWriter, r *http.Request, v *visitor) {
	q := url.Values{"back": {path.Dir(r.URL.EscapedPath())}}
	if name := c.keep(r, v); name != "" {
		q.Set("kept", name)
	}
	http.Redirect(w, r, "/confirm?"+q.Encode(), http.StatusSeeOther)
}

// carryOut serves a form that was kept, as if it came with this token.
func (c *Console) carryOut(w http.ResponseWriter, r *http.Request, k web.Kept, token secret.Text) {
	c.mux.ServeHTTP(w, k.Request(r, c.cookieName(), token))
}

// tryAgain carries out a form that was kept because it was not possible.
func (c *Console) tryAgain(w http.ResponseWriter, r *http.Request) {
	v, err := c.visitor(r)
	if err != nil {
		c.sendToSignIn(w, r)
		return
	}
	k, ok := c.forms.Take(v.author(), r.PostFormValue("kept"), c.Now())
	if !ok {
		c.fail(w, r, v, errGone)
		return
	}
	c.carryOut(w, r, k, web.Cookie(r, c.cookieName()))
}
