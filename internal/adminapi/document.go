package adminapi

import (
	"bytes"
	"encoding/json"
	"log/slog"
)

// documentVersion is the version of the API in the document that is kept with the sources:
// that of the path, not the program's.
const documentVersion = "v1"

// OpenAPI returns the document that describes every operation (OpenAPI 3.1, JSON), with an
// example of each.
func (a *API) OpenAPI() ([]byte, error) {
	a.illustrate()
	raw, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Document returns the same without a server: docs/api/openapi.json.
func Document() ([]byte, error) { return described().OpenAPI() }

// CoordinatorDocument is Document of an independent coordinator: docs/api/coordinator.json.
func CoordinatorDocument() ([]byte, error) { return describedCoordinator().OpenAPI() }

// described is the API of a server, to be described and not to be served.
func described() *API {
	a := New(nil, nil, documentVersion, slog.New(slog.DiscardHandler))
	a.Coordinator(nil)
	return a
}

func describedCoordinator() *API {
	return NewCoordinator(nil, nil, nil, documentVersion, slog.New(slog.DiscardHandler))
}
