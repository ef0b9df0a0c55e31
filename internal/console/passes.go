package console

import (
	"net/http"

	"countersign/internal/mfa"
)

// passRoutes are those about temporary passes that take two people.
func (c *Console) passRoutes() []route {
	return []route{
		{"GET /passes", mfa.SetOf(mfa.MayIssuePass, mfa.MayReadUsers), false, passesPage},
		{"POST /users/{id}/approve", one(mfa.MayIssuePass), true, approvePass},
	}
}

// passesPage lists the passes that await their approval.
func passesPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	all, err := c.enrolDesk(v).WaitingPasses(r.Context())
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "passes", view{Nav: "users", Title: "title.passes", Who: v, Data: all})
	return nil
}

// approvePass lets a pass serve that somebody else has issued.
func approvePass(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	_, err := c.enrolDesk(v).ApprovePass(r.Context(), r.PathValue("id"), r.PostFormValue("credential"))
	return c.after(w, r, v, err, "done.approved")
}
