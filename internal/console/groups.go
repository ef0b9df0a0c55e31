package console

import (
	"errors"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// The management portal: the groups that a coordinator watches, the state of their servers
// and the rules that they break. The pages are the same on a server, whose group is its own
// coordinator, and on an independent one.

// groupState is one group.
type groupState struct {
	group.GroupView
	Servers    []watchedServer
	Violations []group.Violation
	Inside     bool     // these pages are a console of the group itself
	Consoles   []string // URLs of its servers' pages
	Away       []string // servers that are not heard, and may be retired
	Code       string   // an activation code, shown once
	Expires    time.Time
	By         string // who saw it
	Time       time.Time
}

// watchedServer is one server as its coordinator sees it.
type watchedServer struct {
	group.ServerView
	Leads  bool
	Days   int // until its certificate expires
	Skewed bool
	Behind int
	Rules  []group.Rule // that it breaks
}

// groupList is all groups.
type groupList struct {
	Groups       []groupState
	Coordinators []group.ColleagueView
	Violations   []group.Violation // of no group
	Broken       int
	Alive, Seen  int
	By           string
	Time         time.Time
}

// groupsOf sorts what a coordinator has seen by groups.
func groupsOf(o group.Overview, inside bool) groupList {
	l := groupList{Coordinators: o.Coordinators, By: o.By, Time: o.Time, Broken: len(o.Violations)}
	for _, v := range o.Violations {
		if !slices.ContainsFunc(o.Groups, func(g group.GroupView) bool { return g.Name == v.Group }) {
			l.Violations = append(l.Violations, v)
		}
	}
	for _, g := range o.Groups {
		s := groupState{GroupView: g, Inside: inside, By: o.By, Time: o.Time}
		for _, v := range o.Violations {
			if v.Group == g.Name {
				s.Violations = append(s.Violations, v)
			}
		}
		for _, v := range o.Servers {
			if v.Group == g.Name {
				s.add(v)
			}
		}
		l.Alive, l.Seen = l.Alive+g.Alive, l.Seen+g.Servers
		l.Groups = append(l.Groups, s)
	}
	return l
}

// add adds a server to its group.
func (s *groupState) add(v group.ServerView) {
	one := watchedServer{ServerView: v, Leads: v.Alive && v.Name == s.Master, Behind: int(v.Lag),
		Days: int(v.Expires.Sub(s.Time).Hours() / 24), Skewed: math.Abs(v.ClockOffset) > maxOffset}
	for _, b := range s.Violations {
		if slices.Contains(b.Servers, v.Name) && !slices.Contains(one.Rules, b.Rule) {
			one.Rules = append(one.Rules, b.Rule)
		}
	}
	if !v.Alive {
		s.Away = append(s.Away, v.Name)
	}
	if url := consoleOf(v); url != "" {
		s.Consoles = append(s.Consoles, url)
	}
	s.Servers = append(s.Servers, one)
}

// consoleOf is the URL of a server's own pages: what the server says that people open, or else the
// host that others know it by and the port that its pages are on. "": it has none, or is not heard.
func consoleOf(v group.ServerView) string {
	if !v.Alive {
		return ""
	}
	i := slices.IndexFunc(v.Listeners, func(l group.Listener) bool { return l.Kind == "console" })
	if i < 0 { // it is beside everything else
		i = slices.IndexFunc(v.Listeners, func(l group.Listener) bool { return l.Kind == "https" })
	}
	if i < 0 {
		return ""
	}
	if said := v.Listeners[i].URL; said != "" {
		if u, err := url.Parse(said); err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Path == "" {
			return "https://" + u.Host + "/"
		}
		return ""
	}
	host, _, err := net.SplitHostPort(v.Called())
	if err != nil || host == "" {
		return ""
	}
	on, port, err := net.SplitHostPort(v.Listeners[i].Address)
	if ip := net.ParseIP(on); err != nil || ip != nil && ip.IsLoopback() && host != on {
		return "" // nobody gets there from elsewhere
	}
	return "https://" + net.JoinHostPort(host, port) + "/"
}

// groups reads and sorts what the coordinator has seen.
func (c *Console) groups(r *http.Request) (groupList, error) {
	o, err := c.Group.Overview(r.Context())
	return groupsOf(o, c.Coordinator == nil), err
}

func groupsPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	l, err := c.groups(r)
	if err != nil {
		return err
	}
	if c.Coordinator == nil && len(l.Groups) == 1 { // this server's own
		http.Redirect(w, r, "/groups/"+l.Groups[0].Name, http.StatusSeeOther)
		return nil
	}
	page := view{Nav: "groups", Who: v, Title: "title.groups", Data: l}
	if r.Header.Get(partHeader) != "" {
		c.render(w, r, http.StatusOK, "groups", "list", page)
		return nil
	}
	c.show(w, r, http.StatusOK, "groups", page)
	return nil
}

// groupOf finds the group that a path names.
func (c *Console) groupOf(r *http.Request) (groupState, error) {
	l, err := c.groups(r)
	if err != nil {
		return groupState{}, err
	}
	name := r.PathValue("group")
	i := slices.IndexFunc(l.Groups, func(g groupState) bool { return g.Name == name })
	if i < 0 {
		return groupState{}, mfa.ErrNotFound
	}
	return l.Groups[i], nil
}

func groupPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	g, err := c.groupOf(r)
	if err != nil {
		return err
	}
	if r.Header.Get(partHeader) != "" {
		c.render(w, r, http.StatusOK, "group", "state-of-group", view{Who: v, Data: g})
		return nil
	}
	return c.showGroup(w, r, v, http.StatusOK, g, "")
}

// showGroup shows a group's page; said is what was wrong with the act before, or empty.
func (c *Console) showGroup(w http.ResponseWriter, r *http.Request, v *visitor, status int, g groupState, said string) error {
	page := view{Nav: "groups", Who: v, Title: "title.group", Data: g, Error: said}
	c.show(w, r, status, "group", page)
	return nil
}

// joiningCode makes a code that admits a server to this console's own group. To another group
// only its own servers admit anybody.
func joiningCode(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	g, err := c.groupOf(r)
	if err != nil {
		return err
	}
	made, err := c.desk(v).CreateActivation(r.Context(), admin.ActivationRequest{Role: r.PostFormValue("role")})
	if mistake(err) {
		return c.showGroup(w, r, v, web.StatusOf(err), g, err.Error())
	} else if err != nil {
		return err
	}
	g.Code, g.Expires = string(made.Code.Expose()), made.Expires
	return c.showGroup(w, r, v, http.StatusOK, g, "")
}

// retireServer takes a server out for good: of this console's own group, or of what an
// independent coordinator has on record.
func retireServer(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	g, err := c.groupOf(r)
	if err != nil {
		return err
	}
	name := r.PostFormValue("server")
	switch {
	case strings.TrimSpace(r.PostFormValue("name")) != name || name == "":
		return c.showGroup(w, r, v, http.StatusUnprocessableEntity, g, c.say(r, "group.notthis"))
	case c.Coordinator == nil:
		_, err = c.desk(v).ForgetServer(r.Context(), name)
	default:
		_, err = c.Coordinator.Retire(r.Context(), v.Caller.By, admin.RetireRequest{Group: g.Name, Server: name})
	}
	if mistake(err) || errors.Is(err, mfa.ErrNotFound) {
		return c.showGroup(w, r, v, web.StatusOf(err), g, err.Error())
	} else if err != nil {
		return err
	}
	done(w, r, "/groups/"+g.Name, "done.retired")
	return nil
}
