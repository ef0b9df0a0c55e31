package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
)

// TrailQuestion is what is asked of every server's trail beside its pages; one field is set.
type TrailQuestion struct {
	Story  mfa.AttemptID `json:"story,omitzero"`
	Tally  *TallyQuery   `json:"tally,omitempty"`
	People *PeopleQuery  `json:"people,omitempty"`
}

// TallyQuery asks how many attempts there were in the spans between edges, which lie on
// quarter-hours.
type TallyQuery struct {
	Edges       []time.Time `json:"edges"`
	Application string      `json:"application,omitempty"`
}

// PeopleQuery asks whose attempts ended for one of the reasons, or for OK by the method.
type PeopleQuery struct {
	Reasons     []mfa.Reason `json:"reasons,omitempty"`
	Method      string       `json:"method,omitempty"`
	Application string       `json:"application,omitempty"`
	Since       time.Time    `json:"since,omitzero"`
	Until       time.Time    `json:"until,omitzero"`
}

// TrailAnswer is the answer of one server.
type TrailAnswer struct {
	Server string       `json:"server"`
	Err    string       `json:"-"`               // why it did not answer
	Story  []mfa.Record `json:"story,omitempty"` // everything about one attempt, oldest first
	Tally  []TallyCount `json:"tally,omitempty"`
	People []Concerned  `json:"people,omitempty"`
	Partly bool         `json:"partly,omitempty"` // People are not all
}

// TallyCount is how many attempts there were of one kind. It has a Span, and no Application;
// or an Application, and then it is of all spans.
type TallyCount struct {
	Span        int         `json:"span"`
	Application string      `json:"application,omitempty"`
	Method      string      `json:"method,omitempty"`
	Reason      uint16      `json:"reason"` // its number: a newer server may know more
	Verdict     mfa.Verdict `json:"verdict"`
	Degraded    bool        `json:"degraded,omitempty"`
	N           int64       `json:"n"`
}

// AllSpans is the Span of a count over all of them.
const AllSpans = -1

// Concerned is how often attempts of one person at one application ended in one way.
type Concerned struct {
	User        mfa.UserID `json:"user,omitempty"`
	Login       string     `json:"login"`
	Application string     `json:"application"`
	Method      string     `json:"method"`
	Reason      string     `json:"reason"`
	Count       int64      `json:"count"`
	Last        time.Time  `json:"last"`
}

// silent are those that did not answer.
func silent(all []TrailAnswer) []SilentServer {
	out := []SilentServer{}
	for _, a := range all {
		if a.Err != "" {
			out = append(out, SilentServer{a.Server, a.Err})
		}
	}
	return out
}

// everyone is what all servers say; an error if none answers.
func (s *Service) everyone(ctx context.Context, q TrailQuestion) ([]TrailAnswer, error) {
	all, err := s.Audit.Ask(ctx, q)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b TrailAnswer) int { return cmp.Compare(a.Server, b.Server) })
	if missing := silent(all); len(missing) == len(all) && len(all) > 0 {
		var why []error
		for _, m := range missing {
			why = append(why, fmt.Errorf("%s: %s", m.Server, m.Error))
		}
		return nil, fmt.Errorf("no server answers for its trail: %w: %w", mfa.ErrUnavailable, errors.Join(why...))
	}
	return all, nil
}
