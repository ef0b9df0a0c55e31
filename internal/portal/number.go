package portal

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// newNumber is what the page shows on which a number is added, or takes the place of another: the
// number first, and then the code that is told or sent there.
type newNumber struct {
	Ways       []mfa.MethodID // by which a number can be reached here
	Method     mfa.MethodID   // the one that was chosen
	To         string         // as it was typed
	Masked     string
	Replaces   string // id of the number that goes then; "": none does
	Credential string // "": nothing was sent yet
	Challenge  string
}

// numbers are the methods by which a visitor may have a number reached.
func (v *visitor) numbers() []mfa.MethodID { return v.factors.Numbers() }

// mayMail reports whether a visitor may have codes sent to the mail address in their profile.
func (v *visitor) mayMail() bool { return v.factors.Mail() && v.Person.Email != "" }

// Mail reports whether the number is a mail address.
func (n newNumber) Mail() bool { return n.Method == mfa.MethodEmail }

// numberPage asks for the number of a new one, or whether codes are to go to the address in the profile.
func numberPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	n := newNumber{To: v.Person.Phone}
	if r.URL.Query().Get("method") == string(mfa.MethodEmail) {
		n.Method = mfa.MethodEmail
	}
	p.askNumber(w, r, v, http.StatusOK, n, "")
	return nil
}

// otherNumberPage asks for a number in place of one that there is.
func otherNumberPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c, err := v.mine(r)
	if err != nil {
		return err
	}
	if !slices.Contains(v.numbers(), c.Method) {
		return mfa.ErrNotFound
	}
	p.askNumber(w, r, v, http.StatusOK, newNumber{Method: c.Method, Replaces: string(c.ID)}, "")
	return nil
}

// askNumber shows the form that a number is typed into.
func (p *Portal) askNumber(w http.ResponseWriter, r *http.Request, v *visitor, status int, n newNumber, said string) {
	n.Ways, n.Credential = v.numbers(), ""
	if n.Mail() {
		if n.Ways = nil; v.mayMail() {
			n.Ways, n.Masked = []mfa.MethodID{mfa.MethodEmail}, v.Person.Email
		}
	}
	if n.Method == "" && len(n.Ways) > 0 {
		n.Method = n.Ways[0]
	}
	if len(n.Ways) == 0 && said == "" {
		status, said = http.StatusForbidden, p.say(r, "number.none")
	}
	p.showNumber(w, r, v, status, n, said)
}

func (p *Portal) showNumber(w http.ResponseWriter, r *http.Request, v *visitor, status int, n newNumber, said string) {
	page := view{Who: v, Error: said, Data: n}
	if n.Mail() {
		page.Title = "title.mail"
	}
	p.show(w, r, status, "number", page)
}

// beginNumber has a number called, or sent a code.
func beginNumber(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	n := newNumber{Method: mfa.MethodID(r.PostFormValue("method")), To: strings.TrimSpace(r.PostFormValue("to")), Replaces: r.PostFormValue("replaces")}
	made, err := v.factors.BeginNumber(r.Context(), enroll.NumberRequest{Method: n.Method, To: n.To, Replaces: n.Replaces})
	if said := p.notCalled(r, n.Method, err); said != "" {
		p.askNumber(w, r, v, http.StatusUnprocessableEntity, n, said)
		return nil
	} else if err != nil {
		return err
	}
	n.Credential, n.Challenge, n.Masked = string(made.ID), made.Challenge, made.Label
	p.showNumber(w, r, v, http.StatusOK, n, "")
	return nil
}

// numberAgain has a number called once more.
func numberAgain(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	n, err := p.begun(r, v)
	if err != nil {
		return err
	}
	sent, err := v.factors.SendNumber(r.Context(), n.Credential)
	if said := p.notCalled(r, n.Method, err); said != "" {
		p.showNumber(w, r, v, http.StatusUnprocessableEntity, n, said)
		return nil
	} else if err != nil {
		return err
	}
	n.Challenge = sent.Challenge
	p.showNumber(w, r, v, http.StatusOK, n, "")
	return nil
}

