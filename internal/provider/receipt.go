package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"countersign/internal/mfa"
)

// Said is what a provider says of a message. Neither: nothing yet.
type Said struct {
	Arrived bool
	Lost    bool
	Why     string // the provider's words, printable and at most 128 bytes; no part of the message
}

// ReadReceipt reads what a provider has sent to {callback}: body is all of the request's, which is a
// form, a JSON document, or nothing if what is said stands in the query.
func ReadReceipt(t mfa.HTTPTemplate, r *http.Request, body []byte) (Said, error) {
	doc, err := contents(r, body)
	if err != nil {
		return Said{}, err
	}
	word := text(at(doc, t.Receipt.State))
	is := func(one string) bool { return strings.EqualFold(one, word) }
	s := Said{Arrived: word != "" && slices.ContainsFunc(t.Receipt.Arrived, is), Lost: word != "" && slices.ContainsFunc(t.Receipt.Lost, is)}
	if s.Lost {
		s.Why = printable(word)
		if code := printable(text(at(doc, t.Receipt.Error))); code != "" {
			s.Why += ", error " + code
		}
	}
	return s, nil
}

// contents returns what a request holds as one document.
func contents(r *http.Request, body []byte) (any, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case len(body) == 0:
		return fieldsOf(r.URL.Query()), nil
	case kind == "application/x-www-form-urlencoded":
		v, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, fmt.Errorf("the form cannot be read: %w", mfa.ErrInvalid) // the error itself would quote it
		}
		return fieldsOf(v), nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var doc any
	if d.Decode(&doc) != nil {
		return nil, fmt.Errorf("neither a form nor a JSON document: %w", mfa.ErrInvalid)
	}
	return doc, nil
}

// fieldsOf is a form as a document: of a field that comes more than once the first.
func fieldsOf(v url.Values) map[string]any {
	doc := map[string]any{}
	for name, values := range v {
		if len(values) > 0 {
			doc[name] = values[0]
		}
	}
	return doc
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 40)]
}

// lacks reports whether a value of a body is about an address that there is not.
func (v Values) lacks(template string) bool {
	return v.Callback == "" && strings.Contains(template, "{"+callback+"}")
}

// document fills in a body of JSON, and leaves out what lacks.
func (v Values) document(body string) ([]byte, error) {
	doc, err := decoded(body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(within(v.without(doc), func(s string) string { return v.fill(s, plain) }))
}

// without drops the fields of objects that are about an address that there is not.
func (v Values) without(doc any) any {
	switch d := doc.(type) {
	case map[string]any:
		for k, one := range d {
			if s, ok := one.(string); ok && v.lacks(s) {
				delete(d, k)
				continue
			}
			d[k] = v.without(one)
		}
	case []any:
		for i := range d {
			d[i] = v.without(d[i])
		}
	}
	return doc
}
