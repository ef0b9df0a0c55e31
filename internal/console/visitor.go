package console

import (
	"errors"
	"net/http"
	"net/url"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/session"
	"countersign/internal/web"
)

const (
	// application is the name of the application that the console signs people in as.
	application = admin.ConsoleApplication
	// pollHeader is set by the script when it looks for news by itself: that keeps nobody
	// signed in.
	pollHeader = "Countersign-Poll"
	// partHeader is set by the script when it wants the changing part of a page only.
	partHeader = "Countersign-Part"
)

// cookieName is what the browser keeps its token under. A browser does not tell the ports of a
// host apart: a coordinator beside a server has a name of its own.
func (c *Console) cookieName() string {
	if c.Coordinator != nil {
		return "__Host-coordinator"
	}
	return "__Host-console"
}

// session returns the session that a request belongs to, or session.ErrNone.
func (c *Console) session(r *http.Request) (mfa.Session, error) {
	n, err := c.Sessions.Check(web.Cookie(r, c.cookieName()))
	if err == nil && n.Application != application {
		err = session.ErrNone
	}
	return n, err
}

// visitor returns who makes a request, looked at anew with each: whoever is blocked, removed
// or no administrator any more is out at once, and stays out when that is taken back.
func (c *Console) visitor(r *http.Request) (*visitor, error) {
	n, err := c.session(r)
	if err != nil {
		return nil, err
	}
	if n.Setup {
		return nil, session.ErrNone
	}
	who, err := c.Admin.AdministratorCaller(r.Context(), n.User, application)
	if errors.Is(err, mfa.ErrForbidden) || errors.Is(err, mfa.ErrNotFound) {
		return nil, c.end(r, n)
	} else if err != nil {
		return nil, err
	}
	who.Session, who.Proven = n.ID, n.Method
	u, err := c.Admin.Resolve(r.Context(), string(n.User))
	if errors.Is(err, mfa.ErrNotFound) || err == nil && n.EndedBy(u.Block) {
		return nil, c.end(r, n)
	} else if err != nil {
		return nil, err
	}
	if r.Header.Get(pollHeader) == "" {
		c.Sessions.Touch(r.Context(), n)
	}
	return &visitor{Session: n, Person: u, Caller: who, Fresh: c.Sessions.IsFresh(n)}, nil
}

// end ends the session of somebody who is not let in any more, and returns session.ErrNone.
func (c *Console) end(r *http.Request, n mfa.Session) error {
	if err := c.Sessions.End(r.Context(), n.ID); err != nil {
		c.Log.Warn("a session whose user is not let in any more ends on this server only", "user", n.User, "error", err)
	}
	return session.ErrNone
}

// backTo is the query that carries a path to go back to.
func backTo(to string) string { return url.Values{"back": {to}}.Encode() }

// sendToSignIn sends a browser to the sign-in page, which leads back to a page, not to an
// act. The script is told by the status alone.
func (c *Console) sendToSignIn(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(partHeader) != "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	to := "/sign-in"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?" + backTo(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// signedIn gives the browser a new session of a user who has proven both factors, the second by m,
// and ends the one that it had: no token outlives a sign-in, and none from before it is worth anything
// after.
func (c *Console) signedIn(w http.ResponseWriter, r *http.Request, user mfa.UserID, m mfa.MethodID) error {
	if old, err := c.Sessions.Check(web.Cookie(r, c.cookieName())); err == nil {
		if err := c.Sessions.End(r.Context(), old.ID); err != nil {
			return err
		}
	}
	token, _, err := c.Sessions.Begin(r.Context(), mfa.Session{User: user, Application: application, Method: m})
	if err != nil {
		return err
	}
	web.SetCookie(w, c.cookieName(), token)
	c.speak(w, r, user)
	return nil
}
