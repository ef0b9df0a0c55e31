package adminapi

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
)

// outsider compares with a description of the API by a program that is not ours, as those do
// who use it.
type outsider struct{ validator.Validator }

func newOutsider(t testing.TB, describe func() ([]byte, error)) outsider {
	t.Helper()
	raw, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := libopenapi.NewDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc, config.WithFormatAssertions(), config.WithoutSecurityValidation(),
		config.WithRejectUnsupportedBodyContent(), config.WithRejectUndeclaredRequestBody())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return outsider{v}
}

// request says what is wrong with a request, or "".
func (o outsider) request(r *http.Request) string {
	_, errs := o.ValidateHttpRequestSync(r)
	return complaints(errs)
}

// answer says what is wrong with the answer to a request, or "".
func (o outsider) answer(r *http.Request, w *http.Response) string {
	_, errs := o.ValidateHttpResponse(r, w)
	return complaints(errs)
}

func complaints(errs []*validation.ValidationError) string {
	var text strings.Builder
	for _, e := range errs {
		text.WriteString(e.Error() + "\n")
		for _, s := range e.SchemaValidationErrors {
			text.WriteString("  " + s.FieldPath + ": " + s.Reason + "\n")
		}
	}
	return text.String()
}

// TestDocumentByOutsider compares both descriptions with the schema of OpenAPI 3.1.
func TestDocumentByOutsider(t *testing.T) {
	for name, describe := range map[string]func() ([]byte, error){"server": Document, "coordinator": CoordinatorDocument} {
		if ok, errs := newOutsider(t, describe).ValidateDocument(); !ok {
			t.Errorf("the description of the %s: %s", name, complaints(errs))
		}
	}
}

// TestOutsiderComplains is that it looks at all at what the tests show it.
func TestOutsiderComplains(t *testing.T) {
	o := newOutsider(t, Document)
	ask := func(method, target, body string) *http.Request {
		return example{method + " x", target, body}.request("")
	}
	answer := func(status int, kind, body string) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}
	}
	for what, wrong := range map[string]string{
		"a body without what it must have": o.request(ask("POST", "/api-tokens", `{"name":"till"}`)),
		"a parameter of another type":      o.request(ask("GET", "/users?limit=many", "")),
		"a word that is none of the list":  o.request(ask("GET", "/users?state=asleep", "")),
		"a path that is not there":         o.request(ask("GET", "/nonsense", "")),
		"an answer without a field":        o.answer(ask("GET", "/users", ""), answer(200, "application/json", `{}`)),
		"an answer with a foreign field":   o.answer(ask("GET", "/users", ""), answer(200, "application/json", `{"users":[],"password":"x"}`)),
		"a time that is none":              o.answer(ask("GET", "/users", ""), answer(200, "application/json", `{"users":[{"created":"yesterday"}]}`)),
		"a refusal that is no problem":     o.answer(ask("GET", "/users", ""), answer(404, "text/plain", "no")),
		"a fault that is no problem":       o.answer(ask("GET", "/users", ""), answer(503, "application/json", `{"detail":"x"}`)),
	} {
		if wrong == "" {
			t.Errorf("nothing is said of %s", what)
		}
	}
}
