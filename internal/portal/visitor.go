package portal

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/session"
	"countersign/internal/web"
)

const (
	application = admin.PortalApplication
	cookieName  = "__Host-portal"
)

// visitor is somebody who is signed in, and all that they may touch: their own account.
type visitor struct {
	mfa.Session
	Person  mfa.User
	Fresh   bool // what needs a proof of both factors needs no other now
	account admin.Own
	factors enroll.Own
}

// visitor returns who makes a request, looked at anew with each: whoever is blocked, removed
// or denied is out at once, and stays out when that is taken back.
func (p *Portal) visitor(r *http.Request) (*visitor, error) {
	n, err := p.Sessions.Check(web.Cookie(r, cookieName))
	if err != nil {
		return nil, err
	}
	if n.Application != application || n.Setup {
		return nil, session.ErrNone
	}
	if app, err := p.Admin.Applications.ApplicationByName(application); err == nil && app.Disabled {
		return nil, p.end(r, n) // the portal was shut
	}
	u, err := p.Admin.Resolve(r.Context(), string(n.User))
	switch {
	case errors.Is(err, mfa.ErrNotFound):
		return nil, p.end(r, n)
	case err != nil:
		return nil, err
	case u.State == mfa.StateDenied, u.BlockedAt(p.Now()), n.EndedBy(u.Block):
		return nil, p.end(r, n)
	}
	p.Sessions.Touch(r.Context(), n)
	by := mfa.Caller{By: u.Login + " (portal)", User: u.ID, Session: n.ID, Proven: n.Method}
	return &visitor{Session: n, Person: u, Fresh: p.Sessions.IsFresh(n), account: p.Admin.Own(by), factors: p.Enroll.Own(by)}, nil
}

// end ends the session of somebody who is not let in any more, and returns session.ErrNone.
func (p *Portal) end(r *http.Request, n mfa.Session) error {
	if err := p.Sessions.End(r.Context(), n.ID); err != nil {
		p.Log.Warn("a session whose user is not let in any more ends on this server only", "user", n.User, "error", err)
	}
	return session.ErrNone
}

// localPath returns where a form or link wants to go back to, if that is a page of the portal,
// and its start otherwise.
func localPath(to string) string {
	if to = web.LocalPath(to); strings.HasPrefix(to, home) {
		return to
	}
	return home
}

// sendToSignIn sends a browser to the sign-in page, which leads back to a page, not to an act.
func (p *Portal) sendToSignIn(w http.ResponseWriter, r *http.Request) {
	to := Base + "/sign-in"
	if r.Method == http.MethodGet && r.URL.Path != home {
		to += "?" + url.Values{"back": {r.URL.RequestURI()}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// signedIn gives the browser a new session of a user who has proven themselves, by a second factor
// of the method m, and ends the one that it had.
func (p *Portal) signedIn(w http.ResponseWriter, r *http.Request, user mfa.UserID, m mfa.MethodID) error {
	if old, err := p.Sessions.Check(web.Cookie(r, cookieName)); err == nil {
		if err := p.Sessions.End(r.Context(), old.ID); err != nil {
			return err
		}
	}
	token, _, err := p.Sessions.Begin(r.Context(), mfa.Session{User: user, Application: application, Method: m})
	if err != nil {
		return err
	}
	web.SetCookie(w, cookieName, token)
	if u, err := p.Admin.Resolve(r.Context(), string(user)); err == nil && u.Language != "" {
		web.KeepLanguage(w, u.Language)
	}
	return nil
}
