package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed asset/*
var assetFiles embed.FS

// assets are the style sheet, the script and the icon, each under a name that holds its
// digest: a browser keeps it for ever, and never one of another version.
type assets struct {
	names map[string]string // as pages call it: as it is served
	files map[string][]byte // as it is served
}

func loadAssets() (assets, error) {
	a := assets{map[string]string{}, map[string][]byte{}}
	entries, err := assetFiles.ReadDir("asset")
	if err != nil {
		return a, err
	}
	for _, e := range entries {
		b, err := assetFiles.ReadFile("asset/" + e.Name())
		if err != nil {
			return a, err
		}
		sum := sha256.Sum256(b)
		kind := path.Ext(e.Name())
		served := strings.TrimSuffix(e.Name(), kind) + "." + hex.EncodeToString(sum[:6]) + kind
		a.names[e.Name()] = "/assets/" + served
		a.files[served] = b
	}
	return a, nil
}

// ServeHTTP serves one file by the name that holds its digest.
func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, ok := a.files[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(r.URL.Path)))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(b)
}
