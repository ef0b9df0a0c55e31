package console

import (
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// recordsShown is how many records one page has.
const recordsShown = 50

// attemptList is what the page of sign-ins shows: the trail of this server.
type attemptList struct {
	User, Application, Reason string
	admin.AttemptList
	Reasons []mfa.Reason
	Live    string // where the newest of these are found again; "": an older page stays as it is
}

func attemptsPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	q := r.URL.Query()
	l := attemptList{User: strings.TrimSpace(q.Get("user")), Application: strings.TrimSpace(q.Get("application")), Reason: q.Get("reason"), Reasons: mfa.Reasons()[1:]}
	found, err := c.desk(v).Attempts(r.Context(), l.User, admin.AuditQuery{Application: l.Application, Reason: l.Reason, After: q.Get("after"), Limit: recordsShown})
	page := view{Nav: "attempts", Who: v}
	switch {
	case mistake(err), web.StatusOf(err) == http.StatusNotFound && l.User != "": // nobody of that name
		page.Error = err.Error()
	case err != nil:
		return err
	}
	l.AttemptList = found
	if q.Get("after") == "" {
		l.Live = r.URL.RequestURI()
	}
	page.Data = l
	if r.Header.Get(partHeader) != "" {
		c.render(w, r, http.StatusOK, "attempts", "list", page)
		return nil
	}
	c.show(w, r, http.StatusOK, "attempts", page)
	return nil
}

func auditPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	found, err := c.desk(v).Acts(r.Context(), admin.AuditQuery{After: r.URL.Query().Get("after"), Limit: recordsShown})
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "audit", view{Nav: "audit", Who: v, Data: found})
	return nil
}
