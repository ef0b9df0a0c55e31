package authenticator

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
	script "text/template"

	"countersign/internal/mfa"
	"countersign/internal/web"
)

//go:embed page/*
var pageFiles embed.FS

//go:embed text/*.txt
var textFiles embed.FS

//go:embed asset/*
var assetFiles embed.FS

// scripts are those of the page in the order that they build on each other; the service worker
// has the first ones too.
var (
	scripts = []string{"store.js", "server.js", "totp.js", "page.js", "notify.js", "request.js", "account.js", "codes.js", "scan.js", "app.js"}
	shared  = scripts[:2]
)

// saidPrefix marks the texts that scripts show.
const saidPrefix = "say."

// edition is the app in one language, as it is served.
type edition struct {
	language string
	texts    web.Texts
	page     []byte
	worker   []byte
}

func (a *App) load(language string) (edition, error) {
	texts, err := web.LoadTexts(textFiles, language)
	if err != nil {
		return edition{}, err
	}
	e := edition{language: language, texts: texts}
	if e.page, err = a.makePage(e); err != nil {
		return edition{}, err
	}
	e.worker, err = a.makeWorker(e)
	return e, err
}

// paths are those at which files are served.
func (a *App) paths(names []string) (all []string) {
	for _, n := range names {
		all = append(all, a.assets.Names[n])
	}
	return all
}

func (a *App) makePage(e edition) ([]byte, error) {
	t, err := template.New("app.html").Funcs(template.FuncMap{"t": e.texts.Say, "asset": func(name string) string { return a.assets.Names[name] }}).
		ParseFS(pageFiles, "page/app.html")
	if err != nil {
		return nil, err
	}
	said := map[string]string{}
	for key, text := range e.texts {
		if short, ok := strings.CutPrefix(key, saidPrefix); ok {
			said[short] = text
		}
	}
	var languages []web.Offer
	for _, l := range mfa.Languages {
		languages = append(languages, web.Offer{Language: l, Now: l.ID == e.language})
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		Group     string
		Scripts   []string
		Languages []web.Offer
		Said      map[string]string
	}{a.group, a.paths(scripts), languages, said})
	return b.Bytes(), err
}

// makeWorker fills in the service worker. What it keeps is named by a digest of all of it, so
// that a browser sees from the script alone that there is something newer.
func (a *App) makeWorker(e edition) ([]byte, error) {
	source, err := pageFiles.ReadFile("page/sw.js")
	if err != nil {
		return nil, err
	}
	t, err := script.New("sw.js").Funcs(script.FuncMap{"js": quoted, "t": e.texts.Say}).Parse(string(source))
	if err != nil {
		return nil, err
	}
	files := append(a.paths(scripts), a.assets.Names["console.css"], a.assets.Names["icon.svg"], a.assets.Names["icon-192.png"])
	digest := sha256.Sum256(slices.Concat(source, e.page, []byte(strings.Join(files, "\n"))))
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		Version, Icon string
		Shared, Files []string
	}{hex.EncodeToString(digest[:6]), a.assets.Names["icon-192.png"], a.paths(shared), files})
	return b.Bytes(), err
}

// quoted writes a text as a JavaScript string.
func quoted(s string) (string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("service worker: %w", err)
	}
	return string(b), nil
}
