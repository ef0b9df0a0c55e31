package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"countersign/internal/admin"
)

type reportVerb struct {
	Name        string  `arg:"" help:"Which one: sign-ins, no-second-factor, bypassed, blocked, locked, fraud, enrolment or blastradius." enum:"sign-ins,no-second-factor,bypassed,blocked,locked,fraud,enrolment,blastradius"`
	Since       instant `help:"From when on: 2026-11-24, 2026-11-24T08:00:00Z, or 30d for the last thirty days." placeholder:"TIME"`
	Until       instant `help:"Up to when." placeholder:"TIME"`
	Application string  `help:"Count the attempts of this application alone."`
	CSV         bool    `name:"csv" help:"Print one of the report's tables for a spreadsheet."`
	Table       string  `help:"Which one; default: the first." placeholder:"NAME"`
}

func (v *reportVerb) Run(ctx context.Context, e *env) error {
	if v.CSV && e.JSON {
		return usage("--csv does not go with --json")
	}
	since, err := v.Since.query(e)
	if err != nil {
		return err
	}
	until, err := v.Until.query(e)
	if err != nil {
		return err
	}
	var doc admin.Figures
	if err := e.call(ctx, http.MethodGet, "/reports/"+v.Name, query("since", since, "until", until, "application", v.Application, "zone", zoneName(e.Location)), nil, &doc); err != nil {
		return err
	}
	e.silent(doc.Silent)
	if e.JSON {
		return e.document(doc)
	}
	tables, err := v.tables(doc.Tables(e.Location))
	if err != nil {
		return err
	}
	if v.CSV {
		return tables[0].WriteCSV(e.Stdout)
	}
	if doc.Since != nil {
		fmt.Fprintf(e.Stdout, "%d accepted, %d refused, from %s to %s (%s)\n", doc.Accepted, doc.Refused,
			doc.Since.In(e.Location).Format("2006-01-02 15:04"), doc.Until.In(e.Location).Format("2006-01-02 15:04"), doc.Zone)
	}
	for _, t := range tables {
		e.printTable(t)
	}
	if doc.Partly {
		e.say("there were more people, or more attempts, than are listed")
	}
	return nil
}

// tables are those that were asked for.
func (v *reportVerb) tables(all []admin.Table) ([]admin.Table, error) {
	if v.Table == "" {
		return all, nil
	}
	var names []string
	for _, t := range all {
		if t.Name == v.Table {
			return []admin.Table{t}, nil
		}
		names = append(names, t.Name)
	}
	return nil, usage("report %s has no table %s; it has %s", v.Name, v.Table, strings.Join(names, ", "))
}

func (e *env) printTable(t admin.Table) {
	fmt.Fprintf(e.Stdout, "\n%s\n", strings.ToUpper(title(t.Name)))
	if len(t.Rows) == 0 {
		fmt.Fprintln(e.Stdout, "none")
		return
	}
	w := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	heads := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		heads[i] = title(c)
	}
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, c := range row {
			if cells[i] = printable(c); c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush()
}

// zoneName is the name of a time zone as a server knows it too; "" for one that has none: then
// days begin in UTC.
func zoneName(loc *time.Location) string {
	if loc != time.Local {
		return loc.String()
	}
	file, _ := os.Readlink("/etc/localtime") // where there is none, there is no name
	if _, name, ok := strings.Cut(file, "zoneinfo/"); ok {
		return name
	}
	return ""
}
