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
// by the invitation alone. Whatever of the form was not right, the answer is the same page:
// a code of another factor, which the engine would ask for next, is not what this one is about.
func (p *Portal) welcome(w http.ResponseWriter, r *http.Request) {
	q := question{Action: welcomePath, Login: r.PostFormValue("login"), Code: r.PostFormValue("code"), Back: Base + "/token"}
	d, err := p.invited(r, q)
	if err != nil {
		p.fail(w, r, nil, errors.Join(mfa.ErrUnavailable, err))
		return
	}
	if _, ok := web.Proven(d); ok {
		p.enter(w, r, d, q.Back)
		return
	}
	p.show(w, r, http.StatusUnauthorized, "welcome", view{Title: "title.welcome", Data: q, Error: p.say(r, "welcome.refused", d.Attempt)})
}

// invited decides a form that has everything at once.
func (p *Portal) invited(r *http.Request, q question) (d mfa.Decision, err error) {
	password := secret.FromString(r.PostFormValue("password"))
	if password.Empty() { // of who has one, the engine says that the pass is for another application
		leg, err := p.leg(r, admin.InvitationApplication, q.Login)
		if err != nil {
			return d, err
		}
		leg.Password = secret.FromString(q.Code)
		if d, err = p.Engine.Authenticate(r.Context(), leg); err != nil {
			return d, err
		}
		if user, ok := web.Proven(d); ok {
			switch err := p.Admin.Invited(r.Context(), user); {
			case errors.Is(err, mfa.ErrForbidden):
				return mfa.Decision{Attempt: d.Attempt}, nil
			case err != nil:
				return mfa.Decision{}, err
			}
		}
		return d, nil
	}
	leg, err := p.leg(r, application, q.Login)
	if err != nil {
		return d, err
	}
	leg.Password, leg.Answer = password, secret.FromString(q.Code) // together, so that no message is sent to ask for a code
	if q.Code == "" {
		leg.Refuse = mfa.EmptyCode
	}
	return p.Engine.Authenticate(r.Context(), leg)
}
