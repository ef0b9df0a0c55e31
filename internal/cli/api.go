package cli

import (
	"context"
	"io"
	"net/http"
)

type apiVerbs struct {
	OpenAPI apiOpenAPI `cmd:"" name:"openapi" help:"Print the description of the REST API (OpenAPI 3.1, JSON), as the server serves it."`
}

type apiOpenAPI struct{}

func (apiOpenAPI) Run(ctx context.Context, e *env) error {
	doc, err := e.send(ctx, http.MethodGet, "/openapi.json", nil, nil, "")
	if err != nil {
		return err
	}
	defer doc.Close()
	_, err = io.Copy(e.Stdout, io.LimitReader(doc, maxAnswer))
	return err
}
