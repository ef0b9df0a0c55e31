package console

import (
	"net/http"
	"time"

	"countersign/internal/enroll"
)

// invitation is one as it is shown once.
type invitation struct {
	ID, Login string
	Link      string // "": a code
	Code      string
	URL       string
	Password  bool // is asked for besides
	Expires   time.Time
	Awaits    bool // somebody else has to approve it
}

// inviteUser makes a link or a code that lets a user into the portal, and shows it, this once.
func inviteUser(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	made, err := c.enrolDesk(v).Invite(r.Context(), r.PathValue("id"), enroll.InviteRequest{Code: r.PostFormValue("what") == "code"})
	if err != nil {
		return c.after(w, r, v, err, "")
	}
	i := invitation{ID: r.PathValue("id"), Login: made.Login, URL: made.URL, Password: made.Password, Expires: made.Expires, Awaits: made.Awaits}
	if made.Code != nil {
		i.Code = string(made.Code.Expose())
	}
	if made.Link != nil {
		i.Link = string(made.Link.Expose())
	}
	c.show(w, r, http.StatusOK, "user-invite", view{Nav: "users", Who: v, Data: i})
	return nil
}
