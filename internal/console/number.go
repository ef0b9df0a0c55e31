package console

import (
	"errors"
	"net/http"
	"strings"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// reached is a number or an address that was added and is to be proven: by a code that a call
// tells there, or a message brings.
type reached struct {
	Login, ID         string
	Method            mfa.MethodID
	Credential, To    string
	Challenge, Unsent string // Unsent: why no code is on its way; "": one is
}

// addNumber gives a user a number or an address, and has a code sent there unless it is trusted.
func addNumber(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	id := r.PathValue("id")
	u, err := c.desk(v).User(r.Context(), id)
	if err != nil {
		return err
	}
	method := mfa.MethodID(r.PostFormValue("method"))
	made, err := c.enrolDesk(v).Add(r.Context(), id, enroll.Request{Method: method, To: strings.TrimSpace(r.PostFormValue("to")), Trusted: r.PostFormValue("trusted") != ""})
	if made.ID == "" || err == nil && made.Challenge == "" { // it could not be added, or nothing has to be proven
		return c.after(w, r, v, err, "done.added")
	}
	n := reached{Login: u.Login, ID: id, Method: made.Method, Credential: string(made.ID), To: made.Label, Challenge: made.Challenge}
	return c.showNumber(w, r, v, n, err)
}

// sendNumber has another code sent to one that was added.
func sendNumber(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	n, err := c.added(r, v)
	if err != nil {
		return err
	}
	sent, err := c.enrolDesk(v).Send(r.Context(), n.ID, n.Credential)
	n.Challenge = sent.Challenge
	return c.showNumber(w, r, v, n, err)
}

// proveNumber takes the code that was sent.
func proveNumber(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	n, err := c.added(r, v)
	if err != nil {
		return err
	}
	n.Challenge = r.PostFormValue("challenge")
	code := strings.ReplaceAll(strings.TrimSpace(r.PostFormValue("code")), " ", "")
	_, err = c.enrolDesk(v).Confirm(r.Context(), n.ID, n.Credential, enroll.Codes{Codes: []secret.Wire{*secret.NewWire(code)}, Challenge: n.Challenge})
	if errors.Is(err, mfa.ErrInvalid) {
		c.show(w, r, http.StatusUnprocessableEntity, "user-number", view{Title: "title.user-number", Nav: "users", Who: v, Error: c.orLocked(r, n.ID, "number.wrong", "enrol.locked"), Data: n})
		return nil
	}
	return c.after(w, r, v, err, "done.proven")
}

// showNumber asks for the code; failed is why it was not sent, which the operator reads.
func (c *Console) showNumber(w http.ResponseWriter, r *http.Request, v *visitor, n reached, failed error) error {
	status, said := http.StatusOK, ""
	switch {
	case failed == nil:
	case mistake(failed):
		status, said = http.StatusUnprocessableEntity, failed.Error()
	default:
		return failed
	}
	n.Unsent = said
	c.show(w, r, status, "user-number", view{Title: "title.user-number", Nav: "users", Who: v, Error: said, Data: n})
	return nil
}

// added is the number or address that a form names, of the user whose page it is on.
func (c *Console) added(r *http.Request, v *visitor) (reached, error) {
	id, credential := r.PathValue("id"), r.PostFormValue("credential")
	u, err := c.desk(v).User(r.Context(), id)
	if err != nil {
		return reached{}, err
	}
	all, err := c.enrolDesk(v).List(r.Context(), id)
	if err != nil {
		return reached{}, err
	}
	for _, one := range all.Credentials {
		if string(one.ID) == credential && one.Method.Reaches() {
			return reached{Login: u.Login, ID: id, Method: one.Method, Credential: credential, To: one.Label}, nil
		}
	}
	return reached{}, mfa.ErrNotFound
}
