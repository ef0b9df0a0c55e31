// Package deviceapi is where devices call: it reads their requests, finds out which of them it
// is, and writes what package approval says. Nothing is remembered between two requests.
package deviceapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"countersign/internal/approval"
	"countersign/internal/device"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// Prefix is the path that all calls lie under.
const Prefix = "/authenticator/api/"

// maxBody bounds a request's body in bytes.
const maxBody = 8 << 10

// maxPIN bounds a PIN in bytes.
const maxPIN = 64

// API serves the calls. All exported fields must be set.
type API struct {
	Approval *approval.Service
	Settings func() policy.Settings // of the group: what strangers may
	Now      func() time.Time
	Log      *slog.Logger

	strangers *web.Limits // by address: activations, and requests that nobody's key has signed
	devices   web.Limits
}

// Handler returns what serves them.
func (a *API) Handler() http.Handler {
	a.strangers = web.Strangers(a.Settings)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Prefix+"activate", a.activate)
	mux.HandleFunc("POST "+Prefix+"subscribe", signed(a, func(r *http.Request, d approval.Device, _ approval.Signed, to approval.Subscription) (any, error) {
		return nil, a.Approval.Subscribe(r.Context(), d, to)
	}))
	mux.HandleFunc("POST "+Prefix+"pending", signed(a, func(r *http.Request, d approval.Device, _ approval.Signed, p approval.Poll) (any, error) {
		return a.Approval.Pending(r.Context(), d, p)
	}))
	mux.HandleFunc("POST "+Prefix+"answer", signed(a, func(r *http.Request, d approval.Device, s approval.Signed, answer approval.Answer) (any, error) {
		return a.Approval.Answer(r.Context(), d, s, answer)
	}))
	mux.HandleFunc("POST "+Prefix+"remove", signed(a, func(r *http.Request, d approval.Device, _ approval.Signed, _ struct{}) (any, error) {
		return nil, a.Approval.Remove(r.Context(), d)
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, mfa.ErrNotFound))
	})
	return web.Guard(mux, a.Log)
}

// errTooMany: the address, or the device, makes too many requests.
var errTooMany = errors.New("too many requests; wait a minute")

func (a *API) activate(w http.ResponseWriter, r *http.Request) {
	if _, address := web.Source(r); !a.strangers.Allow(address, a.Now()) {
		a.fail(w, r, errTooMany)
		return
	}
	var in approval.Activation
	if _, err := body(w, r, &in); err != nil {
		a.fail(w, r, err)
		return
	}
	made, err := a.Approval.Activate(r.Context(), in)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	write(w, http.StatusCreated, made)
}

// signed serves a call of a device that has proven itself.
func signed[In any](a *API, do func(r *http.Request, d approval.Device, s approval.Signed, in In) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		pin, err := base64.RawURLEncoding.DecodeString(r.Header.Get("Countersign-PIN"))
		if err != nil || len(pin) > maxPIN {
			a.fail(w, r, fmt.Errorf("Countersign-PIN: want up to %d bytes in base64url: %w", maxPIN, mfa.ErrInvalid))
			return
		}
		raw, err := body(w, r, &in)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		s := approval.Signed{Device: r.Header.Get("Countersign-Device"), Signature: r.Header.Get("Countersign-Signature"), PIN: secret.New(pin),
			Request: device.Request{Method: r.Method, Path: r.URL.Path, Time: r.Header.Get("Countersign-Time"), Nonce: r.Header.Get("Countersign-Nonce"), Body: raw}}
		d, err := a.Approval.Who(r.Context(), s)
		if err != nil {
			if _, address := web.Source(r); !a.strangers.Allow(address, a.Now()) { // many devices sit behind one address: those that are known cost it nothing
				err = errTooMany
			}
			a.fail(w, r, err)
			return
		}
		if !a.devices.Allow(s.Device, a.Now()) {
			a.fail(w, r, errTooMany)
			return
		}
		out, err := do(r, d, s, in)
		switch {
		case r.Context().Err() != nil: // gone
		case err != nil:
			a.fail(w, r, err)
		case out == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			write(w, http.StatusOK, out)
		}
	}
}

// body reads a request's body, one JSON object, and returns the bytes of it, which are signed.
// What this server does not know in it is passed over: the page may be newer.
func body(w http.ResponseWriter, r *http.Request, in any) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, fmt.Errorf("Content-Type: want application/json: %w", mfa.ErrInvalid)
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("body: want up to %d bytes: %w", maxBody, mfa.ErrInvalid)
	}
	if err := json.Unmarshal(raw, in); err != nil {
		return nil, fmt.Errorf("body: want one JSON object as the call has it: %w", mfa.ErrInvalid)
	}
	return raw, nil
}

func write(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}

// problem is an answer that says why not (RFC 9457).
type problem struct {
	Type   string `json:"type"` // "about:blank", or what the page tells apart
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Now    int64  `json:"now,omitempty"` // the server's time, where the device's is off: seconds since 1970
}

// fail answers with what is wrong. What exactly is wrong with us is in the log.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problem{Type: "about:blank", Status: web.StatusOf(err), Detail: strings.ReplaceAll(err.Error(), "\n", "; ")}
	var clock approval.ClockError
	switch {
	case errors.Is(err, approval.ErrCode):
		p.Type, p.Status = "urn:countersign:code", http.StatusForbidden
	case errors.Is(err, approval.ErrGone):
		p.Type, p.Status = "urn:countersign:gone", http.StatusGone
	case errors.As(err, &clock):
		p.Type, p.Status, p.Now = "urn:countersign:clock", http.StatusUnauthorized, clock.Now.Unix()
	case errors.Is(err, enroll.ErrLast):
		p.Type = "urn:countersign:last"
	case errors.Is(err, mfa.ErrInvalid):
		p.Status = http.StatusUnprocessableEntity
	case errors.Is(err, approval.ErrSignature):
		p.Type, p.Status = "urn:countersign:signature", http.StatusUnauthorized
	case errors.Is(err, errTooMany):
		p.Status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "60")
	}
	if p.Status >= http.StatusInternalServerError {
		a.Log.Error("a device is not served", "path", r.URL.Path, "error", err)
		p.Detail = "this server cannot do that now; try again in a moment"
	}
	p.Title = http.StatusText(p.Status)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
