package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"testing"
)

// A browser that takes it gets the files compressed, any other as they are; both the same bytes.
func TestAssetsAreCompressed(t *testing.T) {
	a, err := LoadAssets("/assets/")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(at, takes string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, at, nil)
		r.SetPathValue("file", path.Base(at))
		if takes != "" {
			r.Header.Set("Accept-Encoding", takes)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w
	}
	for name, at := range a.Names {
		plain := ask(at, "")
		if plain.Code != http.StatusOK || plain.Header().Get("Content-Encoding") != "" || plain.Header().Get("Vary") != "Accept-Encoding" || plain.Body.Len() == 0 {
			t.Errorf("%s plain: %d %v", name, plain.Code, plain.Header())
		}
		for _, takes := range []string{"gzip;q=0", "br", "identity"} {
			if w := ask(at, takes); w.Header().Get("Content-Encoding") != "" || !bytes.Equal(w.Body.Bytes(), plain.Body.Bytes()) {
				t.Errorf("%s for who takes %s: %v", name, takes, w.Header())
			}
		}
		w := ask(at, "br, GZIP, deflate")
		if w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s is not compressed: %v", name, w.Header())
			continue
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(z); err != nil || !bytes.Equal(b, plain.Body.Bytes()) {
			t.Errorf("%s is another file when it is compressed: %v", name, err)
		}
	}
	if w := ask("/assets/nothing.css", "gzip"); w.Code != http.StatusNotFound {
		t.Errorf("no such file: %d", w.Code)
	}
}

func TestScriptsAreLean(t *testing.T) {
	const script = "// What it is.\n\"use strict\";\n  // why\n  go(\"https://\"); // stays\n//\nlast"
	if got, want := string(lean([]byte(script))), "\"use strict\";\n  go(\"https://\"); // stays\nlast"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
