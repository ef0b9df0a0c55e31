package web

import (
	"net/url"
	"strings"
	"testing"
)

// Wherever a link or a form says that it goes back to, it is a page of ours.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "/users?search=a", "//evil.example", `/\\evil.example`, "https://evil.example/", "/%2f/evil", "/a\r\nb", "/a?b#c", "/a;b", "/@evil"} {
		f.Add(s)
	}
	base := &url.URL{Scheme: "https", Host: "nyc1.example", Path: "/confirm"}
	f.Fuzz(func(t *testing.T, to string) {
		got := LocalPath(to)
		u, err := base.Parse(got)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || u.User != nil {
			t.Fatalf("%q leads to %q: %v, %v", to, got, u, err)
		}
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.HasPrefix(got, `/\`) || strings.ContainsAny(got, "\r\n\x00") {
			t.Fatalf("%q leads to %q", to, got)
		}
		if again := LocalPath(got); again != got {
			t.Fatalf("%q leads to %q, and that to %q", to, got, again)
		}
	})
}
