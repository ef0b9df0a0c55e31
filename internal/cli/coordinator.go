package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"countersign/internal/group"
)

type coordinatorVerbs struct {
	Status coordinatorStatus `cmd:"" help:"Groups, servers by their heartbeats, and the rules that they break."`
	independentVerbs
}

type coordinatorStatus struct{}

func (coordinatorStatus) Run(ctx context.Context, e *env) error {
	var o group.Overview
	if err := e.call(ctx, http.MethodGet, "/coordinator/status", nil, nil, &o); err != nil {
		return err
	}
	if e.JSON {
		return e.document(o)
	}
	for _, c := range o.Coordinators {
		fmt.Fprintf(e.Stdout, "coordinator %s: %s, at %s\n", printable(c.Name), colleague(c), printable(c.Address))
	}
	for _, g := range o.Groups {
		fmt.Fprintf(e.Stdout, "group %s: epoch %d, master %s, %d of %d servers heard, %d users\n", printable(g.Name), g.Epoch,
			orNone(printable(g.Master)), g.Alive, g.Servers, g.Users)
	}
	if err := e.table(o, serverRows(o), "server", "group", "role", "heard", "epoch", "revision", "lag", "version", "clock", "certificate", "sign_ins"); err != nil {
		return err
	}
	for _, v := range o.Violations {
		fmt.Fprintf(e.Stdout, "violation %s (%s): %s. Next: %s\n", v.Rule, printable(strings.Join(v.Servers, ", ")), printable(v.Detail), printable(v.NextStep))
	}
	e.say("As %s sees it.", printable(o.By))
	return nil
}

// colleague says what one of the coordinators is.
func colleague(c group.ColleagueView) string {
	switch {
	case c.Leads:
		return "leads"
	case !c.Reachable:
		return "does not answer"
	case !c.Voter:
		return "has no vote yet"
	}
	return "votes"
}

// serverRow is one server for a table.
type serverRow struct {
	Server      string    `json:"server"`
	Group       string    `json:"group"`
	Role        string    `json:"role"`
	Heard       string    `json:"heard"`
	Epoch       uint64    `json:"epoch"`
	Revision    int64     `json:"revision"`
	Lag         int64     `json:"lag"`
	Version     string    `json:"version"`
	Clock       string    `json:"clock"`
	Certificate time.Time `json:"certificate"`
	SignIns     uint64    `json:"sign_ins"`
}

func serverRows(o group.Overview) []serverRow {
	var rows []serverRow
	for _, s := range o.Servers {
		r := serverRow{Server: s.Name, Group: s.Group, Role: s.Role, Heard: "never", Epoch: s.Epoch, Revision: s.Revision, Lag: s.Lag,
			Version: s.Version, Clock: fmt.Sprintf("%+.1fs", s.ClockOffset), Certificate: s.Expires, SignIns: s.SignIns}
		if !s.Heard.IsZero() {
			r.Heard = o.Time.Sub(s.Heard).Round(time.Second).String() + " ago"
		}
		rows = append(rows, r)
	}
	return rows
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
