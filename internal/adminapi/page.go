package adminapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed page.html
var pageText string

// Page returns the description of the API as one page that loads nothing: docs/api/index.html.
func Page() ([]byte, error) { return described().page("openapi.json") }

// CoordinatorPage is Page of an independent coordinator: docs/api/coordinator.html.
func CoordinatorPage() ([]byte, error) { return describedCoordinator().page("coordinator.json") }

// page draws the document, which programs find under the name given beside it.
func (a *API) page(document string) ([]byte, error) {
	a.illustrate()
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, err
	}
	doc := a.huma.OpenAPI()
	var out bytes.Buffer
	err = page.Execute(&out, shownPage{doc.Info.Title, doc.Info.Description, document, shown(doc)})
	return out.Bytes(), err
}

// What the page shows.
type (
	shownPage struct {
		Title, Intro, Document string
		Groups                 []shownGroup
	}
	shownGroup struct {
		Name       string
		Operations []shownOperation
	}
	shownOperation struct {
		ID, Method, Path, Summary, Description string
		Parameters                             []shownField
		Body, Answer                           string // names of schemas
		Fields                                 []shownField
		Example                                string
	}
	shownField struct {
		Name, In, Type, Doc string
		Required            bool
	}
)

// shown orders the document by the first part of the paths.
func shown(doc *huma.OpenAPI) []shownGroup {
	groups := map[string]*shownGroup{}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		ops := methodsOf(doc.Paths[path])
		for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
			op := ops[method]
			if op == nil {
				continue
			}
			g := groups[op.Tags[0]]
			if g == nil {
				g = &shownGroup{Name: op.Tags[0]}
				groups[op.Tags[0]] = g
			}
			g.Operations = append(g.Operations, shownOperationOf(doc, method, path, op))
		}
	}
	var out []shownGroup
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		out = append(out, *groups[name])
	}
	return out
}

func shownOperationOf(doc *huma.OpenAPI, method, path string, op *huma.Operation) shownOperation {
	s := shownOperation{ID: op.OperationID, Method: method, Path: Prefix + path, Summary: op.Summary, Description: op.Description}
	for _, p := range op.Parameters {
		s.Parameters = append(s.Parameters, shownField{p.Name, p.In, typeOf(p.Schema), p.Description, p.Required})
	}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			s.Body, s.Fields = fieldsOf(doc, media.Schema)
			s.Example = exampleText(media.Example)
		}
	}
	if ok := op.Responses["200"]; ok != nil {
		for _, media := range ok.Content {
			s.Answer, _ = fieldsOf(doc, media.Schema)
		}
	}
	return s
}

// fieldsOf returns the name of a schema and its fields.
func fieldsOf(doc *huma.OpenAPI, s *huma.Schema) (name string, fields []shownField) {
	if s == nil {
		return "", nil
	}
	if len(s.AllOf) == 2 { // what must be there beside what may be: requires
		name, fields = fieldsOf(doc, s.AllOf[0])
		for i, f := range fields {
			fields[i].Required = f.Required || slices.Contains(s.AllOf[1].Required, f.Name)
		}
		return name, fields
	}
	if s.Ref != "" {
		name = strings.TrimPrefix(s.Ref, "#/components/schemas/")
		s = doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	for _, n := range slices.Sorted(maps.Keys(s.Properties)) {
		fields = append(fields, shownField{n, "body", typeOf(s.Properties[n]), s.Properties[n].Description, slices.Contains(s.Required, n)})
	}
	return name, fields
}

// typeOf says in a few words what a value is.
func typeOf(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, "#/components/schemas/")
	case s.Items != nil:
		return "list of " + typeOf(s.Items)
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			words[i] = fmt.Sprint(e)
		}
		return strings.Join(words, " | ")
	case s.Format == "date-time":
		return "time (RFC 3339)"
	}
	return s.Type
}

func exampleText(v any) string {
	switch x := v.(type) {
	case json.RawMessage:
		var out bytes.Buffer
		if json.Indent(&out, x, "", "  ") == nil {
			return out.String()
		}
		return string(x)
	case string:
		return x
	}
	return ""
}
