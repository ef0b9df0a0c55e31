package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"countersign/internal/admin"
)

type statusVerb struct{}

func (statusVerb) Run(ctx context.Context, e *env) error {
	var s admin.Status
	if err := e.call(ctx, http.MethodGet, "/status", nil, nil, &s); err != nil {
		return err
	}
	if e.JSON {
		return e.document(s)
	}
	members, fronts, warnings := s.Members, s.Fronts, s.Warnings
	s.Members, s.Fronts, s.Warnings, s.Alarms = nil, nil, nil, nil // alarms are among the warnings
	if err := e.show(s); err != nil {
		return err
	}
	for _, m := range members {
		reach := map[bool]string{true: "reachable", false: "not reachable"}[m.Reachable]
		fmt.Fprintf(e.Stdout, "member %s: %s, %s, revision %d, version %s\n", m.Name, m.Role, reach, m.Revision, m.Version)
	}
	for _, f := range fronts {
		state := map[bool]string{true: "listening", false: "not listening"}[f.OK]
		fmt.Fprintf(e.Stdout, "front end %s %s: %s\n", f.Kind, f.Address, state)
	}
	for _, w := range warnings {
		fmt.Fprintf(e.Stdout, "warning: %s\n", printable(w))
	}
	return nil
}

type doctorVerb struct{}

func (doctorVerb) Run(ctx context.Context, e *env) error {
	var doc admin.CheckList
	err := e.call(ctx, http.MethodPost, "/doctor", nil, nil, &doc)
	if errors.Is(err, errNotRunning) && e.Deps.Doctor != nil {
		e.say("%v.\nChecked without it:", err)
		if doc.Checks, err = e.Deps.Doctor(ctx, e.Globals); err != nil {
			return err
		}
		doc.OK = len(doc.Checks) > 0
		for _, c := range doc.Checks {
			doc.OK = doc.OK && c.OK
		}
	}
	if err != nil {
		return err
	}
	if !e.JSON && doc.SignIns.Detail != "" {
		fmt.Fprintf(e.Stdout, "sign-ins %s\nchanges %s\n", printable(doc.SignIns.Detail), printable(doc.Changes.Detail))
	}
	return e.checks(doc)
}

type logVerbs struct {
	Level logLevel `cmd:"" help:"Set a component's verbosity."`
}

type logLevel struct {
	Setting string `arg:"" help:"COMPONENT=LEVEL or LEVEL for all; debug, info, warn, error."`
	For     span   `help:"Go back after this time; absent: at the next start." placeholder:"DURATION"`
}

func (v *logLevel) Run(ctx context.Context, e *env) error {
	component, level, ok := strings.Cut(v.Setting, "=")
	if !ok {
		component, level = "", v.Setting
	}
	return change[admin.LogLevel](ctx, e, http.MethodPost, "/log-level",
		admin.LogLevel{Component: component, Level: level, Seconds: v.For.seconds()})
}

type testVerb struct {
	loginArg
	Application   string `required:"" help:"Name of the application that asks."`
	Source        string `help:"Address or station of the user, as the client would tell it."`
	PasswordStdin bool   `help:"Read the password from standard input (with the code behind it, if the application appends)."`
	PasswordFile  string `help:"Read it from a file." type:"path" placeholder:"FILE"`
	CodeStdin     bool   `help:"Read the answer to each challenge from standard input, one a line, behind the password."`
}

func (v *testVerb) Run(ctx context.Context, e *env) error {
	password, err := e.read(source{what: "password", stdin: v.PasswordStdin, file: v.PasswordFile, ask: true})
	if err != nil {
		return err
	}
	in := admin.TestRequest{Login: v.Login, Application: v.Application, Source: v.Source, Password: password}
	var r admin.TestResult
	var trace []string
	for {
		if err := e.call(ctx, http.MethodPost, "/test", nil, in, &r); err != nil {
			return err
		}
		trace = append(trace, r.Trace...)
		if r.Verdict != "challenge" || !v.CodeStdin && e.Prompt == nil {
			break
		}
		e.say("%s", printable(r.Message))
		in = admin.TestRequest{Login: v.Login, Application: v.Application, Source: v.Source, Handle: r.Handle}
		if in.Answer, err = e.read(source{what: "code", stdin: v.CodeStdin, ask: true}); err != nil {
			return err
		}
		r = admin.TestResult{}
	}
	r.Trace = trace
	return v.tell(e, r)
}

func (v *testVerb) tell(e *env, r admin.TestResult) error {
	if e.JSON {
		if err := e.document(r); err != nil {
			return err
		}
	} else {
		for _, t := range r.Trace {
			fmt.Fprintf(e.Stdout, "  %s\n", printable(t))
		}
		r.Trace, r.Handle = nil, nil
		if err := e.show(r); err != nil {
			return err
		}
	}
	switch r.Verdict {
	case "accept":
		return nil
	case "challenge":
		return errors.New("challenged: an answer is needed; give --code-stdin")
	}
	return fmt.Errorf("rejected: %s", r.Reason)
}
