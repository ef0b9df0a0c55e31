package admin

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// Table is a part of a report as rows of text: what a page shows below a chart, and what goes
// into a spreadsheet.
type Table struct {
	Name    string // over_time, by_application ...
	Columns []string
	Rows    [][]string
}

// Tables returns the parts of the report, the main one first. Times are in zone.
func (r Figures) Tables(zone *time.Location) (all []Table) {
	at := func(t *time.Time) string {
		if t == nil || t.IsZero() {
			return ""
		}
		return t.In(zone).Format("2006-01-02 15:04:05")
	}
	n := func(n int64) string { return strconv.FormatInt(n, 10) }
	if r.Coverage != nil {
		return r.Coverage.tables()
	}
	if r.Name == ReportBlastRADIUS {
		t := Table{"clients", []string{"application", "address", "state", "mode", "first_seen", "proven", "without", "advice"}, [][]string{}}
		for _, c := range r.Clients {
			t.Rows = append(t.Rows, []string{c.Application, c.Address, c.State, c.Mode, at(c.FirstSeen), at(c.Proven), at(c.Without), c.Advice})
		}
		return []Table{t}
	}
	if r.Name == ReportBlocked || r.Name == ReportLocked {
		t := Table{"now", []string{"login", "state", "since", "until", "by", "reason"}, [][]string{}}
		for _, u := range r.Now {
			t.Rows = append(t.Rows, []string{u.Login, u.State, at(u.Since), at(u.Until), u.By, u.Reason})
		}
		all = append(all, t)
	}
	if r.Name == ReportFrauds {
		t := Table{"reported", []string{"said", "login", "channel", "application", "source", "last", "verdict", "until", "attempt"}, [][]string{}}
		for _, f := range r.Frauds {
			until := at(&f.Until)
			if f.Blocked && f.Until.IsZero() {
				until = "until lifted"
			}
			t.Rows = append(t.Rows, []string{at(&f.Said), f.Login, f.Channel, f.Application, f.Source, at(&f.Time), f.Verdict, until, f.Attempt.String()})
		}
		all = append(all, t)
	}
	if r.Name != ReportSignIns {
		t := Table{"people", []string{"login", "application", "reason", "method", "count", "last"}, [][]string{}}
		for _, p := range r.People {
			t.Rows = append(t.Rows, []string{p.Login, p.Application, p.Reason, p.Method, n(p.Count), at(&p.Last)})
		}
		all = append(all, t)
	}
	t := Table{"over_time", []string{"start", "accepted", "refused", "no_second_factor"}, [][]string{}}
	for _, s := range r.OverTime {
		t.Rows = append(t.Rows, []string{at(&s.Start), n(s.Accepted), n(s.Refused), n(s.NoSecondFactor)})
	}
	all = append(all, t)
	for _, p := range r.Parts {
		t := Table{"by_" + p.By, []string{p.By, "accepted", "refused"}, [][]string{}}
		for _, c := range p.Counts {
			t.Rows = append(t.Rows, []string{c.Name, n(c.Accepted), n(c.Refused)})
		}
		all = append(all, t)
	}
	return all
}

func (c Coverage) tables() (all []Table) {
	one := func(name, column string, rows []CoverageRow) {
		t := Table{name, append([]string{column, "users", "enrolled", "none"}, Factors()...), [][]string{}}
		for _, r := range rows {
			cells := []string{r.Name, strconv.Itoa(r.Users), strconv.Itoa(r.Enrolled), strconv.Itoa(r.None)}
			for _, f := range Factors() {
				cells = append(cells, strconv.Itoa(r.Factors[f]))
			}
			t.Rows = append(t.Rows, cells)
		}
		all = append(all, t)
	}
	whole := c.All
	whole.Name = "all"
	one("all", "group", []CoverageRow{whole})
	one("by_directory", "directory", c.ByDirectory)
	one("by_tag", "tag", c.ByTag)
	one("by_state", "state", c.ByState)
	return all
}

// WriteCSV writes a table with its heads. Logins and names are what anybody may have typed: a
// cell that a spreadsheet would take for a formula gets an apostrophe in front.
func (t Table) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180
	if err := out.Write(t.Columns); err != nil {
		return err
	}
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = unformula(c)
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// unformula keeps a spreadsheet from carrying out a cell.
func unformula(cell string) string {
	if first := strings.TrimLeft(cell, " "); first != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(first)[0]) {
		return "'" + cell
	}
	return cell
}

// reportNeeds is what a caller must be permitted for a report.
func reportNeeds(name string) mfa.Permission {
	switch name {
	case ReportEnrolment:
		return mfa.MayReadUsers
	case ReportBlastRADIUS:
		return mfa.MayReadSettings
	}
	return mfa.MayReadAudit
}
