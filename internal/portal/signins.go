package portal

import (
	"net/http"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// maxSignIns is how many sign-ins the page shows.
const maxSignIns = 50

// signIn is one sign-in, as its user sees it: no reason, which is for administrators.
type signIn struct {
	ID          string
	Time        time.Time
	Application string
	Source      string
	Accepted    bool
}

// shownSignIns are some.
type shownSignIns struct {
	List  []signIn
	Whole bool // no server is silent whose sign-ins are missing
}

func signIns(list []admin.Attempt, whole bool) shownSignIns {
	out := shownSignIns{make([]signIn, len(list)), whole}
	for i, a := range list {
		out.List[i] = signIn{a.AttemptID.String(), a.Time, a.Application, a.Source, a.Verdict == mfa.Accept.String()}
	}
	return out
}

func signInsPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	list, whole, err := v.account.Attempts(r.Context(), maxSignIns)
	if err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, "sign-ins", view{Who: v, Data: signIns(list, whole)})
	return nil
}

// disownPage says what happens to a user who says that a sign-in was not them.
func disownPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	list, whole, err := v.account.Attempts(r.Context(), maxSignIns)
	if err != nil {
		return err
	}
	for _, a := range signIns(list, whole).List {
		if a.ID == r.PathValue("id") {
			p.show(w, r, http.StatusOK, "not-me", view{Who: v, Data: a})
			return nil
		}
	}
	return mfa.ErrNotFound
}

func disown(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	did, err := v.account.Disown(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	web.SetCookie(w, cookieName, secret.Text{})
	p.show(w, r, http.StatusOK, "disowned", view{Data: did})
	return nil
}
