package console

import (
	"embed"
	"html/template"
	"net/http"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

//go:embed page/*.html
var pageFiles embed.FS

// view is what every page gets. Data is the page's own.
type view struct {
	Title   string // key of a text
	Nav     string // the part of the console that is marked as open
	Sub     string // the part of the settings that is
	Group   string
	Server  string
	Version string
	Portal  bool     // of an independent coordinator
	Who     *visitor // nil: nobody is signed in
	Banner  *banner  // nil: changes are possible
	Done    string   // what the request before this one did
	Error   string   // why it did not
	Data    any

	Languages []web.Offer // that the page can be read in
	Here      string      // this page, to come back to
}

// functions are those that pages call besides those of all pages.
func functions(t web.Texts) template.FuncMap {
	return template.FuncMap{
		"can":        func(v *visitor, p string) bool { return v != nil && v.may(p) },
		"seconds":    t.Seconds,
		"join":       strings.Join,
		"languages":  func() []mfa.Language { return mfa.Languages },
		"accesses":   func() []string { return []string{"deny", "first-factor", "both"} },
		"preferable": func() []string { return admin.Factors() },
		"field": func(name, value string) struct{ Name, Value string } {
			return struct{ Name, Value string }{name, value}
		},
		"states": func() []string {
			return []string{mfa.StateProtected.String(), mfa.StateExempt.String(), mfa.StateDenied.String()}
		},
		"state": func(s string) string { return t.Say("state." + s) },
		"role":  func(s string) string { return t.Known("role."+s, s) },
		"gives": func(v *visitor) bool { return v.Caller.Permissions&mfa.SetOf(enroll.Givers...) != 0 },
		"origin": func(from string) string {
			kind, name, _ := strings.Cut(from, " ")
			return strings.TrimSpace(t.Known("explain.from."+kind, kind) + " " + name)
		},
		"word":    func(kind, name string) string { return t.Known(kind+"."+name, name) },
		"product": func(p profile) string { return t.Known("profile."+p.ID+".name", p.Name) },
	}
}

// render writes a page, or, of a page that is asked for its live part, only that.
func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, name, part string, v view) {
	if err := c.edition(r).Write(w, status, name, part, v); err != nil {
		c.Log.Error("a page could not be made", "page", name, "path", r.URL.Path, "error", err)
		http.Error(w, c.say(r, "error.page"), http.StatusInternalServerError)
	}
}

// show writes a whole page.
func (c *Console) show(w http.ResponseWriter, r *http.Request, status int, name string, v view) {
	v.Group, v.Server, v.Version, v.Portal = c.GroupName, c.Server, c.Version, c.Coordinator != nil
	v.Languages, v.Here = web.Languages(r), web.Here(r)
	if v.Who != nil && v.Banner == nil {
		v.Banner = c.banner(r)
	}
	v.Error = refusal(v.Error)
	if v.Error == "" {
		v.Done = c.edition(r).Done(r)
	}
	if v.Title == "" {
		v.Title = "title." + name
	}
	c.render(w, r, status, name, "layout.html", v)
}

// banner says why nothing can be changed now, in the words of `doctor`.
type banner struct {
	Since    time.Time
	Detail   string
	NextStep string
}

// banner returns nil if the group has a master that answers.
func (c *Console) banner(r *http.Request) *banner {
	st, err := c.Admin.Status(r.Context())
	if err != nil {
		return &banner{Since: c.Now(), Detail: err.Error()}
	}
	if !st.Degraded {
		return nil
	}
	b := &banner{Since: st.Since}
	for _, a := range st.Alarms {
		if a.Name == group.AlarmNoMaster {
			b.Detail, b.NextStep = a.Detail, a.NextStep
			return b
		}
	}
	if st.Role != "master" && st.Role != "replica" && len(st.Warnings) > 0 { // it says itself what it waits for
		b.Detail = st.Warnings[0]
		return b
	}
	a := group.NoMaster(st.Name, st.Since, "") // an alarm comes a moment later
	b.Detail, b.NextStep = a.Detail, a.NextStep
	return b
}

// visitor is somebody who is signed in.
type visitor struct {
	mfa.Session
	Person mfa.User
	Caller mfa.Caller
	Fresh  bool // what is dangerous needs no other proof now
}

// may reports whether the visitor has the permission of that name; a name that is none is
// permitted to nobody.
func (v *visitor) may(name string) bool {
	p, ok := mfa.ParsePermission(name)
	return ok && v.Caller.Can(p)
}
