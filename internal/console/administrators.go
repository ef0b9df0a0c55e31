package console

import (
	"errors"
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

func administratorsPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	all, err := c.desk(v).ListAdministrators(r.Context())
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "administrators", view{Nav: "settings", Sub: "administrators", Who: v, Data: all.Administrators})
	return nil
}

// permissionBox is one of the permissions that a help desk can be given.
type permissionBox struct {
	Name string
	Has  bool
}

// administratorForm is what the page of an administrator shows.
type administratorForm struct {
	admin.Administrator
	New   bool
	Tag   string
	Roles []string
	Boxes []permissionBox
}

// roles are those that people are given, the least first.
func roles() []string {
	return []string{mfa.RoleHelpDesk.String(), mfa.RoleAuditor.String(), mfa.RoleAdministrator.String(), mfa.RoleOwner.String()}
}

func (c *Console) showAdministrator(w http.ResponseWriter, r *http.Request, v *visitor, status int, f administratorForm, said string) {
	f.Roles = roles()
	has := map[string]bool{}
	for _, name := range f.Permissions {
		has[name] = true
	}
	for _, p := range mfa.HelpDeskPermissions() {
		f.Boxes = append(f.Boxes, permissionBox{p.String(), has[p.String()]})
	}
	title := "title.administrator"
	if f.New {
		title = "title.new-administrator"
	}
	c.show(w, r, status, "administrator", view{Nav: "settings", Sub: "administrators", Title: title, Who: v, Data: f, Error: said})
}

func newAdministratorPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.showAdministrator(w, r, v, http.StatusOK, administratorForm{New: true, Administrator: admin.Administrator{Login: r.URL.Query().Get("login"), Role: mfa.RoleHelpDesk.String()}}, "")
	return nil
}

// administratorNamed is the form of the administrator whose user id the path has.
func (c *Console) administratorNamed(r *http.Request, v *visitor) (administratorForm, error) {
	a, err := c.desk(v).Administrator(r.Context(), r.PathValue("id"))
	return administratorForm{Administrator: a, Tag: a.ETag()}, err
}

func administratorPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.administratorNamed(r, v)
	if err != nil {
		return err
	}
	c.showAdministrator(w, r, v, http.StatusOK, f, "")
	return nil
}

// lines are those of a field that are not empty.
func lines(s string) (all []string) {
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); l != "" {
			all = append(all, l)
		}
	}
	return all
}

// readAdministrator makes a change from a form, which it puts into f as it was filled in. What
// is a help desk's alone is heeded for that role only.
func readAdministrator(r *http.Request, f *administratorForm) admin.AdministratorChange {
	f.Role = r.PostFormValue("role")
	ch := admin.AdministratorChange{Role: &f.Role, IfMatch: r.PostFormValue("etag")}
	f.AllUsers = r.PostFormValue("reach") == "all"
	f.Groups = lines(r.PostFormValue("groups"))
	f.Tags, f.Directories, f.Permissions = words(r.PostFormValue("tags")), words(r.PostFormValue("directories")), r.PostForm["permission"]
	if f.Role != mfa.RoleHelpDesk.String() {
		return ch
	}
	tags, directories, groups, permissions := f.Tags, f.Directories, f.Groups, f.Permissions
	if f.AllUsers { // some of them is what the other choice is about
		tags, directories, groups = nil, nil, nil
	}
	ch.AllUsers, ch.Tags, ch.Directories, ch.Groups, ch.Permissions = &f.AllUsers, &tags, &directories, &groups, &permissions
	return ch
}

func createAdministrator(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f := administratorForm{New: true}
	ch := readAdministrator(r, &f)
	f.Login = strings.TrimSpace(r.PostFormValue("login"))
	ch.Login, ch.IfMatch = &f.Login, ""
	a, err := c.desk(v).AddAdministrator(r.Context(), ch)
	if mistake(err) || errors.Is(err, mfa.ErrNotFound) { // nobody of that name
		c.showAdministrator(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, "/administrators/"+string(a.User), "done.administrator")
	return nil
}

func editAdministrator(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.administratorNamed(r, v)
	if err != nil {
		return err
	}
	now := f
	_, err = c.desk(v).SetAdministrator(r.Context(), string(f.User), readAdministrator(r, &f))
	switch {
	case errors.Is(err, mfa.ErrChanged):
		c.showAdministrator(w, r, v, http.StatusConflict, now, c.say(r, "changed"))
		return nil
	case mistake(err):
		c.showAdministrator(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	case err != nil:
		return err
	}
	done(w, r, "/administrators/"+string(f.User), "done.saved")
	return nil
}

// removeAdministrator takes the role away; the user stays. It asks for the login, typed once
// more.
func removeAdministrator(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.administratorNamed(r, v)
	if err != nil {
		return err
	}
	if strings.TrimSpace(r.PostFormValue("login")) != f.Login {
		c.showAdministrator(w, r, v, http.StatusUnprocessableEntity, f, c.say(r, "notthis"))
		return nil
	}
	err = c.desk(v).RemoveAdministrator(r.Context(), string(f.User), false)
	if mistake(err) {
		c.showAdministrator(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, "/administrators", "done.removed")
	return nil
}
