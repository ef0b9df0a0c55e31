package webtest

import (
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// PageForm is one form of a page as it would be sent untouched.
type PageForm struct {
	Method, Action string
	Fields         url.Values
	Names          []string // of all fields, in order
}

var (
	formTag   = regexp.MustCompile(`(?s)<form([^>]*)>(.*?)</form>`)
	fieldTag  = regexp.MustCompile(`(?s)<(input|select)\b([^>]*)>|<(textarea)\b([^>]*)>(.*?)</textarea>`)
	selectTag = regexp.MustCompile(`(?s)<select([^>]*)>(.*?)</select>`)
	attribute = regexp.MustCompile(`([a-z_-]+)="([^"]*)"`)
	chosen    = regexp.MustCompile(`<option(?: value="([^"]*)")?[^>]*\bselected\b`)
)

func attributesOf(s string) map[string]string {
	all := map[string]string{}
	for _, m := range attribute.FindAllStringSubmatch(s, -1) {
		all[m[1]] = html.UnescapeString(m[2])
	}
	return all
}

// Forms are those of a page.
func Forms(body string) (all []PageForm) {
	for _, m := range formTag.FindAllStringSubmatch(body, -1) {
		a := attributesOf(m[1])
		f := PageForm{Method: a["method"], Action: a["action"], Fields: url.Values{}}
		for _, m := range fieldTag.FindAllStringSubmatch(m[2], -1) {
			a := attributesOf(m[2] + m[4])
			name, value := a["name"], a["value"]
			if name == "" {
				continue
			}
			if !slices.Contains(f.Names, name) {
				f.Names = append(f.Names, name)
			}
			off := (a["type"] == "checkbox" || a["type"] == "radio") && !strings.Contains(m[2], " checked")
			if m[3] == "textarea" {
				value = html.UnescapeString(m[5])
			}
			if !off && m[1] != "select" {
				f.Fields.Add(name, value)
			}
		}
		for _, s := range selectTag.FindAllStringSubmatch(m[2], -1) {
			if c := chosen.FindStringSubmatch(s[2]); c != nil {
				f.Fields.Set(attributesOf(s[1])["name"], html.UnescapeString(c[1]))
			}
		}
		all = append(all, f)
	}
	return all
}

// With are a form's fields as names and values in turn, one of them replaced.
func (f PageForm) With(name, value string) (all []string) {
	for n, vs := range f.Fields {
		if n != name && len(vs) > 0 {
			all = append(all, n, vs[0])
		}
	}
	return append(all, name, value)
}
