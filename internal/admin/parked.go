package admin

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/policy"
)

// Parked is what servers have brought back from epochs that ended while they were away.
// Apply makes a change and takes it off the list; the error wraps mfa.ErrConflict if its
// object was changed in this epoch too, unless force. Discard takes it off the list.
type Parked interface {
	ParkedChanges(ctx context.Context) ([]parking.Change, error)
	ParkingReports(ctx context.Context) ([]parking.Report, error)
	ApplyParked(ctx context.Context, id string, force bool) (parking.Change, error)
	DiscardParked(ctx context.Context, id string) (parking.Change, error)
}

// ParkedChange is one change of an epoch that ended, as the API shows it.
type ParkedChange struct {
	ID       string       `json:"id"`
	Epoch    uint64       `json:"epoch" doc:"that ended"`
	Server   string       `json:"server" doc:"that brought it back"`
	Kind     parking.Kind `json:"kind"`
	What     string       `json:"what" enum:"added,changed,removed"`
	Object   string       `json:"object" doc:"login, name, or login and credential"`
	Detail   []string     `json:"detail" doc:"fields before and after; what is added or removed"`
	Standing string       `json:"standing" enum:"waits,conflict,done" doc:"conflict: it was changed in this epoch too; done: it is so already"`
	By       string       `json:"by" doc:"who did it last, as the server's trail tells; empty: not known"`
	Time     *time.Time   `json:"time,omitempty" doc:"when"`
	Acts     []string     `json:"acts" doc:"what the trail of that server tells of the object, oldest first"`
	Revision int64        `json:"revision" doc:"of that epoch; 0: removed"`
	Found    time.Time    `json:"found"`
}

// ParkedList is the changes that wait, in the order in which they can be applied, and what
// became of each copy that was brought back.
type ParkedList struct {
	Parked  []ParkedChange   `json:"parked"`
	Reports []parking.Report `json:"reports"`
}

// ParkedRequest applies a change.
type ParkedRequest struct {
	Force bool `json:"force,omitempty" doc:"also if its object was changed in this epoch too"`
}

// ListParked lists the changes that wait.
func (s *Service) ListParked(ctx context.Context) (ParkedList, error) {
	changes, err := s.Parked.ParkedChanges(ctx)
	if err != nil {
		return ParkedList{}, err
	}
	reports, err := s.Parked.ParkingReports(ctx)
	if err != nil {
		return ParkedList{}, err
	}
	out := ParkedList{Parked: []ParkedChange{}, Reports: list(reports)}
	for _, c := range changes {
		out.Parked = append(out.Parked, s.parkedChange(c))
	}
	return out, nil
}

// ApplyParked applies one of them.
func (s *Service) ApplyParked(ctx context.Context, by, id string, r ParkedRequest) (ParkedChange, error) {
	c, err := s.Parked.ApplyParked(ctx, id, r.Force)
	if err != nil {
		return ParkedChange{}, err
	}
	verb := "group parked apply"
	if c.Standing == parking.Conflict {
		verb += " --force"
	}
	return s.parkedChange(c), s.record(ctx, by, verb, s.parkedObject(c), s.parkedAct(c))
}

// DiscardParked discards one.
func (s *Service) DiscardParked(ctx context.Context, by, id string) (ParkedChange, error) {
	c, err := s.Parked.DiscardParked(ctx, id)
	if err != nil {
		return ParkedChange{}, err
	}
	return s.parkedChange(c), s.record(ctx, by, "group parked discard", s.parkedObject(c), s.parkedAct(c))
}

var standings = map[parking.Standing]string{parking.Waits: "waits", parking.Done: "done", parking.Conflict: "conflict"}

func (s *Service) parkedChange(c parking.Change) ParkedChange {
	v := ParkedChange{ID: c.ID, Epoch: c.Epoch, Server: c.Server, Kind: c.Kind, What: c.What, Object: s.parkedObject(c), Detail: list(s.parkedDetail(c)),
		Standing: standings[c.Standing], Acts: []string{}, Revision: c.Revision, Found: c.Found}
	for _, a := range c.Acts {
		v.Acts = append(v.Acts, strings.TrimSpace(fmt.Sprintf("%s %s: %s %s", a.Time.UTC().Format(time.RFC3339), a.By, a.Verb, a.Detail)))
		v.By, v.Time = a.By, moment(a.Time)
	}
	return v
}

