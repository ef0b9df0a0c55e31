package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

type auditVerbs struct {
	List   auditList   `cmd:"" help:"List attempts, newest first."`
	Show   auditShow   `cmd:"" help:"Tell everything about one attempt: who decided, and why."`
	Tail   auditTail   `cmd:"" help:"Show attempts as they happen; with --json one JSON document a line."`
	Verify auditVerify `cmd:"" help:"Read the whole trail again and check that nothing was changed or removed."`
}

type auditList struct {
	User        string  `help:"Only those of this user."`
	Login       string  `help:"Only those with this login as it was typed, in any case, also of nobody's."`
	Application string  `help:"Only those of this application."`
	ByServer    string  `help:"Only those that this server of the group has recorded." placeholder:"NAME"`
	Since       instant `help:"Only those since: 2026-11-24, 2026-11-24T08:00:00Z, or 2h for the last two hours." placeholder:"TIME"`
	Until       instant `help:"Only those before." placeholder:"TIME"`
	Method      string  `help:"Only those with this second factor."`
	Verdict     string  `help:"Only those that were let in, or were not." values:"accept,reject"`
	Reason      string  `help:"Only those that ended for this reason, for example wrong_code."`
	Limit       int     `help:"At most so many; 0: all." default:"100"`
	After       string  `help:"Begin after this cursor (the next of the page before)."`
	Here        bool    `help:"Only what this server has recorded, not the others of its group."`
	Acts        bool    `help:"List what administrators did instead; heeds --since, --limit, --after and --here."`
}

func (v *auditList) Run(ctx context.Context, e *env) error {
	from, err := v.Since.query(e)
	if err != nil {
		return err
	}
	until, err := v.Until.query(e)
	if err != nil {
		return err
	}
	if v.Acts {
		if v.User+v.Login+v.Application+v.ByServer+v.Reason+v.Method+v.Verdict+until != "" {
			return usage("--acts does not go with --user, --login, --application, --by-server, --reason, --method, --verdict or --until")
		}
		return v.acts(ctx, e, from)
	}
	doc := admin.AttemptList{Attempts: []admin.Attempt{}}
	q := query("user", v.User, "login", v.Login, "application", v.Application, "server", v.ByServer, "reason", v.Reason, "method", v.Method, "verdict", v.Verdict, "since", from, "until", until, "here", flag(v.Here))
	doc.Next, err = e.pages(ctx, "/audit/attempts", q, v.After, v.Limit, func() (any, func() (int, string)) {
		var page admin.AttemptList
		return &page, func() (int, string) {
			doc.Attempts, doc.Silent = append(doc.Attempts, page.Attempts...), page.Silent
			return len(page.Attempts), page.Next
		}
	})
	if err != nil {
		return err
	}
	e.silent(doc.Silent)
	return e.table(doc, doc.Attempts, attemptColumns(doc.Attempts)...)
}

// attemptColumns are those of the table; what only a group without a master or a pair has
// stands in it where there is one.
func attemptColumns(all []admin.Attempt) []string {
	columns := []string{"time", "login", "application", "verdict", "reason", "method", "source", "server", "duration_ms", "attempt_id"}
	if slices.ContainsFunc(all, func(a admin.Attempt) bool { return a.Degraded }) {
		columns = append(columns, "degraded")
	}
	if slices.ContainsFunc(all, func(a admin.Attempt) bool { return a.Unreplicated }) {
		columns = append(columns, "unreplicated")
	}
	return columns
}

// silent names the servers whose records are missing in a list.
func (e *env) silent(all []admin.SilentServer) {
	for _, s := range all {
		fmt.Fprintf(e.Stderr, "countersign: warning: what server %s has recorded is missing here: %s\n", printable(s.Server), printable(s.Error))
	}
}

func flag(set bool) string {
	if set {
		return "true"
	}
	return ""
}

func (v *auditList) acts(ctx context.Context, e *env, since string) error {
	doc := admin.ActList{Acts: []mfa.Act{}}
	var err error
	doc.Next, err = e.pages(ctx, "/audit/acts", query("since", since, "here", flag(v.Here)), v.After, v.Limit, func() (any, func() (int, string)) {
		var page admin.ActList
		return &page, func() (int, string) {
			doc.Acts, doc.Silent = append(doc.Acts, page.Acts...), page.Silent
			return len(page.Acts), page.Next
		}
	})
	if err != nil {
		return err
	}
	e.silent(doc.Silent)
	return e.table(doc, doc.Acts, "time", "by", "verb", "object", "detail", "server")
}

type auditShow struct {
	Attempt string `arg:"" help:"Id of the attempt, as the user and the list were told it."`
}

func (v *auditShow) Run(ctx context.Context, e *env) error {
	var doc admin.Story
	if err := e.call(ctx, http.MethodGet, "/audit/attempts/"+url.PathEscape(v.Attempt), nil, nil, &doc); err != nil {
		return err
	}
	e.silent(doc.Silent)
	if e.JSON {
		return e.document(doc)
	}
	fmt.Fprintf(e.Stdout, "%s\n\n", printable(doc.Line))
	if doc.Attempt != nil {
		if err := e.show(doc.Attempt); err != nil {
			return err
		}
		fmt.Fprintln(e.Stdout)
	}
	return e.table(doc, doc.Events, "time", "server", "what", "detail")
}

type auditTail struct{}

func (auditTail) Run(ctx context.Context, e *env) error {
	answer, err := e.send(ctx, http.MethodGet, "/audit/tail", nil, nil, "")
	if err != nil {
		return err
	}
	defer answer.Close()
	lines := bufio.NewScanner(answer)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a struct {
			admin.Attempt
			Ended string `json:"ended"` // the last line: why there is no more
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return fmt.Errorf("the stream of %s is not understood: %w", e.client.target, err)
		}
		if a.Ended != "" {
			return fmt.Errorf("the stream of %s was ended: %s", e.client.target, a.Ended)
		}
		if e.JSON {
			fmt.Fprintf(e.Stdout, "%s\n", lines.Bytes())
			continue
		}
		fmt.Fprintf(e.Stdout, "%s  %-9s %-22s %s  %s  %s  %s\n", a.Time.In(e.Location).Format("2006-01-02 15:04:05"),
			a.Verdict, a.Reason, printable(a.Login), printable(a.Application), printable(a.Source), a.AttemptID)
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the stream of %s broke off: %w", e.client.target, err)
	}
	return nil
}

type auditVerify struct{}

func (auditVerify) Run(ctx context.Context, e *env) error {
	var doc admin.AuditVerification
	if err := e.call(ctx, http.MethodPost, "/audit/verify", nil, nil, &doc); err != nil {
		return err
	}
	if err := e.show(doc); err != nil {
		return err
	}
	if !doc.OK {
		return fmt.Errorf("the trail does not hold: %s", doc.Problem)
	}
	return nil
}
