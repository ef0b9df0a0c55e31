package adminapi

import (
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"countersign/internal/web"
)

// BrowsePath is where the description of the API is served to people.
const BrowsePath = "/api/"

// Browse returns what serves the description of the API under BrowsePath: the page, and
// beside it the document that the page names. It is the same for everybody, tells nothing of
// this server, and needs no session. It is drawn when somebody asks for it first.
func Browse(log *slog.Logger) http.Handler {
	type drawn struct {
		page, document []byte
		policy         string
	}
	draw := sync.OnceValues(func() (d drawn, err error) {
		if d.page, err = Page(); err != nil {
			return d, err
		}
		d.policy = "default-src 'none'; style-src " + styleHash(string(d.page)) + "; frame-ancestors 'none'; base-uri 'none'"
		d.document, err = Document()
		return d, err
	})
	mux := http.NewServeMux()
	serve := func(pattern, kind string, body func(drawn) []byte) {
		mux.HandleFunc("GET "+BrowsePath+pattern, func(w http.ResponseWriter, _ *http.Request) {
			d, err := draw()
			if err != nil {
				log.Error("the description of the API could not be drawn", "error", err)
				writeProblem(w, http.StatusInternalServerError, "the server's log says why")
				return
			}
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Security-Policy", d.policy)
			_, _ = w.Write(body(d))
		})
	}
	serve("{$}", "text/html; charset=utf-8", func(d drawn) []byte { return d.page })
	serve("openapi.json", "application/json", func(d drawn) []byte { return d.document })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, http.StatusNotFound, "no page "+r.Method+" "+r.URL.Path)
	})
	return web.Guard(mux, log)
}

// styleHash names the only style sheet that the page holds, as a content policy does.
func styleHash(page string) string {
	_, style, _ := strings.Cut(page, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
