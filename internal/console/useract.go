package console

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// desk is what the visitor may do of administration.
func (c *Console) desk(v *visitor) admin.Desk { return c.Admin.As(v.Caller) }

// enrolDesk is what the visitor may do about credentials.
func (c *Console) enrolDesk(v *visitor) enroll.Desk { return c.Enroll.As(v.Caller, c.desk(v).Allowed) }

// after ends an act on a user: back to their page, which says what was done, or what was
// wrong with what was asked for.
func (c *Console) after(w http.ResponseWriter, r *http.Request, v *visitor, err error, key string) error {
	switch {
	case errors.Is(err, mfa.ErrChanged):
		return c.showUser(w, r, v, http.StatusConflict, c.say(r, "user.changed"))
	case mistake(err):
		return c.showUser(w, r, v, web.StatusOf(err), err.Error())
	case err != nil:
		return err
	}
	done(w, r, "/users/"+r.PathValue("id"), key)
	return nil
}

func editUser(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	if err := r.ParseForm(); err != nil {
		return errors.Join(mfa.ErrInvalid, err)
	}
	f := readUserForm(r)
	tags, aliases := words(f.Tags), words(r.PostFormValue("aliases"))
	change := admin.UserChange{IfMatch: r.PostFormValue("etag")}
	for name, field := range map[string]**string{"login": &change.Login, "name": &change.Name, "email": &change.Email, "phone": &change.Phone, "directory": &change.Directory, "language": &change.Language, "preferred_method": &change.PreferredMethod} {
		if values, ok := r.PostForm[name]; ok { // a form holds what the visitor may change
			value := strings.TrimSpace(values[0])
			*field = &value
		}
	}
	if r.PostForm.Has("tags") {
		change.Tags = &tags
	}
	if r.PostForm.Has("aliases") {
		change.Aliases = &aliases
	}
	_, err := c.desk(v).SetUser(r.Context(), r.PathValue("id"), change)
	return c.after(w, r, v, err, "done.saved")
}

func changeState(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	state := r.PostFormValue("state")
	_, err := c.desk(v).SetUser(r.Context(), r.PathValue("id"), admin.UserChange{State: &state, IfMatch: r.PostFormValue("etag")})
	return c.after(w, r, v, err, "done.saved")
}

func changePassword(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	password := r.PostFormValue("password")
	if (password == "") != (r.PostFormValue("remove") != "") { // nothing is removed by a field that was left empty
		return c.showUser(w, r, v, http.StatusUnprocessableEntity, c.say(r, "user.password.none"))
	}
	_, err := c.desk(v).SetUser(r.Context(), r.PathValue("id"), admin.UserChange{Password: secret.NewWire(password)})
	return c.after(w, r, v, err, "done.password")
}

// signOutUser ends the sessions of a user, but for the visitor's own.
func signOutUser(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	_, err := c.desk(v).EndSessions(r.Context(), r.PathValue("id"), v.Session.ID)
	return c.after(w, r, v, err, "done.signedout")
}

func blockUser(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	seconds, err := strconv.ParseInt(r.PostFormValue("seconds"), 10, 64)
	if err != nil {
		seconds = 0
	}
	_, err = c.desk(v).BlockUser(r.Context(), r.PathValue("id"), admin.BlockRequest{Seconds: seconds, Reason: strings.TrimSpace(r.PostFormValue("reason"))})
	return c.after(w, r, v, err, "done.blocked")
}

func unblockUser(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	_, err := c.desk(v).UnblockUser(r.Context(), r.PathValue("id"))
	return c.after(w, r, v, err, "done.unblocked")
}

func unlockUser(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	_, err := c.desk(v).UnlockUser(r.Context(), r.PathValue("id"))
	return c.after(w, r, v, err, "done.unlocked")
}

// removeUser asks for the login, typed once more: there is no way back.
func removeUser(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	id := r.PathValue("id")
	u, err := c.desk(v).User(r.Context(), id)
	if err != nil {
		return err
	}
	if strings.TrimSpace(r.PostFormValue("login")) != u.Login {
		return c.showUser(w, r, v, http.StatusUnprocessableEntity, c.say(r, "user.notthis"))
	}
	if err := c.desk(v).RemoveUser(r.Context(), id); errors.Is(err, mfa.ErrLastOwner) {
		return c.showUser(w, r, v, web.StatusOf(err), err.Error())
	} else if err != nil {
		return err
	}
	done(w, r, "/users", "done.removed")
	return nil
}

