package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed asset/*
var assetFiles embed.FS

// Assets are the style sheet, the script and the icon, each under a name that holds its
// digest: a browser keeps it for ever, and never one of another version.
type Assets struct {
	Names map[string]string // as pages call it: the path that it is served at
	files map[string][]byte // as it is served
}

// LoadAssets returns the files as they are served under a path that ends with a slash: "/assets/".
// They are those that all sets of pages share, and those in the folder asset of a set's own.
func LoadAssets(under string, own ...fs.FS) (Assets, error) {
	a := Assets{map[string]string{}, map[string][]byte{}}
	for _, files := range append([]fs.FS{assetFiles}, own...) {
		if err := a.load(under, files); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (a Assets) load(under string, files fs.FS) error {
	entries, err := fs.ReadDir(files, "asset")
	if err != nil {
		return err
	}
	for _, e := range entries {
		b, err := fs.ReadFile(files, "asset/"+e.Name())
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		kind := path.Ext(e.Name())
		served := strings.TrimSuffix(e.Name(), kind) + "." + hex.EncodeToString(sum[:6]) + kind
		a.Names[e.Name()] = under + served
		a.files[served] = b
	}
	return nil
}

// ServeHTTP serves one file by the name that holds its digest, which the route calls {file}.
func (a Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, ok := a.files[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(r.URL.Path)))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(b)
}

// Weight is the size of all files, in bytes.
func (a Assets) Weight() (n int) {
	for _, b := range a.files {
		n += len(b)
	}
	return n
}
