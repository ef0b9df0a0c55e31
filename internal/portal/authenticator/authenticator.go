// Package authenticator serves the app by which people approve their sign-ins: a page that a
// browser installs, with its own keys. All of it is files; what it asks of the server it asks of
// the paths under Base+"api/", which are not this package's.
package authenticator

import (
	"encoding/json"
	"net/http"

	"countersign/internal/mfa"
	"countersign/internal/web"
)

// Base is the path that everything lies under, and the scope of the service worker.
const Base = "/authenticator/"

// App serves the app's files. Call New.
type App struct {
	group    string
	assets   web.Assets
	editions map[string]edition // by language
}

// New makes the app of a group.
func New(group string) (*App, error) {
	a := &App{group: group, editions: map[string]edition{}}
	var err error
	if a.assets, err = web.LoadAssets(Base+"assets/", assetFiles); err != nil {
		return nil, err
	}
	for _, l := range mfa.Languages {
		if a.editions[l.ID], err = a.load(l.ID); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Routes adds the app to mux, whose handler is behind web.Guard.
func (a *App) Routes(mux *http.ServeMux) {
	mux.Handle("GET "+Base+"assets/{file}", a.assets)
	mux.HandleFunc("GET "+Base+"{$}", a.page)
	mux.HandleFunc("GET "+Base+"sw.js", a.worker)
	mux.HandleFunc("GET "+Base+"manifest.webmanifest", a.manifest)
	mux.HandleFunc("POST "+Base+"language", chooseLanguage)
	mux.Handle("GET /authenticator", http.RedirectHandler(Base, http.StatusSeeOther))
}

// policy is web.Guard's for a page that can be installed and may use the camera.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func (a *App) page(w http.ResponseWriter, r *http.Request) {
	e := a.editions[web.LanguageOf(r)]
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Permissions-Policy", "camera=(self), geolocation=(), microphone=()")
	h.Set("Content-Language", e.language)
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(e.page)
}

func (a *App) worker(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	_, _ = w.Write(a.editions[web.LanguageOf(r)].worker)
}

// icon is one picture of the manifest.
type icon struct {
	Source  string `json:"src"`
	Sizes   string `json:"sizes"`
	Type    string `json:"type"`
	Purpose string `json:"purpose"`
}

// manifest says how the app is installed (W3C Web Application Manifest).
func (a *App) manifest(w http.ResponseWriter, r *http.Request) {
	e := a.editions[web.LanguageOf(r)]
	small, large := a.assets.Names["icon-192.png"], a.assets.Names["icon-512.png"]
	w.Header().Set("Content-Type", "application/manifest+json")
	_ = json.NewEncoder(w).Encode(struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		Short      string `json:"short_name"`
		Language   string `json:"lang"`
		Start      string `json:"start_url"`
		Scope      string `json:"scope"`
		Display    string `json:"display"`
		Background string `json:"background_color"`
		Theme      string `json:"theme_color"`
		Icons      []icon `json:"icons"`
	}{Base, e.texts.Say("title") + " · " + a.group, a.group, e.language, Base, Base, "standalone", "#f5f6f8", "#1f4fd8", []icon{
		{small, "192x192", "image/png", "any"}, {large, "512x512", "image/png", "any"}, {large, "512x512", "image/png", "maskable"}}})
}

func chooseLanguage(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("language")
	if !mfa.IsLanguage(id) {
		http.Error(w, http.StatusText(http.StatusUnprocessableEntity), http.StatusUnprocessableEntity)
		return
	}
	web.KeepLanguage(w, id)
	http.Redirect(w, r, Base, http.StatusSeeOther)
}
