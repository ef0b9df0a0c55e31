package console

import (
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// usersShown is how many users one page of the list has.
const usersShown = 50

// userList is what the list of users shows.
type userList struct {
	userFilter
	admin.UserList
	Total       int
	Acts        []bulkAct // that the visitor may do to many at once
	Directories []string  // that users can be shown by; none: there are none, or the visitor does not see them

	Passes bool // temporary passes take two, here
}

func usersPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	q := r.URL.Query()
	l := userList{userFilter: readFilter(q.Get), Total: c.Admin.Users.CountUsers(), Acts: bulkOf(v), Passes: c.Admin.Settings.Settings().PassApproval}
	if l.Directories = c.directories(r, v); len(l.Directories) > 0 {
		l.Directories = append([]string{mfa.FirstFactorLocal}, l.Directories...)
	}
	var err error
	l.UserList, err = c.desk(v).ListUsers(r.Context(), l.query(q.Get("after"), usersShown))
	if err != nil {
		return err
	}
	page := view{Nav: "users", Who: v, Data: l}
	if r.Header.Get(partHeader) != "" {
		c.render(w, r, http.StatusOK, "users", "list", page)
		return nil
	}
	c.show(w, r, http.StatusOK, "users", page)
	return nil
}

// userForm is what a form for a new user holds.
type userForm struct {
	Login, Name, Email, Phone, Tags, Directory string
	Directories                                []string
}

func newUserPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.showNewUser(w, r, v, http.StatusOK, userForm{}, "")
	return nil
}

func (c *Console) showNewUser(w http.ResponseWriter, r *http.Request, v *visitor, status int, f userForm, said string) {
	f.Directories = c.directories(r, v)
	c.show(w, r, status, "user-new", view{Nav: "users", Who: v, Data: f, Error: said})
}

// directories are the names of those that there are, as far as the visitor may see them.
func (c *Console) directories(r *http.Request, v *visitor) (names []string) {
	all, err := c.desk(v).ListDirectories(r.Context())
	if err != nil {
		return nil
	}
	for _, d := range all.Directories {
		names = append(names, d.Name)
	}
	return names
}

func readUserForm(r *http.Request) userForm {
	get := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return userForm{Login: get("login"), Name: get("name"), Email: get("email"), Phone: get("phone"), Tags: get("tags"), Directory: get("directory")}
}

// words splits what people separate by commas, spaces or lines.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}

func createUser(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f := readUserForm(r)
	tags := words(f.Tags)
	change := admin.UserChange{Login: &f.Login}
	given(&change.Name, f.Name)
	given(&change.Email, f.Email)
	given(&change.Phone, f.Phone)
	given(&change.Directory, f.Directory)
	if len(tags) > 0 {
		change.Tags = &tags
	}
	if p := r.PostFormValue("password"); p != "" {
		change.Password = secret.NewWire(p)
	}
	u, err := c.desk(v).AddUser(r.Context(), change)
	if mistake(err) {
		c.showNewUser(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, "/users/"+string(u.ID), "done.created")
	return nil
}

// given sets a field that somebody has filled in.
func given(field **string, value string) {
	if value != "" {
		*field = &value
	}
}

// mistake reports whether an error is of who filled in a form: then the form is shown again.
func mistake(err error) bool {
	status := web.StatusOf(err)
	return err != nil && (status == http.StatusUnprocessableEntity || status == http.StatusConflict)
}

// userState is what the page of one user shows.
type userState struct {
	admin.User
	Tag         string // ETag of what the form was made from
	Role        string // "": none
	Credentials []enroll.Credential
	Attempts    []admin.Attempt
	Policy      []admin.Explanation // at each application, as far as the visitor may see them
	Names       []string            // of applications
	Sessions    int                 // open ones
	Directories []string
}

// Locked reports whether either factor is locked.
func (u userState) Locked() bool { return u.LockedUntil != nil || u.FirstFactorLockedUntil != nil }

// policiesShown is at how many applications the effective policy is told.
const policiesShown = 8

// user collects what there is to say of a user.
func (c *Console) user(r *http.Request, v *visitor, id string) (userState, error) {
	ctx, desk := r.Context(), c.desk(v)
	u, err := desk.User(ctx, id)
	if err != nil {
		return userState{}, err
	}
	s := userState{User: u, Tag: u.ETag(), Sessions: len(c.Sessions.Of(u.ID)), Directories: c.directories(r, v)}
	all, err := c.enrolDesk(v).List(ctx, id)
	if err != nil {
		return s, err
	}
	s.Credentials = all.Credentials
	attempts, err := desk.Attempts(ctx, id, admin.AuditQuery{Limit: 10})
	if err != nil {
		return s, err
	}
	s.Attempts = attempts.Attempts
	if a, err := desk.Administrator(ctx, id); err == nil {
		s.Role = a.Role
	}
	apps, err := desk.ListApplications(ctx)
	if err != nil { // the help desk does not see them
		return s, nil //nolint:nilerr // the page is whole without
	}
	for _, a := range apps.Applications {
		s.Names = append(s.Names, a.Name)
		if len(s.Policy) < policiesShown {
			if e, err := desk.Explain(ctx, id, admin.ExplainQuery{Application: a.Name}); err == nil {
				s.Policy = append(s.Policy, e)
			}
		}
	}
	return s, nil
}

func userPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return c.showUser(w, r, v, http.StatusOK, "")
}

// showUser shows the page of the user that the path names, with what there is to say.
func (c *Console) showUser(w http.ResponseWriter, r *http.Request, v *visitor, status int, said string) error {
	s, err := c.user(r, v, r.PathValue("id"))
	if err != nil {
		return err
	}
	c.show(w, r, status, "user", view{Nav: "users", Who: v, Data: s, Error: said})
	return nil
}
