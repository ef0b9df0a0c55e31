package cli

import (
	"context"
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/group"
)

type coordinatorJoin struct {
	Code string `arg:"" help:"The code, quoted or in one word; - reads it from standard input."`
}

func (v *coordinatorJoin) Run(ctx context.Context, e *env) error {
	if e.JoinCoordinator == nil {
		return errNotHere
	}
	code, err := e.code(v.Code)
	if err != nil {
		return err
	}
	return e.JoinCoordinator(ctx, e.Globals, code, func(p group.Preview) error {
		e.say("Coordinators %s; %s leads. The code was made by %s.", printable(strings.Join(p.Servers, ", ")), printable(p.Master), printable(p.By))
		return e.confirm("Become another coordinator beside them?")
	})
}

type coordinatorForget struct {
	Name string `arg:"" help:"Name of the coordinator."`
}

func (v *coordinatorForget) Run(ctx context.Context, e *env) error {
	if err := e.confirm("Take coordinator %s out for good? It will answer nobody any more, and needs a new code to come back.", v.Name); err != nil {
		return err
	}
	var doc admin.Removed
	if err := e.call(ctx, http.MethodPost, "/coordinator/forget", nil, admin.ForgetRequest{Name: v.Name}, &doc); err != nil {
		return err
	}
	return e.show(doc)
}

type coordinatorLeave struct{}

func (coordinatorLeave) Run(ctx context.Context, e *env) error {
	if err := e.confirm("Take this coordinator out? It ends and answers nobody any more; the others go on."); err != nil {
		return err
	}
	var doc admin.Removed
	if err := e.call(ctx, http.MethodPost, "/coordinator/leave", nil, nil, &doc); err != nil {
		return err
	}
	return e.show(doc)
}
