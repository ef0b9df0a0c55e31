package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

func TestWhole(t *testing.T) {
	const form, parts = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
	off := func(s string) io.Reader {
		return io.MultiReader(strings.NewReader(s), iotest.ErrReader(io.ErrUnexpectedEOF))
	}
	for name, one := range map[string]struct {
		kind string
		body io.Reader
		code int
	}{
		"a form":                  {form, strings.NewReader("login=alice"), http.StatusOK},
		"a form in parts":         {parts, strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"login\"\r\n\r\nalice\r\n--x--\r\n"), http.StatusOK},
		"too large":               {form, strings.NewReader("login=alice&x=" + strings.Repeat("x", maxForm)), http.StatusRequestEntityTooLarge},
		"too large, in parts":     {parts, strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"login\"\r\n\r\n" + strings.Repeat("x", maxForm) + "\r\n--x--\r\n"), http.StatusRequestEntityTooLarge},
		"breaks off":              {form, off("login=alice"), http.StatusBadRequest},
		"breaks off, in parts":    {parts, off("--x\r\nContent-Disposition: form-data; name=\"login\"\r\n\r\nali"), http.StatusBadRequest},
		"not encoded as it says":  {form, strings.NewReader("login=%zz"), http.StatusBadRequest},
		"of a kind there is none": {"text/", strings.NewReader("login=alice"), http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			h := Guard(Whole(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if asked = true; r.PostFormValue("login") != "alice" {
					t.Errorf("login %q", r.PostFormValue("login"))
				}
			}), func(w http.ResponseWriter, _ *http.Request, err error) { w.WriteHeader(StatusOf(err)) }), slog.New(slog.DiscardHandler))
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://mfa.example/sign-in", one.body)
			r.Header.Set("Content-Type", one.kind)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != one.code || asked != (one.code == http.StatusOK) {
				t.Errorf("%d, want %d; the page was asked: %t", w.Code, one.code, asked)
			}
		})
	}
}
