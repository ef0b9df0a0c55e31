package enroll

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// The lives of invitations.
const (
	linkLife    = 24 * time.Hour
	maxLinkLife = 7 * 24 * time.Hour
	codeLife    = 15 * time.Minute
	maxCodeLife = time.Hour
)

// Portal is where users take care of themselves; package admin knows it.
type Portal interface {
	// PortalURL is where they find it; "": this server serves none.
	PortalURL() string
	// EntranceOf returns the application that a user comes in by: the portal, which checks their
	// password, or, for who has none anywhere, another that a pass is enough for.
	EntranceOf(ctx context.Context, user mfa.UserID) (application string, password bool, err error)
}

// InviteRequest asks for an invitation.
type InviteRequest struct {
	Code    bool   `json:"code,omitempty" doc:"a code to read out, for minutes, in place of a link"`
	Seconds int64  `json:"seconds,omitempty" minimum:"0" maximum:"604800" doc:"how long it is good: a link up to a week, default a day; a code up to an hour, default 15 minutes"`
	Why     string `json:"why,omitempty" maxLength:"256"`
}

// Invitation lets a user into the portal once, to enrol. Where the user has a password, it is
// asked for besides.
type Invitation struct {
	Login    string       `json:"login"`
	Link     *secret.Wire `json:"link,omitempty" doc:"shown only this once"`
	Code     *secret.Wire `json:"code,omitempty" doc:"shown only this once; typed at the URL"`
	URL      string       `json:"url" doc:"of the page that it is for"`
	Password bool         `json:"first_factor" doc:"the user is asked for their first factor besides"`
	Expires  time.Time    `json:"expires"`
	Awaits   bool         `json:"awaits_approval,omitempty" doc:"it lets nobody in until another administrator has approved it"`
}

// Invite makes an invitation. It is a pass for the portal, good once, and takes the place of
// one before: so it is spent by one conditional write, wrong ones are counted and lock, and
// each use has its record.
func (s *Service) Invite(ctx context.Context, by, login string, r InviteRequest) (Invitation, error) {
	return s.invite(ctx, mfa.Caller{By: by}, login, r)
}

func (s *Service) invite(ctx context.Context, by mfa.Caller, login string, r InviteRequest) (Invitation, error) {
	if s.Portal == nil || s.Portal.PortalURL() == "" {
		return Invitation{}, invalid("this server serves no portal: set listen.https in its node file and restart it, or ask a server that does")
	}
	life, most, what := linkLife, maxLinkLife, "link"
	if r.Code {
		life, most, what = codeLife, maxCodeLife, "code"
	}
	if r.Seconds != 0 {
		life = time.Duration(r.Seconds) * time.Second
	}
	if life < time.Minute || life > most {
		return Invitation{}, invalid("an invitation by %s is good between a minute and %s", what, most)
	}
	a, err := s.account(ctx, login)
	if err != nil {
		return Invitation{}, err
	}
	entrance, password, err := s.Portal.EntranceOf(ctx, a.User.ID)
	if err != nil {
		return Invitation{}, err
	}
	why := strings.TrimSuffix(mfa.InvitedBy+what+": "+strings.TrimSpace(r.Why), ": ")
	if len(why) > 256 {
		return Invitation{}, invalid("why: too long")
	}
	made, err := s.add(ctx, by, string(a.User.ID), Request{Method: mfa.MethodTAP, Seconds: int64(life.Seconds()), Scope: []string{entrance}, Why: why}, mfa.ReasonNone)
	if err != nil {
		return Invitation{}, err
	}
	if err := s.withdraw(ctx, by.By, a); err != nil { // those before: none is good beside this one
		return Invitation{}, err
	}
	page := s.Portal.PortalURL() + "/welcome"
	out := Invitation{Login: a.User.Login, URL: page, Password: password, Expires: *made.Expires, Awaits: made.Awaits}
	if code := made.Codes[0]; r.Code {
		out.Code = &code
	} else {
		out.Link = secret.NewWire(page + "?" + url.Values{"code": {string(code.Expose())}}.Encode())
	}
	return out, nil
}

// withdraw removes the invitations that an account has.
func (s *Service) withdraw(ctx context.Context, by string, a settlement.Account) error {
	for _, c := range a.Credentials {
		if !c.Invitation() {
			continue
		}
		if err := s.Remove(ctx, by, string(a.User.ID), string(c.ID)); err != nil && !errors.Is(err, mfa.ErrNotFound) {
			return fmt.Errorf("invitation %s of %s could not be withdrawn: %w", c.ID, a.User.Login, err)
		}
	}
	return nil
}

// Invite makes an invitation for a user.
func (d Desk) Invite(ctx context.Context, login string, r InviteRequest) (Invitation, error) {
	u, err := d.allowed(ctx, login, mfa.MayIssuePass)
	if err != nil {
		return Invitation{}, err
	}
	if !d.by.Can(mfa.MayChoosePassLife) {
		if r.Seconds > int64(passLife.Seconds()) {
			return Invitation{}, fmt.Errorf("an invitation for more than %s: %w", passLife, d.by.Lacks(mfa.MayChoosePassLife))
		}
		if r.Seconds == 0 && !r.Code {
			r.Seconds = int64(passLife.Seconds())
		}
	}
	return d.s.invite(ctx, d.by, string(u.ID), r)
}
