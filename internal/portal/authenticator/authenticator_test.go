package authenticator

import (
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/web"
	"countersign/internal/web/webtest"
)

func TestCatalogues(t *testing.T) {
	webtest.Catalogues(t, textFiles)
	webtest.Pages(t, pageFiles)
}

// Every text that the page or a script names is in the catalogue, and every one there is named.
func TestTexts(t *testing.T) {
	all, err := web.LoadTexts(textFiles, "en")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	look := func(files fs.FS, glob, prefix string, patterns ...string) {
		names, err := fs.Glob(files, glob)
		if err != nil || len(names) == 0 {
			t.Fatalf("no %s: %v", glob, err)
		}
		for _, name := range names {
			b, err := fs.ReadFile(files, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range patterns {
				for _, m := range regexp.MustCompile(p).FindAllStringSubmatch(string(b), -1) {
					named[prefix+m[1]] = true
				}
			}
		}
	}
	look(pageFiles, "page/*", "", `\bt "([a-z0-9.-]+)"`)
	look(assetFiles, "asset/*.js", saidPrefix, `say\("([a-z.]+[a-z])"`, `new Error\("([a-z]+\.[a-z.]+)"\)`, `(?:\?|:) "(clock\.[a-z]+)"`)
	for _, outcome := range []string{"accepted", "denied", "wrong_number", "wrong_pin", "expired", "answered"} { // what the server may say
		named[saidPrefix+"outcome."+outcome] = true
	}
	for _, why := range []string{"left", "removed"} { // forget
		named[saidPrefix+"account."+why] = true
	}
	for key := range named {
		if _, ok := all[key]; !ok {
			t.Errorf("the text %q is not there", key)
		}
	}
	own, err := fs.ReadFile(textFiles, "text/en.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([^#=\s]+) = `).FindAllStringSubmatch(string(own), -1) {
		if !named[m[1]] {
			t.Errorf("nothing names the text %q", m[1])
		}
	}
}

func newSite(t *testing.T) http.Handler {
	t.Helper()
	a, err := New("acme & sons")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Routes(mux)
	return web.Guard(mux, slog.New(slog.NewTextHandler(t.Output(), nil)))
}

func get(t *testing.T, h http.Handler, path, language string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://portal.example"+path, nil)
	r.Header.Set("Accept-Language", language)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// maxWeight is what the app may weigh, in bytes, in one language: it comes over telephone networks.
const maxWeight = 60_000

// The service worker keeps everything that the page loads, and all of it is there, is small, and
// comes from nowhere else.
func TestFiles(t *testing.T) {
	h := newSite(t)
	for _, l := range mfa.Languages {
		_, page := get(t, h, Base, l.ID)
		_, worker := get(t, h, Base+"sw.js", l.ID)
		list := regexp.MustCompile(`const files = \[home(.*)\];`).FindStringSubmatch(worker)
		if list == nil {
			t.Fatalf("no list in\n%s", worker)
		}
		var kept []string
		if err := json.Unmarshal([]byte("["+strings.TrimPrefix(list[1], ",")+"]"), &kept); err != nil {
			t.Fatal(err)
		}
		weight := len(page) + len(worker)
		for _, file := range kept {
			res, body := get(t, h, file, l.ID)
			if res.StatusCode != http.StatusOK || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s: %s %v", file, res.Status, res.Header)
			}
			weight += len(body)
			if strings.HasSuffix(file, ".js") && !strings.Contains(res.Header.Get("Content-Type"), "javascript") {
				t.Errorf("%s is %s", file, res.Header.Get("Content-Type"))
			}
		}
		if weight > maxWeight {
			t.Errorf("%s: the app weighs %d bytes, %d are the most", l.ID, weight, maxWeight)
		}
		for _, m := range regexp.MustCompile(`(?:src|href)="(/authenticator/assets/[^"]+)"`).FindAllStringSubmatch(page, -1) {
			if !strings.Contains(list[1], m[1]) {
				t.Errorf("the page loads %s, which is not kept", m[1])
			}
		}
		if m := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:|https?://|ZgotmplZ`).FindString(page); m != "" {
			t.Errorf("the page holds %q", m)
		}
		if strings.Contains(worker, "{{") || !strings.Contains(page, "acme &amp; sons") || !strings.Contains(page, `lang="`+l.ID+`"`) {
			t.Errorf("%s: page or worker are not filled in", l.ID)
		}
		t.Logf("%s: %d bytes", l.ID, weight)
	}
}

func TestHeaders(t *testing.T) {
	h := newSite(t)
	for _, path := range []string{Base, Base + "sw.js"} {
		res, _ := get(t, h, path, "en")
		if p := res.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") || !strings.Contains(p, "frame-ancestors 'none'") {
			t.Errorf("%s: %s", path, p)
		}
		if c := res.Header.Get("Cache-Control"); c != "no-store" {
			t.Errorf("%s: %s", path, c)
		}
	}
	res, body := get(t, h, Base+"manifest.webmanifest", "de")
	var m struct {
		Name  string
		Lang  string
		Start string `json:"start_url"`
		Icons []struct{ Src, Sizes string }
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil || res.Header.Get("Content-Type") != "application/manifest+json" || m.Lang != "de" || m.Start != Base || !strings.HasSuffix(m.Name, "acme & sons") {
		t.Errorf("%v, %+v", err, m)
	}
	for _, i := range m.Icons {
		if res, _ := get(t, h, i.Src, "de"); res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "image/png" {
			t.Errorf("icon %s: %s", i.Src, res.Status)
		}
	}
	if res, _ := get(t, h, "/authenticator", "en"); res.Header.Get("Location") != Base {
		t.Errorf("without its slash it leads to %q", res.Header.Get("Location"))
	}
}

func TestLanguage(t *testing.T) {
	h := newSite(t)
	send := func(body string) *http.Response {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://portal.example"+Base+"language", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	if res := send("language=de"); res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 || res.Cookies()[0].Value != "de" {
		t.Errorf("%s %v", res.Status, res.Cookies())
	}
	if res := send("language=xx"); res.StatusCode != http.StatusUnprocessableEntity || len(res.Cookies()) != 0 {
		t.Errorf("%s %v", res.Status, res.Cookies())
	}
}
