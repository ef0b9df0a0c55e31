package console

import (
	"net/url"
	"slices"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// userFilter is which users a list shows, and which of them "all that fit" are. What is not known
// selects everybody.
type userFilter struct {
	Search    string
	State     string
	Factor    string // a method, or admin.NoFactor
	Tag       string
	Directory string
}

// maxTag bounds a tag and the name of a directory, in bytes.
const maxTag = 64

// readFilter reads it from a form or from the query of an address.
func readFilter(get func(name string) string) userFilter {
	f := userFilter{Search: get("search"), State: get("state"), Factor: get("factor"), Tag: strings.TrimSpace(get("tag")), Directory: get("directory")}
	switch f.State {
	case mfa.StateProtected.String(), mfa.StateExempt.String(), mfa.StateDenied.String():
	default:
		f.State = ""
	}
	if !slices.Contains(f.Factors(), f.Factor) {
		f.Factor = ""
	}
	if len(f.Search) > 253 {
		f.Search = ""
	}
	if len(f.Tag) > maxTag {
		f.Tag = ""
	}
	if len(f.Directory) > maxTag {
		f.Directory = ""
	}
	return f
}

// Factors are the second factors that users can be shown by; the first: they have none.
func (f userFilter) Factors() []string { return append([]string{admin.NoFactor}, admin.Factors()...) }

// Any reports whether the filter selects less than everybody.
func (f userFilter) Any() bool { return f != userFilter{} }

// Fields are those that are set, by the names that a form has for them.
func (f userFilter) Fields() map[string]string {
	all := map[string]string{}
	for name, value := range map[string]string{"search": f.Search, "state": f.State, "factor": f.Factor, "tag": f.Tag, "directory": f.Directory} {
		if value != "" {
			all[name] = value
		}
	}
	return all
}

// After is the query of the page behind a cursor.
func (f userFilter) After(cursor string) string {
	q := url.Values{"after": {cursor}}
	for name, value := range f.Fields() {
		q.Set(name, value)
	}
	return q.Encode()
}

// query selects them.
func (f userFilter) query(after string, limit int) admin.UserQuery {
	return admin.UserQuery{Search: strings.TrimSpace(f.Search), State: f.State, Factor: f.Factor, Tag: f.Tag, Directory: f.Directory, After: after, Limit: limit}
}
