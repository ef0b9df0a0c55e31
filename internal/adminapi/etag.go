package adminapi

import "strings"

// Precondition is the part of an input by which a change is made only if the object is as
// the caller saw it (RFC 9110 13.1.1). What is not is answered with 412.
type Precondition struct {
	IfMatch string `header:"If-Match" maxLength:"64" doc:"the ETag of what the change was decided from; absent or *: make it in any case"`
}

// match returns the ETag as package admin has it, or "". A weak one matches nothing.
func (p Precondition) match() string {
	if p.IfMatch == "*" {
		return ""
	}
	return strings.Trim(p.IfMatch, `"`)
}

// etagged is an object whose states have names.
type etagged interface{ ETag() string }

// tagOf returns the ETag of an object that has one, as a header, or "".
func tagOf(v any) string {
	if t, ok := v.(etagged); ok {
		return `"` + t.ETag() + `"`
	}
	return ""
}
