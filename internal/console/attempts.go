package console

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// attemptSpans are the times up to now that the page of sign-ins offers.
var attemptSpans = map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour}

// spanNames are their names, the shortest first.
var spanNames = []string{"1h", "24h", "7d", "30d"}

// fieldTime is how a browser sends what is typed into a field for a time; in the reader's zone.
const fieldTime = "2006-01-02T15:04"

// attemptFilter is what the page of sign-ins is narrowed to. Its address holds all of it.
type attemptFilter struct {
	User, Application, Verdict, Reason, Method, Server string
	Last                                               string // one of spanNames; "": From and Until say it, or nothing does
	From, Until                                        string // fieldTime
	since, until                                       time.Time
}

// readAttemptFilter reads an address. What is no choice of the page is passed over; an error is
// of the times.
func readAttemptFilter(r *http.Request, now time.Time) (f attemptFilter, err error) {
	q := r.URL.Query()
	get := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	f = attemptFilter{User: get("user"), Application: get("application"), Verdict: get("verdict"), Reason: get("reason"), Method: get("method"), Server: get("server"),
		Last: get("last"), From: get("from"), Until: get("until")}
	if f.Verdict != mfa.Accept.String() && f.Verdict != mfa.Reject.String() {
		f.Verdict = ""
	}
	if span, ok := attemptSpans[f.Last]; ok {
		f.since, f.From, f.Until = now.Add(-span), "", ""
		return f, nil
	}
	f.Last = ""
	for _, one := range []struct {
		text string
		at   *time.Time
	}{{f.From, &f.since}, {f.Until, &f.until}} {
		if one.text == "" {
			continue
		}
		if *one.at, err = time.ParseInLocation(fieldTime, one.text, zoneOf(r)); err != nil {
			return f, fmt.Errorf("time %.32q: %w: want a day and a time, such as %s", one.text, mfa.ErrInvalid, fieldTime)
		}
	}
	return f, nil
}

// Query is the filter as an address holds it.
func (f attemptFilter) Query() template.URL {
	q := url.Values{}
	for name, value := range map[string]string{"user": f.User, "application": f.Application, "verdict": f.Verdict, "reason": f.Reason, "method": f.Method,
		"server": f.Server, "last": f.Last, "from": f.From, "until": f.Until} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return template.URL(q.Encode()) //nolint:gosec // names and values are escaped
}

// More reports whether one of those is set that the page shows only to who asks for them.
func (f attemptFilter) More() bool {
	return f.Reason != "" || f.Method != "" || f.Server != "" || f.From != "" || f.Until != ""
}

// attemptList is what the page of sign-ins shows.
type attemptList struct {
	attemptFilter
	admin.AttemptList
	Nobody       bool // there is no such user: these are those with that login
	Reasons      []mfa.Reason
	Methods      []string
	Spans        []string
	Applications []string // whose names the visitor may see
	Servers      []string // fewer than two: there is nothing to choose
	Live         string   // where the newest of these are found again; "": an older page stays as it is
}

// attempts returns one page of those that a filter selects. The user of the filter may be
// anything that somebody has typed.
func (c *Console) attempts(r *http.Request, v *visitor, f attemptFilter, after string, limit int) (found admin.AttemptList, nobody bool, err error) {
	q := admin.AuditQuery{Application: f.Application, Reason: f.Reason, Verdict: f.Verdict, Method: f.Method, Server: f.Server, Since: f.since, Until: f.until,
		After: after, Limit: limit}
	found, err = c.desk(v).Attempts(r.Context(), f.User, q)
	if f.User == "" || !errors.Is(err, mfa.ErrNotFound) || !v.Caller.Reach.All || c.someone(r, v, f.User) {
		return found, false, err
	}
	q.Login = f.User
	found, err = c.desk(v).Attempts(r.Context(), "", q)
	return found, true, err
}

// someone reports whether a login is somebody's.
func (c *Console) someone(r *http.Request, v *visitor, login string) bool {
	_, err := c.desk(v).User(r.Context(), login)
	return err == nil
}

func attemptsPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	after, page := r.URL.Query().Get("after"), view{Nav: "attempts", Who: v, Server: c.Server}
	l := attemptList{Reasons: mfa.Reasons()[1:], Methods: admin.Factors(), Spans: spanNames}
	var err error
	if l.attemptFilter, err = readAttemptFilter(r, c.Now()); err == nil {
		l.AttemptList, l.Nobody, err = c.attempts(r, v, l.attemptFilter, after, recordsShown)
	}
	switch {
	case mistake(err), web.StatusOf(err) == http.StatusNotFound: // no such server, nobody whom the visitor may see
		page.Error = err.Error()
	case err != nil:
		return err
	case after == "":
		l.Live = r.URL.RequestURI()
	}
	if r.Header.Get(partHeader) != "" {
		page.Data = l
		c.render(w, r, http.StatusOK, "attempts", "list", page)
		return nil
	}
	l.Applications, l.Servers = c.applicationNames(r, v), c.serverNames(r)
	page.Data = l
	c.show(w, r, http.StatusOK, "attempts", page)
	return nil
}

// applicationNames are those of all applications, as far as the visitor may see them.
func (c *Console) applicationNames(r *http.Request, v *visitor) (names []string) {
	all, err := c.desk(v).ListApplications(r.Context())
	if err != nil {
		return nil
	}
	for _, a := range all.Applications {
		names = append(names, a.Name)
	}
	return names
}

// serverNames are those of the servers whose trails are gathered here.
func (c *Console) serverNames(r *http.Request) (names []string) {
	o, err := c.Group.Overview(r.Context())
	if err != nil || c.Coordinator != nil {
		return nil
	}
	for _, one := range o.Servers {
		names = append(names, one.Name)
	}
	slices.Sort(names)
	return names
}

const (
	fileRows = 100_000         // of a file of sign-ins, the newest
	fileTime = 5 * time.Minute // that it may take to be sent
)

// attemptColumns are the columns of a file of sign-ins.
var attemptColumns = []string{"time", "login", "user", "application", "verdict", "reason", "method", "source", "peer", "front_end", "server", "degraded", "duration_ms", "attempt_id"}

// attemptsFile is the sign-ins that a filter selects, for a spreadsheet, newest first. It is
// called partial if a server is silent, or there are more than fileRows of them.
func attemptsFile(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := readAttemptFilter(r, c.Now())
	if err != nil {
		return err
	}
	table, silent := admin.Table{Columns: attemptColumns}, false
	for after := ""; ; {
		found, _, err := c.attempts(r, v, f, after, admin.MaxPage)
		if err != nil {
			return err
		}
		for _, a := range found.Attempts {
			table.Rows = append(table.Rows, []string{a.Time.In(zoneOf(r)).Format(time.RFC3339), a.Login, string(a.User), a.Application, a.Verdict, a.Reason, a.Method, a.Source, a.Peer,
				a.FrontEnd, a.Server, fmt.Sprint(a.Degraded), fmt.Sprint(a.DurationMS), a.AttemptID.String()})
		}
		silent = silent || len(found.Silent) > 0
		if after = found.Next; after == "" || len(table.Rows) >= fileRows {
			silent = silent || after != ""
			break
		}
	}
	name := "sign-ins.csv"
	if silent {
		name = "sign-ins-partial.csv"
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(fileTime))
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
	if err := table.WriteCSV(w); err != nil {
		c.Log.Warn("console: a file of sign-ins was not sent to its end", "by", v.Caller.By, "error", err)
	}
	return nil
}
