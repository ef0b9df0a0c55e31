package node

import (
	"encoding/json"
	"net/http"
)

// health is the answer of /health/ready.
type health struct {
	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons"`  // why not
	Warnings []string `json:"warnings"` // what needs somebody's care
}

// healthMux serves health and metrics. reasons returns why no sign-in can be decided now;
// warnings what is wrong besides.
func healthMux(m *metrics, reasons, warnings func() []string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	})
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, _ *http.Request) {
		h := health{Reasons: list(reasons()), Warnings: list(warnings())}
		h.Ready = len(h.Reasons) == 0
		status := http.StatusOK
		if !h.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, h)
	})
	mux.Handle("GET /metrics", m.handler())
	return mux
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// list makes sure that JSON shows [] and not null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
