package cli

import (
	"context"
	"fmt"
	"net/http"

	"countersign/internal/admin"
)

type consoleVerbs struct {
	Link consoleLink `cmd:"" help:"Make a one-time link for the first administrator."`
}

type consoleLink struct{}

func (consoleLink) Run(ctx context.Context, e *env) error {
	var l admin.SetupLink
	if err := e.call(ctx, http.MethodPost, "/console/links", nil, nil, &l); err != nil {
		return err
	}
	if e.JSON {
		return e.document(l)
	}
	fmt.Fprintf(e.Stdout, "%s\n", l.Link.Expose())
	e.say("Whoever opens it first, until %s, becomes the owner of the group.", l.Expires.Local().Format("15:04"))
	return nil
}
