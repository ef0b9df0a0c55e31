package adminapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// problem turns an error of a service into an answer (RFC 9457) that a person can act on.
func (a *API) problem(ctx context.Context, err error) error {
	status := statusOf(err)
	if status == http.StatusInternalServerError {
		a.log.Error("admin API", "by", callerOf(ctx).By, "error", err)
	}
	return huma.NewError(status, detail(err))
}

func statusOf(err error) int {
	for _, s := range []struct {
		err    error
		status int
	}{
		{mfa.ErrInvalid, http.StatusUnprocessableEntity},
		{mfa.ErrNotFound, http.StatusNotFound},
		{mfa.ErrExists, http.StatusConflict},
		{mfa.ErrConflict, http.StatusConflict},
		{admin.ErrToken, http.StatusUnauthorized},
		{mfa.ErrForbidden, http.StatusForbidden},
		{mfa.ErrChanged, http.StatusPreconditionFailed},
		{mfa.ErrTooMany, http.StatusTooManyRequests},
		{mfa.ErrUnavailable, http.StatusServiceUnavailable},
		{mfa.ErrReadOnly, http.StatusServiceUnavailable},
		{mfa.ErrUnknownOutcome, http.StatusServiceUnavailable},
		{context.DeadlineExceeded, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// detail is the error's text on one line, without the word that the status says already.
func detail(err error) string {
	text := strings.ReplaceAll(err.Error(), mfa.ErrInvalid.Error()+": ", "")
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// plainError puts what validation found into the detail, and drops the values that came:
// they may be secrets.
func plainError(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	for i, e := range m.Errors {
		if e == nil {
			continue
		}
		e.Value = nil
		if strings.HasPrefix(e.Message, "invalid date/time") {
			e.Message = "a time is written 2026-11-24T08:00:00Z, or with its zone 2026-11-24T09:00:00+01:00 (RFC 3339)"
		}
		if where := strings.TrimPrefix(e.Location, "body."); i == 0 {
			m.Detail += ": " + strings.TrimPrefix(where+": "+e.Message, ": ")
		}
	}
	return m, nil
}

// writeProblem answers without an operation.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail})
}
