package portal

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/web/webtest"
)

// every are the pages of somebody who is signed in, with what they have.
func (r *rig) every() (all []string) {
	r.t.Helper()
	seen := map[string]bool{home: true}
	for next := []string{home}; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		for _, to := range webtest.Links(r.get(next[0]).body) {
			path, _, _ := strings.Cut(to, "?")
			if strings.HasPrefix(path, Base+"/") && !strings.Contains(path, "/assets/") && !seen[path] {
				seen[path] = true
				next = append(next, path)
			}
		}
	}
	return all
}

// What a user types into any field of any form is text wherever it is shown, and no header.
func TestEveryFieldIsText(t *testing.T) {
	r, _ := enrolled(t)
	tried := 0
	innocent := func(what string, p page) {
		t.Helper()
		if body := strings.ToLower(p.body); strings.Contains(body, "<script>") || strings.Contains(body, "<img src=x") {
			t.Errorf("%s becomes part of the page", what)
		}
		if to := p.Header.Get("Location"); to != "" && !strings.HasPrefix(to, Base+"/") {
			t.Errorf("%s leads to %q", what, to)
		}
		for name, values := range p.Header {
			if strings.ContainsAny(strings.Join(values, ""), "\r\n") {
				t.Errorf("%s becomes part of header %s", what, name)
			}
		}
	}
	for _, path := range r.every() {
		for _, f := range webtest.Forms(r.get(path).body) {
			if f.Method != "post" || strings.HasSuffix(f.Action, "/sign-out") || strings.HasSuffix(f.Action, "/remove") || strings.HasSuffix(f.Action, "/not-me") {
				continue // ends what the others need
			}
			for _, name := range f.Names {
				for _, evil := range []string{`"><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}`, "x\r\nSet-Cookie: evil=1\r\n\r\n<script>", "https://evil.example/"} {
					r.now = r.now.Add(time.Second)
					p := r.post(f.Action, f.With(name, evil)...)
					tried++
					if innocent(path+" "+f.Action+" "+name, p); p.StatusCode == http.StatusInternalServerError {
						t.Errorf("%s %s %s: %s", path, f.Action, name, p.text())
					}
				}
			}
		}
	}
	for _, path := range r.every() {
		innocent(path, r.get(path))
	}
	if tried < 20 {
		t.Errorf("%d fields were tried; the forms are not found", tried)
	}
}

// productNames are English on German pages too.
var productNames = regexp.MustCompile(`Google Authenticator|Microsoft Authenticator`)

// Every page is German for who reads German.
func TestEveryPageInGerman(t *testing.T) {
	r, _ := enrolled(t)
	ask := func(path string) page {
		req := webtest.Get(t, path)
		req.Header.Set("Accept-Language", "de")
		return r.send(req)
	}
	pages := append(r.every(), Base+"/sign-in", welcomePath, Base+"/confirm", Base+"/nowhere")
	if len(pages) < 8 {
		t.Errorf("only %v", pages)
	}
	for _, path := range pages {
		for _, said := range webtest.Untranslated(t, textFiles, "de", ask(path).body, productNames) {
			t.Errorf("%s says %s", path, said)
		}
	}
}