// parkedObject names the object of c as the operator does.
func (s *Service) parkedObject(c parking.Change) string {
	for _, o := range []parking.Object{c.After, c.Before} {
		switch {
		case o.User != nil:
			return o.User.Login
		case o.Credential != nil:
			return fmt.Sprintf("%s: %s %s", or(c.Login, string(o.Credential.User)), o.Credential.Method, o.Credential.ID)
		case o.Administrator != nil:
			return or(c.Login, string(o.Administrator.User))
		case o.Application != nil:
			return o.Application.Name
		case o.Token != nil:
			return o.Token.Name
		}
	}
	return c.Object
}

// parkedDetail tells the fields of c before and after; those named in hidden only that they
// differ.
func (s *Service) parkedDetail(c parking.Change, hidden ...string) []string {
	before, after := s.parkedView(c.Before), s.parkedView(c.After)
	var out []string
	switch {
	case before == nil && after == nil:
	case before == nil:
		out = contents(after, hidden...)
	case after == nil:
		out = contents(before, hidden...)
	default:
		out = difference(before, after, hidden...)
		if secretChanged(c) {
			out = append(out, "secret changed")
		}
	}
	if n := len(c.Credentials); n > 0 {
		out = append(out, fmt.Sprintf("with %d credentials", n))
	}
	return out
}

// parkedAct is what the trail gets of c: no value of what is personal.
func (s *Service) parkedAct(c parking.Change) string {
	return fields(append([]string{fmt.Sprintf("%s %s %s in epoch %d of %s", c.ID, c.Kind, c.What, c.Epoch, c.Server)},
		s.parkedDetail(c, append(append([]string{}, personal...), hiddenGateway...)...)...))
}

// parkedCredential is what is told of a credential; package enroll has the whole of it.
type parkedCredential struct {
	Method    mfa.MethodID `json:"method"`
	Label     string       `json:"label"`
	Algorithm string       `json:"algorithm"`
	Digits    int          `json:"digits"`
	Period    int          `json:"period"`
	Uses      int          `json:"uses"`
	Scope     []string     `json:"scope"`
	Disabled  bool         `json:"disabled"`
	Hold      string       `json:"hold"`
	Confirmed bool         `json:"confirmed"`
	Expires   *time.Time   `json:"expires"`
}

// parkedView is what can be told of an object; nil: there is none.
func (s *Service) parkedView(o parking.Object) any {
	switch {
	case o.User != nil:
		return s.user(*o.User)
	case o.Credential != nil:
		c := o.Credential
		v := parkedCredential{Method: c.Method, Label: c.Label, Algorithm: c.Algorithm, Digits: c.Digits, Period: c.Period, Uses: c.Uses, Scope: list(mfa.ScopeNames(c.Scope, s.Applications.Applications())),
			Disabled: c.Disabled, Confirmed: !c.Confirmed.IsZero(), Expires: moment(c.Expires)}
		if c.Hold != mfa.ReasonNone {
			v.Hold = c.Hold.String()
		}
		return v
	case o.Application != nil:
		return s.application(*o.Application)
	case o.Directory != nil:
		return directory(*o.Directory)
	case o.Gateway != nil:
		return withoutHealth(s.gateway(*o.Gateway))
	case o.Token != nil:
		return s.apiToken(*o.Token)
	case o.Administrator != nil:
		return administrator(*o.Administrator, "")
	case o.Settings != nil:
		return struct {
			policy.Settings
			Rules []policy.Rule `json:"rules"`
		}{*o.Settings, list(o.Settings.Rules.List())}
	case o.Server != nil:
		return struct {
			Name string `json:"name"`
			Peer string `json:"peer"`
			Role string `json:"role"`
		}{o.Server.Name, o.Server.Peer, o.Server.Role}
	}
	return nil
}

// secretChanged reports whether the part of an object differs that no view shows.
func secretChanged(c parking.Change) bool {
	b, a := c.Before, c.After
	switch {
	case b.Credential != nil && a.Credential != nil:
		return !b.Credential.Secret.Equal(a.Credential.Secret)
	case b.Application != nil && a.Application != nil:
		return !b.Application.Secret.Equal(a.Application.Secret)
	case b.Directory != nil && a.Directory != nil:
		return !b.Directory.BindPassword.Equal(a.Directory.BindPassword)
	case b.Gateway != nil && a.Gateway != nil:
		return !b.Gateway.Password.Equal(a.Gateway.Password) || !maps.Equal(b.Gateway.HTTP.Headers, a.Gateway.HTTP.Headers)
	}
	return false
}
