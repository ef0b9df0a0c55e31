package console

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/web"
)

// zoneCookie is set by the script: the reader's time zone, in which days begin.
const zoneCookie = "zone"

// ranges are what a report may be about, in days up to now.
var ranges = []int{1, 7, 30, 365}

// reportTables and reportColumns are what admin.Figures.Tables may hold: each has a text.
var (
	reportTables  = []string{"now", "reported", "people", "over_time", "by_application", "by_method", "by_reason", "by_server", "all", "by_directory", "by_tag", "by_state", "clients"}
	reportColumns = []string{"login", "state", "since", "until", "by", "reason", "application", "method", "count", "last", "start", "accepted", "refused", "no_second_factor",
		"server", "group", "users", "enrolled", "none", "totp", "hotp", "sms", "email", "call", "recovery", "tap", "directory", "tag", "address", "mode", "said", "channel", "source", "verdict", "attempt", "first_seen", "proven", "without", "advice"}
)

// report is what the page of one report shows.
type report struct {
	admin.Figures
	Days        int
	Application string
	Chart       *chart
	Tables      []admin.Table
	Names       []string // of all reports
	Ranges      []int
	Query       template.URL // of the tables' files
}

// zoneOf is the reader's time zone; UTC until the script has told.
func zoneOf(r *http.Request) *time.Location {
	c, err := r.Cookie(zoneCookie)
	if err != nil {
		return time.UTC
	}
	name, err := url.QueryUnescape(c.Value)
	if err != nil || name == "Local" || len(name) > 64 {
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// report makes the report that a request is about.
func (c *Console) report(r *http.Request, v *visitor) (report, *time.Location, error) {
	q, zone := r.URL.Query(), zoneOf(r)
	p := report{Days: 7, Application: strings.TrimSpace(q.Get("application")), Names: admin.Reports(), Ranges: ranges}
	for _, d := range ranges {
		if q.Get("days") == fmt.Sprint(d) {
			p.Days = d
		}
	}
	p.Query = template.URL(url.Values{"days": {fmt.Sprint(p.Days)}, "application": {p.Application}}.Encode()) //nolint:gosec // escaped
	var err error
	p.Figures, err = c.desk(v).Report(r.Context(), r.PathValue("name"), admin.ReportQuery{Since: c.Now().AddDate(0, 0, -p.Days), Zone: zone.String(), Application: p.Application})
	p.Tables = p.Figures.Tables(zone)
	return p, zone, err
}

func reportPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, zone, err := c.report(r, v)
	if err != nil {
		return err
	}
	if len(p.OverTime) > 0 {
		p.Chart = newChart(p.OverTime, zone, c.edition(r).Texts)
	}
	c.show(w, r, http.StatusOK, "report", view{Nav: "reports", Who: v, Data: p})
	return nil
}

// reportFile is one table of a report for a spreadsheet.
func reportFile(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, _, err := c.report(r, v)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(p.Tables, func(t admin.Table) bool { return t.Name+".csv" == r.PathValue("file") })
	if i < 0 {
		http.NotFound(w, r)
		return nil
	}
	var b bytes.Buffer
	if err := p.Tables[i].WriteCSV(&b); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", p.Name+"-"+p.Tables[i].Name+".csv"))
	_, _ = w.Write(b.Bytes())
	return nil
}

func attemptPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	o, err := c.desk(v).Story(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "attempt", view{Nav: "attempts", Who: v, Data: o})
	return nil
}

// firstReport sends to the first report that the visitor may see.
func firstReport(_ *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	to := "/reports/" + admin.ReportSignIns
	if !v.may("audit.read") {
		to = "/reports/" + admin.ReportEnrolment
	}
	http.Redirect(w, r, web.LocalPath(to), http.StatusSeeOther)
	return nil
}
