package console

import (
	"net/http"

	"countersign/internal/admin"
)

// recordsShown is how many records one page has.
const recordsShown = 50

func auditPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	found, err := c.desk(v).Acts(r.Context(), admin.AuditQuery{After: r.URL.Query().Get("after"), Limit: recordsShown})
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "audit", view{Nav: "audit", Who: v, Data: found})
	return nil
}
