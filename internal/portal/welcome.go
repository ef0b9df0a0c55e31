package portal

import (
	"errors"
	"net/http"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// welcomePath is where invitations lead.
const welcomePath = Base + "/welcome"

// welcomePage is the same whatever code the link has, and whoever it is for: it is looked at
// when the form comes, and counted then. So whatever opens links by itself uses none up, and
// nobody learns from the page whether one is good.
func (p *Portal) welcomePage(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, "welcome", view{Data: question{Action: welcomePath, Code: r.URL.Query().Get("code")}})
}

// welcome lets somebody in by an invitation: with their password if they have one, and else
// by the invitation alone.
func (p *Portal) welcome(w http.ResponseWriter, r *http.Request) {
	q := question{Action: welcomePath, Login: r.PostFormValue("login"), Code: r.PostFormValue("code"), Back: Base + "/token"}
	if r.PostFormValue("handle") != "" { // a code was wrong, and is asked for once more
		if user, ok := p.ask(w, r, nil, q); ok {
			p.enter(w, r, user, q.Back)
		}
		return
	}
	d, wrong, err := p.invited(r, q)
	if err != nil {
		p.fail(w, r, nil, errors.Join(mfa.ErrUnavailable, err))
		return
	}
	user, ok := web.Proven(d)
	if !ok {
		p.next(w, r, nil, q, d, wrong)
		return
	}
	p.enter(w, r, user, q.Back)
}

// invited decides a form that has everything at once. wrong says that a challenge follows a
// wrong answer.
func (p *Portal) invited(r *http.Request, q question) (d mfa.Decision, wrong bool, err error) {
	password := secret.FromString(r.PostFormValue("password"))
	if password.Empty() { // of who has one, the engine says that the pass is for another application
		leg, err := p.leg(r, admin.InvitationApplication, q.Login)
		if err != nil {
			return d, false, err
		}
		leg.Password = secret.FromString(q.Code)
		if d, err = p.Engine.Authenticate(r.Context(), leg); err != nil {
			return d, false, err
		}
		if user, ok := web.Proven(d); ok {
			switch err := p.Admin.Invited(r.Context(), user); {
			case errors.Is(err, mfa.ErrForbidden):
				return mfa.Decision{Attempt: d.Attempt}, false, nil
			case err != nil:
				return mfa.Decision{}, false, err
			}
		}
		return d, false, nil
	}
	leg, err := p.leg(r, application, q.Login)
	if err != nil {
		return d, false, err
	}
	leg.Password = password
	if d, err = p.Engine.Authenticate(r.Context(), leg); err != nil || d.Verdict != mfa.Challenge || q.Code == "" {
		return d, false, err
	}
	leg.Password, leg.Handle, leg.Answer = secret.Text{}, d.Handle, secret.FromString(q.Code)
	d, err = p.Engine.Authenticate(r.Context(), leg)
	return d, true, err
}
