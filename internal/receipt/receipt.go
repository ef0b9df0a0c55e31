// Package receipt is where providers of text messages tell what has become of a message. Each message
// has an address of its own that only its provider knows; it lets nobody in and says nothing.
package receipt

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/provider"
	"countersign/internal/web"
)

// Prefix is the path that all addresses lie under.
const Prefix = "/receipts/"

const (
	// maxBody bounds what a provider sends, in bytes.
	maxBody = 16 << 10
	// maxToken bounds an address's own part, in bytes.
	maxToken = 512
)

// Message is the message that an address stands for.
type Message struct {
	Gateway string // that sent it
	ID      string // ours
	Until   time.Time
}

// API serves the addresses. All exported fields must be set.
type API struct {
	// Open returns what a token stands for, or an error for one that this group has not made.
	Open func(token string) (Message, error)
	// Gateway returns a gateway, or mfa.ErrNotFound.
	Gateway func(name string) (mfa.Gateway, error)
	// Told takes what is said of a message. It does not block.
	Told func(gateway, message string, said provider.Said)
	Now  func() time.Time
	Log  *slog.Logger

	strangers web.Limits // requests with no token of ours, by address: providers send many from few
}

// Handler returns what serves them. Whatever becomes of a receipt, its provider learns only that it
// need not send it again.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Prefix+"{token}", a.take)
	mux.HandleFunc("GET "+Prefix+"{token}", a.take) // some tell it in the query
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { a.refuse(w, r) })
	return web.Guard(mux, a.Log)
}

func (a *API) take(w http.ResponseWriter, r *http.Request) {
	token := r.PathValue("token")
	if len(token) > maxToken {
		a.refuse(w, r)
		return
	}
	m, err := a.Open(token)
	if err != nil {
		a.refuse(w, r)
		return
	}
	g, err := a.Gateway(m.Gateway)
	if err != nil || !a.Now().Before(m.Until) { // removed meanwhile, or too late to be of any use
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	said, err := provider.ReadReceipt(g.HTTP, r, body)
	if err != nil {
		a.Log.Warn("what a provider says of a message cannot be read; is the gateway's template that of the provider?", "gateway", m.Gateway, "error", err)
		http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
		return
	}
	a.Told(m.Gateway, m.ID, said)
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) refuse(w http.ResponseWriter, r *http.Request) {
	status := http.StatusNotFound
	if _, address := web.Source(r); !a.strangers.Allow(address, a.Now()) {
		w.Header().Set("Retry-After", "60")
		status = http.StatusTooManyRequests
	}
	http.Error(w, http.StatusText(status), status)
}
