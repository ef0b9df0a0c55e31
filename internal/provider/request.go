package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"countersign/internal/mfa"
)

// The forms of a body.
const (
	formatJSON = "json"
	formatForm = "form"
)

// bodyValues returns the values in a body in which placeholders may stand.
func bodyValues(t mfa.HTTPTemplate) ([]string, error) {
	switch t.Format {
	case formatForm:
		fields, err := form(t.Body)
		values := make([]string, 0, len(fields))
		for _, f := range fields {
			values = append(values, f[1])
		}
		return values, err
	case formatJSON:
		var values []string
		_, err := document(t.Body, func(s string) string {
			values = append(values, s)
			return s
		})
		return values, err
	case "":
		if t.Body != "" {
			return nil, fmt.Errorf("format: want json or form for a request with a body")
		}
		return nil, nil
	}
	return nil, fmt.Errorf("format %q: want json or form", t.Format)
}

// form reads name=value lines.
func form(body string) (fields [][2]string, err error) {
	for l := range strings.Lines(body) {
		if l = strings.TrimRight(l, "\r\n"); l == "" {
			continue
		}
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("body, line %q: want name=value", l)
		}
		fields = append(fields, [2]string{name, value})
	}
	return fields, nil
}

// document returns a JSON document in which each text value has been replaced.
func document(body string, replace func(string) string) ([]byte, error) {
	v, err := decoded(body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(within(v, replace))
}

// decoded reads one JSON document.
func decoded(body string) (any, error) {
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("body: no JSON document: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("body: more than one JSON document")
	}
	return v, nil
}

func within(v any, replace func(string) string) any {
	switch v := v.(type) {
	case string:
		return replace(v)
	case []any:
		for i := range v {
			v[i] = within(v[i], replace)
		}
	case map[string]any:
		for k := range v {
			v[k] = within(v[k], replace)
		}
	}
	return v
}

// Request makes the request. What is filled in is escaped for where it stands.
func Request(address string, t mfa.HTTPTemplate, v Values) (*http.Request, error) {
	var body []byte
	kind := ""
	switch t.Format {
	case formatForm:
		fields, err := form(t.Body)
		if err != nil {
			return nil, err
		}
		values := url.Values{}
		for _, f := range fields {
			if !v.lacks(f[1]) {
				values.Add(f[0], v.fill(f[1], plain))
			}
		}
		body, kind = []byte(values.Encode()), "application/x-www-form-urlencoded"
	case formatJSON:
		b, err := v.document(t.Body)
		if err != nil {
			return nil, err
		}
		body, kind = b, "application/json"
	}
	r, err := http.NewRequest(t.Method, v.fill(address, url.QueryEscape), bytes.NewReader(body)) //nolint:noctx // whoever sends it gives it one
	if err != nil {
		return nil, fmt.Errorf("the address cannot be filled in") // the error itself could hold a password
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("Accept", "application/json")
	for name, value := range t.Headers {
		filled := v.fill(value, plain)
		if strings.ContainsAny(filled, "\r\n\x00") {
			return nil, fmt.Errorf("header %s: what is filled in has more than one line", name)
		}
		r.Header.Set(name, filled)
	}
	return r, nil
}

// Judge reads an answer. It returns the provider's name for the message, or an error that is a
// mfa.Reason with what was found.
func Judge(t mfa.HTTPTemplate, status int, body []byte) (ref string, err error) {
	var doc any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&doc) != nil {
		doc = nil
	}
	for _, r := range t.Refuse {
		if fits(r, status, doc) {
			var why mfa.Reason
			_ = why.UnmarshalText([]byte(r.Reason)) // checked when it was saved; the zero reason is none that passes
			return "", fmt.Errorf("%w: it answered %s", why, told(r, status))
		}
	}
	if status >= 300 && status < 400 {
		return "", fmt.Errorf("%w: it answered %d, a redirect, which is not followed", mfa.GatewayRefused, status)
	}
	for _, r := range t.Accept {
		if fits(r, status, doc) {
			return text(at(doc, t.ID)), nil
		}
	}
	switch {
	case len(t.Accept) == 0 && status/100 == 2:
		return text(at(doc, t.ID)), nil
	case status == http.StatusTooManyRequests:
		return "", fmt.Errorf("%w: it answered %d: more at a time than it takes", mfa.GatewaySlow, status)
	case status/100 == 5:
		return "", fmt.Errorf("%w: it answered %d", mfa.GatewayDown, status)
	case status == http.StatusPaymentRequired:
		return "", fmt.Errorf("%w: it answered %d", mfa.GatewayNoCredit, status)
	case status/100 == 2:
		return "", fmt.Errorf("%w: it answered %d, but not what says that the message was taken", mfa.GatewayRefused, status)
	}
	return "", fmt.Errorf("%w: it answered %d", mfa.GatewayRefused, status)
}

func told(r mfa.HTTPRule, status int) string {
	if r.Path == "" {
		return strconv.Itoa(status)
	}
	return fmt.Sprintf("%d with %s = %q", status, r.Path, r.Value)
}

func fits(r mfa.HTTPRule, status int, doc any) bool {
	if r.Status != 0 && r.Status != status || r.Status == 0 && r.Path == "" {
		return false
	}
	if r.Path == "" {
		return true
	}
	v := at(doc, r.Path)
	return v != nil && text(v) == r.Value
}

// at returns the value at a path of names and numbers, or nil.
func at(doc any, path string) any {
	if path == "" {
		return nil
	}
	for name := range strings.SplitSeq(path, ".") {
		switch d := doc.(type) {
		case map[string]any:
			doc = d[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(d) {
				return nil
			}
			doc = d[i]
		default:
			return nil
		}
	}
	return doc
}

// text returns a value as one writes it into a rule; "" for what is no single value.
func text(v any) string {
	s := ""
	switch v := v.(type) {
	case string:
		s = v
	case json.Number:
		s = v.String()
	case bool:
		s = strconv.FormatBool(v)
	}
	if len(s) > 128 {
		return s[:128]
	}
	return s
}
