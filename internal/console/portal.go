package console

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// portalRoutes are the pages of the management portal on an independent coordinator. Its
// operators are users of its own, whom the same pages take care of that a group has for its
// users; there are no applications to protect, and of the policy there is what operators need for
// passkeys, whose site is the coordinators' own.
func (c *Console) portalRoutes() []route {
	var (
		status = one(mfa.MayReadStatus)
		own    = one(mfa.MayOwn)
	)
	routes := []route{
		{"GET /{$}", status, false, groupsPage},
		{"GET /found", own, false, foundPage},
		{"POST /found/create", own, true, foundingCode},
		{"POST /groups/{group}/retire", own, true, retireGroup},
		{"GET /policy", one(mfa.MayReadSettings), false, policyPage},
		{"POST /policy/passkeys", one(mfa.MayChangeSettings), true, editPasskeys},
	}
	routes = append(routes, c.groupRoutes()...)
	routes = append(routes, c.userRoutes()...)
	routes = append(routes, c.administratorRoutes()...)
	routes = append(routes, c.accountRoutes()...)
	return append(routes, c.recordRoutes()...)
}

// founding is what the page shows that makes a code which founds a group, or admits another
// coordinator.
type founding struct {
	Group       string
	Coordinator bool
	Code        string // shown once
	Expires     time.Time
	Several     bool // there are other coordinators, or may be
}

func foundPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.show(w, r, http.StatusOK, "found", view{Nav: "groups", Who: v, Data: founding{}})
	return nil
}

func foundingCode(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f := founding{Group: strings.TrimSpace(r.PostFormValue("group")), Coordinator: r.PostFormValue("what") == "coordinator"}
	if f.Coordinator {
		f.Group = ""
	}
	page := view{Nav: "groups", Who: v}
	made, err := c.Coordinator.CreateActivation(r.Context(), v.Caller.By, admin.FoundingRequest{Group: f.Group, Coordinator: f.Coordinator})
	switch {
	case mistake(err):
		page.Data, page.Error = f, err.Error()
		c.show(w, r, web.StatusOf(err), "found", page)
		return nil
	case err != nil:
		return err
	}
	f.Code, f.Expires = string(made.Code.Expose()), made.Expires
	page.Data = f
	c.show(w, r, http.StatusOK, "found", page)
	return nil
}

// retireGroup forgets a group with all its servers.
func retireGroup(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	g, err := c.groupOf(r)
	if err != nil {
		return err
	}
	if strings.TrimSpace(r.PostFormValue("name")) != g.Name {
		return c.showGroup(w, r, v, http.StatusUnprocessableEntity, g, c.say(r, "group.notthis"))
	}
	_, err = c.Coordinator.Retire(r.Context(), v.Caller.By, admin.RetireRequest{Group: g.Name})
	if mistake(err) || errors.Is(err, mfa.ErrNotFound) {
		return c.showGroup(w, r, v, web.StatusOf(err), g, err.Error())
	} else if err != nil {
		return err
	}
	done(w, r, "/", "done.retired")
	return nil
}