// proveNumber takes the code that was told or sent.
func proveNumber(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	n, err := p.begun(r, v)
	if err != nil {
		return err
	}
	code := secret.FromString(strings.ReplaceAll(strings.TrimSpace(r.PostFormValue("code")), " ", ""))
	_, err = v.factors.ProveNumber(r.Context(), n.Credential, n.Challenge, code, n.Replaces)
	var said string
	switch {
	case errors.Is(err, mfa.ChallengeExpired):
		said = p.say(r, "number.late")
	case errors.Is(err, mfa.ErrInvalid):
		said = p.orLocked(r, v, "number.wrong")
	case err != nil:
		return err
	default:
		done(w, r, home, "done.number."+string(n.Method))
		return nil
	}
	p.showNumber(w, r, v, http.StatusUnprocessableEntity, n, said)
	return nil
}

// begun is what a form says of a number that was begun with, as far as it is the visitor's.
func (p *Portal) begun(r *http.Request, v *visitor) (newNumber, error) {
	all, err := v.factors.List(r.Context())
	if err != nil {
		return newNumber{}, err
	}
	id := r.PostFormValue("credential")
	for _, c := range all.Credentials {
		if string(c.ID) == id && c.Reaches() {
			return newNumber{Ways: v.numbers(), Method: c.Method, Masked: c.Label, Credential: id, Challenge: r.PostFormValue("challenge"), Replaces: r.PostFormValue("replaces")}, nil
		}
	}
	return newNumber{}, mfa.ErrNotFound
}

// notCalled says to its owner why a number got no call or message; "": it did, or the error is
// no matter of theirs.
func (p *Portal) notCalled(r *http.Request, m mfa.MethodID, err error) string {
	var why mfa.Reason
	errors.As(err, &why)
	key := ""
	switch why {
	case mfa.ReasonNone:
		switch {
		case errors.Is(err, mfa.ErrExists):
			if key = "number.exists"; m == mfa.MethodEmail {
				key = "number.exists.email"
			}
		case errors.Is(err, mfa.ErrInvalid):
			key = "number.bad"
		}
	case mfa.TooManyMessages, mfa.TooManyPrompts, mfa.PromptTooSoon:
		key = "number.many"
	case mfa.CountryNotAllowed, mfa.RecipientRefused:
		key = "number.cannot"
	case mfa.CallBusy, mfa.CallNoAnswer, mfa.CallRejected:
		key = "number.noanswer"
	default:
		p.Log.Warn("a user's number could not be reached", "method", m, "error", err)
		key = "number.failed"
	}
	if key == "" {
		return ""
	}
	return p.say(r, key)
}

// tryNumber calls a number of the visitor's own, which lets nobody in.
func tryNumber(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c, err := v.mine(r)
	if err != nil {
		return err
	}
	_, source := web.Source(r)
	t, err := v.factors.Try(r.Context(), string(c.ID), source)
	if said := p.notCalled(r, c.Method, err); said != "" {
		p.show(w, r, http.StatusUnprocessableEntity, "factor", view{Who: v, Error: said, Data: p.factor(v, c)})
		return nil
	} else if err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, "number-try", view{Who: v, Data: newDevice{Credential: string(c.ID), Name: c.Label, Trial: &t}})
	return nil
}

// numberTried says what came of such a call.
func numberTried(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return p.came(w, r, v, "number-try", "called")
}

// CallEnded is the key of what is said of a call that came to nothing.
func (d newDevice) CallEnded() string {
	switch d.Trial.Reason {
	case mfa.CallBusy, mfa.CallNoAnswer, mfa.CallRejected, mfa.CallVoicemail:
		return "number.noanswer"
	case mfa.WrongNumber, mfa.CallWrongKey:
		return "device.guessed"
	case mfa.CallHungUp, mfa.CallNotPressed, mfa.CallTimedOut, mfa.NotAnsweredInTime:
		return "number.notpressed"
	}
	return "number.failed"
}
