// Package web is what every set of pages stands on: what a request passes before a page looks
// at it, limits for strangers, cookies, ways back, files that pages load. It knows no page.
package web

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
)

// contentPolicy says what a page may load and do. There is no script and no style in a page itself,
// nothing comes from elsewhere, and nobody may put a page into a frame.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// maxForm bounds a request's body in bytes.
const maxForm = 256 << 10

// Guard is what every request passes before anything else looks at it. To the paths files come,
// which may be larger than a form.
func Guard(next http.Handler, log *slog.Logger, files ...string) http.Handler {
	foreign := http.NewCrossOriginProtection() // by Sec-Fetch-Site and Origin; no token in a form
	foreign.SetDenyHandler(http.HandlerFunc(refuseForeign))
	inner := foreign.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Strict-Transport-Security", "max-age=31536000")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		defer func() {
			if p := recover(); p != nil {
				if p != http.ErrAbortHandler { //nolint:errorlint // the value itself is the signal
					log.Error("a panic ended a request for a page", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				}
				panic(http.ErrAbortHandler) // the connection ends, the server lives
			}
		}()
		limit := int64(maxForm)
		if slices.Contains(files, r.URL.Path) {
			limit = keptSize
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		inner.ServeHTTP(w, r)
	})
}

// Source is the address that a request comes from.
func Source(r *http.Request) (netip.AddrPort, string) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		return netip.AddrPort{}, host
	}
	return peer, peer.Addr().Unmap().WithZone("").String()
}
