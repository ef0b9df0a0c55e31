package adminapi

import (
	"context"
	"net/http"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

func (a *API) reports() {
	type query struct {
		Name        string    `path:"name" enum:"sign-ins,no-second-factor,bypassed,blocked,locked,fraud,enrolment,blastradius"`
		Since       time.Time `query:"since" doc:"rounded down to a quarter-hour; default: seven days before until"`
		Until       time.Time `query:"until" doc:"rounded up to a quarter-hour; default: now"`
		Zone        string    `query:"zone" maxLength:"64" doc:"time zone in which days begin, for example Europe/Berlin; default: UTC"`
		Application string    `query:"application" maxLength:"64" doc:"count the attempts of this one alone"`
	}
	route(a, needs(mfa.MayReadAudit, mfa.MayReadUsers, mfa.MayReadSettings), http.MethodGet, "/reports/{name}", "Make a report over all servers of the group", func(ctx context.Context, d desk, in *query) (admin.Figures, error) {
		return d.Report(ctx, in.Name, admin.ReportQuery{Since: in.Since, Until: in.Until, Zone: in.Zone, Application: in.Application})
	})
}
