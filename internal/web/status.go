package web

import (
	"errors"
	"net/http"

	"countersign/internal/mfa"
)

// ErrTooMany says that an address makes more requests than people do.
var ErrTooMany = errors.New("too many requests from this address; wait a minute")

// HintOf is the key of the text that tells whoever reads the page of an error what to do; "":
// there is none, and the error says it.
func HintOf(err error) string {
	switch {
	case errors.Is(err, ErrTooLarge):
		return "error.hint.large"
	case errors.Is(err, ErrBroken):
		return "error.hint.broken"
	}
	return ""
}

// StatusOf is the HTTP status for an error of a use case.
func StatusOf(err error) int {
	var tooBig *http.MaxBytesError
	switch {
	case errors.Is(err, ErrTooLarge), errors.As(err, &tooBig):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrBroken):
		return http.StatusBadRequest
	case errors.Is(err, mfa.ErrForbidden):
		return http.StatusForbidden
	case errors.Is(err, mfa.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, mfa.ErrExists), errors.Is(err, mfa.ErrConflict), errors.Is(err, mfa.ErrChanged):
		return http.StatusConflict
	case errors.Is(err, mfa.ErrInvalid):
		return http.StatusUnprocessableEntity
	case errors.Is(err, mfa.ErrUnavailable), errors.Is(err, mfa.ErrReadOnly), errors.Is(err, mfa.ErrUnknownOutcome):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrTooMany):
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}
