package portal

import (
	"net/http"

	"countersign/internal/web"
)

// orLocked says what a wrong code is told by, or, if the visitor is locked, so that right ones are
// refused too, that and for how long.
func (p *Portal) orLocked(r *http.Request, v *visitor, wrong string) string {
	u, err := p.Admin.User(r.Context(), string(v.User))
	if err != nil || u.LockedUntil == nil {
		return p.say(r, wrong)
	}
	return p.say(r, "token.locked", web.MinutesLeft(*u.LockedUntil, p.Now()))
}