// shown is a page that shows something of a user once.
type shown struct {
	Login string
	ID    string
	Token token
	Codes []string

	Device *deviceCode
}

func addToken(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	id := r.PathValue("id")
	u, err := c.desk(v).User(r.Context(), id)
	if err != nil {
		return err
	}
	made, err := c.enrolDesk(v).Add(r.Context(), id, enroll.Request{Method: mfa.MethodTOTP, Label: strings.TrimSpace(r.PostFormValue("label"))})
	if err != nil {
		return c.after(w, r, v, err, "")
	}
	t, err := shownToken(made, "/users/"+id+"/prove", "")
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "user-token", view{Title: "enrol.title", Nav: "users", Who: v, Data: shown{Login: u.Login, ID: id, Token: t}})
	return nil
}

func proveToken(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	id, credential := r.PathValue("id"), r.PostFormValue("credential")
	code := enroll.Codes{Codes: []secret.Wire{*secret.NewWire(strings.TrimSpace(r.PostFormValue("code")))}}
	_, err := c.enrolDesk(v).Confirm(r.Context(), id, credential, code)
	if errors.Is(err, mfa.ErrInvalid) {
		u, err := c.desk(v).User(r.Context(), id)
		if err != nil {
			return err
		}
		c.show(w, r, http.StatusUnprocessableEntity, "user-token", view{Title: "enrol.title", Nav: "users", Who: v, Error: c.orLocked(r, id, "enrol.wrong", "enrol.locked"),
			Data: shown{Login: u.Login, ID: id, Token: token{Credential: credential, Action: "/users/" + id + "/prove"}}})
		return nil
	}
	return c.after(w, r, v, err, "done.proven")
}

func addRecovery(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	id := r.PathValue("id")
	u, err := c.desk(v).User(r.Context(), id)
	if err != nil {
		return err
	}
	made, err := c.enrolDesk(v).Add(r.Context(), id, enroll.Request{Method: mfa.MethodRecovery})
	if err != nil {
		return c.after(w, r, v, err, "")
	}
	s := shown{Login: u.Login, ID: id}
	for _, one := range made.Codes {
		s.Codes = append(s.Codes, string(one.Expose()))
	}
	c.show(w, r, http.StatusOK, "user-token", view{Title: "user.recovery", Nav: "users", Who: v, Data: s})
	return nil
}

func switchCredential(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	_, err := c.enrolDesk(v).Disable(r.Context(), r.PathValue("id"), r.PostFormValue("credential"), r.PostFormValue("to") != "on")
	return c.after(w, r, v, err, "done.saved")
}

func dropCredential(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	err := c.enrolDesk(v).Remove(r.Context(), r.PathValue("id"), r.PostFormValue("credential"))
	return c.after(w, r, v, err, "done.dropped")
}

// tested is what the page of a test sign-in shows.
type tested struct {
	admin.TestResult
	Login       string
	ID          string
	Application string
	Handle      string
}

// testUser makes one leg of a real sign-in and shows every decision on the way.
func testUser(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	id := r.PathValue("id")
	u, err := c.desk(v).User(r.Context(), id)
	if err != nil {
		return err
	}
	q := admin.TestRequest{Login: u.Login, Application: r.PostFormValue("application")}
	if h := r.PostFormValue("handle"); h != "" {
		if q.Handle, err = base64.RawURLEncoding.DecodeString(h); err != nil {
			return errors.Join(mfa.ErrInvalid, err)
		}
		q.Answer = secret.NewWire(r.PostFormValue("code"))
	} else {
		q.Password = secret.NewWire(r.PostFormValue("password"))
	}
	res, err := c.desk(v).TestSignIn(r.Context(), q)
	if err != nil {
		return c.after(w, r, v, err, "")
	}
	c.show(w, r, http.StatusOK, "user-test", view{Title: "title.test", Nav: "users", Who: v,
		Data: tested{TestResult: res, Login: u.Login, ID: id, Application: q.Application, Handle: base64.RawURLEncoding.EncodeToString(res.Handle)}})
	return nil
}
