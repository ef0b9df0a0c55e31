package console

import (
	"net/http"

	"countersign/internal/web"
)

// orLocked says what a wrong code is told by, or, if the user is locked, so that right ones are
// refused too, that by the other text, which has the minutes that are left.
func (c *Console) orLocked(r *http.Request, user, wrong, locked string) string {
	u, err := c.Admin.User(r.Context(), user)
	if err != nil || u.LockedUntil == nil {
		return c.say(r, wrong)
	}
	return c.say(r, locked, web.MinutesLeft(*u.LockedUntil, c.Now()))
}
