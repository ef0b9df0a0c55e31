package console

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

func directoriesPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	all, err := c.desk(v).ListDirectories(r.Context())
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "directories", view{Nav: "settings", Sub: "directories", Who: v, Data: all.Directories})
	return nil
}

// directoryForm is what the page of a directory shows: the form, and a test of it.
type directoryForm struct {
	admin.Directory
	New     bool
	Tag     string
	Login   string        // whom the test was for
	Checks  []admin.Check // of the test; empty: none was made
	Timeout string        // as typed
}

func newDirectoryPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.showDirectory(w, r, v, http.StatusOK, directoryForm{New: true, Directory: admin.Directory{UserFilter: "(uid={login})"}}, "")
	return nil
}

func (c *Console) showDirectory(w http.ResponseWriter, r *http.Request, v *visitor, status int, f directoryForm, said string) {
	title := "title.directory"
	if f.New {
		title = "title.new-directory"
	}
	if f.Timeout == "" {
		f.Timeout = strconv.Itoa(f.TimeoutSeconds)
	}
	c.show(w, r, status, "directory", view{Nav: "settings", Sub: "directories", Title: title, Who: v, Data: f, Error: said})
}

// directoryNamed is the form of the directory that the path names.
func (c *Console) directoryNamed(r *http.Request, v *visitor) (directoryForm, error) {
	d, err := c.desk(v).Directory(r.Context(), r.PathValue("name"))
	return directoryForm{Directory: d, Tag: d.ETag()}, err
}

func directoryPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.directoryNamed(r, v)
	if err != nil {
		return err
	}
	c.showDirectory(w, r, v, http.StatusOK, f, "")
	return nil
}

// readDirectory makes a change from a form, which it puts into f as it was typed, but for the
// password. An empty one stays as it is.
func (c *Console) readDirectory(r *http.Request, f *directoryForm) (admin.DirectoryChange, error) {
	get := func(name string) *string { s := strings.TrimSpace(r.PostFormValue(name)); return &s }
	startTLS := r.PostFormValue("start_tls") != ""
	urls := words(r.PostFormValue("urls"))
	ch := admin.DirectoryChange{URLs: &urls, StartTLS: &startTLS, CAs: get("ca_pem"), BindDN: get("bind_dn"), BaseDN: get("base_dn"),
		UserFilter: get("user_filter"), GroupAttribute: get("group_attribute"), UPNSuffix: get("upn_suffix"), IfMatch: r.PostFormValue("etag")}
	if p := r.PostFormValue("bind_password"); p != "" {
		ch.BindPassword = secret.NewWire(p)
	}
	f.URLs, f.StartTLS, f.CAs, f.BindDN, f.BaseDN = urls, startTLS, *ch.CAs, *ch.BindDN, *ch.BaseDN
	f.UserFilter, f.GroupAttribute, f.UPNSuffix, f.Timeout = *ch.UserFilter, *ch.GroupAttribute, *ch.UPNSuffix, *get("timeout_seconds")
	seconds, err := strconv.Atoi(f.Timeout)
	if err != nil {
		return ch, c.noNumber(r, "directory.timeout", f.Timeout)
	}
	ch.TimeoutSeconds = &seconds
	return ch, nil
}

func createDirectory(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f := directoryForm{New: true}
	ch, err := c.readDirectory(r, &f)
	f.Name = strings.TrimSpace(r.PostFormValue("name"))
	ch.Name, ch.IfMatch = &f.Name, ""
	if err == nil {
		_, err = c.desk(v).AddDirectory(r.Context(), ch)
	}
	if mistake(err) {
		c.showDirectory(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, "/directories/"+f.Name, "done.directory")
	return nil
}

func editDirectory(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.directoryNamed(r, v)
	if err != nil {
		return err
	}
	now := f
	ch, err := c.readDirectory(r, &f)
	if err == nil {
		_, err = c.desk(v).SetDirectory(r.Context(), f.Name, ch)
	}
	switch {
	case errors.Is(err, mfa.ErrChanged):
		c.showDirectory(w, r, v, http.StatusConflict, now, c.say(r, "changed"))
		return nil
	case mistake(err):
		c.showDirectory(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	case err != nil:
		return err
	}
	done(w, r, "/directories/"+f.Name, "done.saved")
	return nil
}

// testDirectory tries the directory as it is saved, step by step.
func testDirectory(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.directoryNamed(r, v)
	if err != nil {
		return err
	}
	f.Login = strings.TrimSpace(r.PostFormValue("login"))
	q := admin.DirectoryTest{Login: f.Login}
	if p := r.PostFormValue("password"); p != "" {
		q.Password = secret.NewWire(p)
	}
	found, err := c.desk(v).TestDirectory(r.Context(), f.Name, q)
	if mistake(err) {
		c.showDirectory(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	} else if err != nil {
		return err
	}
	f.Checks = found.Checks
	c.showDirectory(w, r, v, http.StatusOK, f, "")
	return nil
}

// removeDirectory asks for the name, typed once more.
func removeDirectory(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.directoryNamed(r, v)
	if err != nil {
		return err
	}
	if strings.TrimSpace(r.PostFormValue("name")) != f.Name {
		c.showDirectory(w, r, v, http.StatusUnprocessableEntity, f, c.say(r, "notthis"))
		return nil
	}
	err = c.desk(v).RemoveDirectory(r.Context(), f.Name)
	if mistake(err) {
		c.showDirectory(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, "/directories", "done.removed")
	return nil
}
