package portal

import (
	"errors"
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func passwordPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p.showPassword(w, r, v, http.StatusOK, "")
	return nil
}

func (p *Portal) showPassword(w http.ResponseWriter, r *http.Request, v *visitor, status int, said string) {
	p.show(w, r, status, "password", view{Who: v, Error: said, Data: admin.MinOwnPassword})
}

func changePassword(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	password := secret.FromString(r.PostFormValue("password"))
	if !password.Equal(secret.FromString(r.PostFormValue("again"))) {
		p.showPassword(w, r, v, http.StatusUnprocessableEntity, p.say(r, "password.differ"))
		return nil
	}
	err := v.account.SetPassword(r.Context(), password)
	if errors.Is(err, mfa.ErrInvalid) {
		p.showPassword(w, r, v, http.StatusUnprocessableEntity, p.say(r, "password.bad", admin.MinOwnPassword))
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, home, "done.password")
	return nil
}

func phonePage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p.show(w, r, http.StatusOK, "phone", view{Who: v, Data: v.Person.Phone})
	return nil
}

func changePhone(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	phone := strings.TrimSpace(r.PostFormValue("phone"))
	err := v.account.SetPhone(r.Context(), phone)
	if errors.Is(err, mfa.ErrInvalid) {
		p.show(w, r, http.StatusUnprocessableEntity, "phone", view{Who: v, Error: p.say(r, "phone.bad"), Data: phone})
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, home, "done.phone")
	return nil
}
