package portal

import (
	"fmt"
	"net/http"

	"countersign/internal/mfa"
	"countersign/internal/web"
)

// A form that comes when both factors have to be proven again is kept, for any server of the
// group, and carried out after the proof as it was sent.

// author is whose a kept form is: of this session alone, so that nobody who had another of the
// user's leaves a form for them to prove.
func (v *visitor) author() mfa.UserID { return v.User + " " + mfa.UserID(v.ID) }

// errGone says that a form is not kept any more.
var errGone = fmt.Errorf("a form is not kept any more: %w", mfa.ErrInvalid)

// keep keeps the form of a request and returns what names it; "": there is none, or it is too large.
func (p *Portal) keep(r *http.Request, v *visitor) string {
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		return ""
	}
	return p.forms.Put(v.author(), web.Kept{URL: r.URL, Form: r.PostForm}, p.Now())
}
