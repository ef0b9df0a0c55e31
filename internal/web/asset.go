package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed asset/*
var assetFiles embed.FS

// Assets are the style sheet, the script and the icon, each under a name that holds its
// digest: a browser keeps it for ever, and never one of another version.
type Assets struct {
	Names map[string]string // as pages call it: the path that it is served at
	files map[string]asset  // by the name that it is served under
}

// asset is one file. Pages themselves are never compressed: what somebody else has put into one
// beside what is secret there would tell that by the length (BREACH). These hold no secret.
type asset struct{ plain, packed []byte }

// LoadAssets returns the files as they are served under a path that ends with a slash: "/assets/".
// They are those that all sets of pages share, and those in the folder asset of a set's own.
func LoadAssets(under string, own ...fs.FS) (Assets, error) {
	a := Assets{map[string]string{}, map[string]asset{}}
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
		kind := path.Ext(e.Name())
		if kind == ".js" {
			b = lean(b)
		}
		sum := sha256.Sum256(b)
		served := strings.TrimSuffix(e.Name(), kind) + "." + hex.EncodeToString(sum[:6]) + kind
		a.Names[e.Name()] = under + served
		if a.files[served], err = newAsset(b); err != nil {
			return err
		}
	}
	return nil
}

// lean returns a script without the lines that hold nothing but a comment (of the kind //): they are for
// those who read the source, and browsers on telephone networks need not load them.
func lean(script []byte) (out []byte) {
	for line := range bytes.Lines(script) {
		if !bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("//")) {
			out = append(out, line...)
		}
	}
	return out
}

func newAsset(b []byte) (asset, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return asset{}, err
	}
	if _, err := z.Write(b); err != nil {
		return asset{}, err
	}
	err = z.Close()
	return asset{b, packed.Bytes()}, err
}

// ServeHTTP serves one file by the name that holds its digest, which the route calls {file}.
func (a Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(r.URL.Path)))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Vary", "Accept-Encoding")
	b := f.plain
	if takesGzip(r) && len(f.packed) < len(b) {
		b = f.packed
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}

// takesGzip reports whether a browser says so, as all do. One that rules it out with a weight of
// zero (RFC 9110 section 12.5.3) gets the plain file, as does one that gives any weight.
func takesGzip(r *http.Request) bool {
	for _, list := range r.Header.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(one), "gzip") {
				return true
			}
		}
	}
	return false
}

// Weight is the size of all files as most browsers get them, in bytes.
func (a Assets) Weight() (n int) {
	for _, f := range a.files {
		n += min(len(f.plain), len(f.packed))
	}
	return n
}
