package web

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Seals is what keeps a form that lies in a browser: only a server of the group can read or
// make it, and only for the same kind, owner and id. A keyring.Ring does.
type Seals interface {
	Seal(kind, owner, id string, plain []byte) ([]byte, error)
	Open(kind, owner, id string, sealed []byte) (secret.Text, error)
}

// Forms keep forms that cannot be carried out yet. One that is small enough for an address is
// sealed and given back to the browser that sent it, so that any server of the group carries
// it out; a larger one lies in the Drawer of this server. Each is its author's alone, and is
// taken out once at each server. All exported fields must be set.
type Forms struct {
	Seals  Seals
	Drawer *Drawer

	mu   sync.Mutex
	used map[string]time.Time // what was taken out here, until when it would be good
}

const (
	keptKind   = "kept form"
	keptMark   = "~"     // what a name begins with that is the form itself
	keptName   = 6 << 10 // bytes: with the rest of an address it fits what proxies take by default
	keptPlain  = keptName/4*3 - 64
	maxUsed    = 4096
	keptIDSize = 16
)

// sealedForm is what is sealed.
type sealedForm struct {
	ID    []byte    `json:"id"`
	Until time.Time `json:"until"`
	URL   string    `json:"url"`
	Form  string    `json:"form"`
}

// Put keeps k, which is a form, and returns what names it; "" if it is too large.
func (f *Forms) Put(owner mfa.UserID, k Kept, now time.Time) string {
	id := make([]byte, keptIDSize)
	_, _ = rand.Read(id) // never fails
	plain, err := json.Marshal(sealedForm{id, now.Add(KeptFor), k.URL.RequestURI(), k.Form.Encode()})
	if err != nil || len(plain) > keptPlain {
		return f.Drawer.Put(owner, k, now)
	}
	sealed, err := f.Seals.Seal(keptKind, string(owner), "", plain)
	if err != nil {
		return f.Drawer.Put(owner, k, now)
	}
	return keptMark + base64.RawURLEncoding.EncodeToString(sealed)
}

// Take returns what Put was given, here or at another server of the group, to its owner, and
// once.
func (f *Forms) Take(owner mfa.UserID, name string, now time.Time) (Kept, bool) {
	sealed, is := strings.CutPrefix(name, keptMark)
	if !is {
		return f.Drawer.Take(owner, name, now)
	}
	if len(sealed) > keptName {
		return Kept{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return Kept{}, false
	}
	plain, err := f.Seals.Open(keptKind, string(owner), "", b)
	if err != nil {
		return Kept{}, false
	}
	var s sealedForm
	if json.Unmarshal(plain.Expose(), &s) != nil || len(s.ID) != keptIDSize || !now.Before(s.Until) || !f.first(string(s.ID), s.Until, now) {
		return Kept{}, false
	}
	to, err := url.ParseRequestURI(s.URL)
	if err != nil {
		return Kept{}, false
	}
	form, err := url.ParseQuery(s.Form)
	return Kept{URL: to, Form: form}, err == nil
}

// Request is the request with which the browser of r would send k now, with a session's token in
// the cookie of that name.
func (k Kept) Request(r *http.Request, cookie string, token secret.Text) *http.Request {
	sent := r.Clone(r.Context())
	sent.Method, sent.URL, sent.RequestURI = http.MethodPost, k.URL, k.URL.RequestURI()
	sent.Form, sent.PostForm, sent.MultipartForm, sent.Body = k.Form, k.Form, nil, http.NoBody
	sent.Header.Del("Cookie")
	for _, k := range r.Cookies() {
		if k.Name != cookie {
			sent.AddCookie(k)
		}
	}
	sent.AddCookie(&http.Cookie{Name: cookie, Value: string(token.Expose())}) //nolint:gosec // to ourselves
	return sent
}

// first reports whether a form was not taken out here before. When there are more of them than
// anybody sends, none is taken out.
func (f *Forms) first(id string, until, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for one, over := range f.used {
		if !now.Before(over) {
			delete(f.used, one)
		}
	}
	if _, was := f.used[id]; was || len(f.used) >= maxUsed {
		return false
	}
	if f.used == nil {
		f.used = map[string]time.Time{}
	}
	f.used[id] = until
	return true
}
