package group

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"countersign/internal/mfa"
)

// MaxBody bounds a body that servers send each other, in bytes.
const MaxBody = 1 << 20

// wireErrors are the sentinels that keep their meaning between servers.
var wireErrors = []struct {
	name   string
	err    error
	status int
}{
	{"not_master", ErrNotMaster, http.StatusMisdirectedRequest},
	{"votes_away", ErrVotesAway, http.StatusServiceUnavailable},
	{"stranger", ErrStranger, http.StatusForbidden},
	{"unavailable", mfa.ErrUnavailable, http.StatusServiceUnavailable},
	{"not_member", ErrNotMember, http.StatusForbidden},
	{"other_protocol", ErrProtocol, http.StatusUpgradeRequired},
	{"outdated", mfa.ErrOutdated, http.StatusUpgradeRequired},
	{"epoch_ended", ErrEpochEnded, http.StatusConflict},
	{"forbidden", mfa.ErrForbidden, http.StatusForbidden},
	{"invalid", mfa.ErrInvalid, http.StatusUnprocessableEntity},
	{"not_found", mfa.ErrNotFound, http.StatusNotFound},
	{"exists", mfa.ErrExists, http.StatusConflict},
	{"conflict", mfa.ErrConflict, http.StatusConflict},
	{"read_only", mfa.ErrReadOnly, http.StatusServiceUnavailable},
	{"unknown_outcome", mfa.ErrUnknownOutcome, http.StatusServiceUnavailable},
}

// ErrProtocol: the two servers speak different versions of what servers say to each other.
var ErrProtocol = errors.New("peer speaks another version")

type wireError struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// WriteAnswer answers with v, or with err if that is not nil.
func WriteAnswer(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		e := wireError{"internal", err.Error()}
		status = http.StatusInternalServerError
		for _, k := range wireErrors {
			if errors.Is(err, k.err) {
				e.Kind, status = k.name, k.status
				break
			}
		}
		v = e
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who has hung up gets nothing
}

// ReadBody reads one bounded JSON document of a request.
func ReadBody(r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, MaxBody))
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: body: %w", mfa.ErrInvalid, err)
	}
	return nil
}

// ReadAnswer reads what WriteAnswer wrote at another server, and closes the body.
func ReadAnswer(resp *http.Response, v any) error {
	defer resp.Body.Close()
	d := json.NewDecoder(io.LimitReader(resp.Body, 16*MaxBody))
	if resp.StatusCode == http.StatusOK {
		if v == nil {
			return nil
		}
		if err := d.Decode(v); err != nil {
			return fmt.Errorf("%s: the answer is not understood (is it the same version?): %w", resp.Request.URL.Host, err)
		}
		return nil
	}
	var e wireError
	if err := d.Decode(&e); err != nil || e.Detail == "" {
		return fmt.Errorf("%s answers %s", resp.Request.URL.Host, resp.Status)
	}
	for _, k := range wireErrors {
		if k.name == e.Kind {
			return remote{e.Detail, k.err}
		}
	}
	return remote{e.Detail, nil}
}

// remote is another server's error.
type remote struct {
	text string
	is   error
}

func (r remote) Error() string { return r.text }
func (r remote) Unwrap() error { return r.is }
