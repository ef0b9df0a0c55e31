package web

import (
	"net/url"
	"path"
	"strings"
)

// LocalPath returns where a form or link wants to go back to, if that is a page of ours, and
// "/" otherwise: nobody is led elsewhere.
func LocalPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(to, "/") ||
		strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t\x00") || path.Clean(u.Path) != u.Path {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}
