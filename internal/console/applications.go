package console

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

func applicationsPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	all, err := c.desk(v).ListApplications(r.Context())
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "applications", view{Nav: "applications", Who: v, Data: all.Applications})
	return nil
}

func protectPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.show(w, r, http.StatusOK, "protect", view{Nav: "applications", Who: v, Data: profiles})
	return nil
}

// protectForm is the form of a new RADIUS application.
type protectForm struct {
	Profile                                    profile
	Name, Addresses, FirstFactor, Passcode, MA string
	Directories                                []string
}

func protectProfile(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, ok := profileOf(r.PathValue("profile"))
	if !ok {
		return fmt.Errorf("profile %q: %w", r.PathValue("profile"), mfa.ErrNotFound)
	}
	f := protectForm{Profile: p, FirstFactor: p.FirstFactor, Passcode: p.Passcode, MA: string(mfa.MALearn)}
	if f.FirstFactor == "" {
		f.FirstFactor = mfa.FirstFactorLocal
	}
	c.showProtect(w, r, v, http.StatusOK, f, "")
	return nil
}

func (c *Console) showProtect(w http.ResponseWriter, r *http.Request, v *visitor, status int, f protectForm, said string) {
	f.Directories = c.directories(r, v)
	c.show(w, r, status, "protect-form", view{Nav: "applications", Title: "title.protect", Who: v, Data: f, Error: said})
}

func createApplication(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, ok := profileOf(r.PathValue("profile"))
	if !ok {
		return fmt.Errorf("profile %q: %w", r.PathValue("profile"), mfa.ErrNotFound)
	}
	get := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	f := protectForm{Profile: p, Name: get("name"), Addresses: get("addresses"), FirstFactor: get("first_factor"), Passcode: get("passcode"), MA: get("message_authenticator")}
	kind, addresses := mfa.KindRADIUS, words(f.Addresses)
	shared := rand.Text() // 26 letters and digits, 130 bits: any client takes them
	change := admin.ApplicationChange{Name: &f.Name, Kind: &kind, Addresses: &addresses, FirstFactor: &f.FirstFactor, Passcode: &f.Passcode,
		MessageAuthenticator: &f.MA, Secret: secret.NewWire(shared)}
	a, err := c.desk(v).AddApplication(r.Context(), change)
	if mistake(err) {
		c.showProtect(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	} else if err != nil {
		return err
	}
	return c.showApplication(w, r, v, http.StatusOK, a.Name, guide{Profile: p, Secret: shared}, "")
}

// guide is what the page of an application says beside what is set: how to set up the
// client, and the secret, once.
type guide struct {
	Profile profile
	Secret  string // "" if it was not made just now
}

// applicationState is what the page of an application shows.
type applicationState struct {
	admin.Application
	Tag         string
	Guide       guide
	RADIUS      []radiusAddress
	Files       []filled // of the client, with what is known put in
	Guides      []profile
	Attempts    []admin.Attempt
	Sights      []sight // what came since the newest attempt and led to none
	Directories []string
}

func applicationPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, _ := profileOf(r.URL.Query().Get("profile"))
	return c.showApplication(w, r, v, http.StatusOK, r.PathValue("name"), guide{Profile: p}, "")
}

func (c *Console) showApplication(w http.ResponseWriter, r *http.Request, v *visitor, status int, name string, g guide, said string) error {
	a, err := c.desk(v).Application(r.Context(), name)
	if err != nil {
		return err
	}
	s := applicationState{Application: a, Tag: a.ETag(), Guide: g, Directories: c.directories(r, v)}
	if g.Profile.ID == "" {
		s.Guide.Profile = profiles[0]
	}
	newest := time.Time{}
	if found, err := c.desk(v).Attempts(r.Context(), "", admin.AuditQuery{Application: a.Name, Limit: 10}); err == nil {
		if s.Attempts = found.Attempts; len(s.Attempts) > 0 {
			newest = s.Attempts[0].Time
		}
	}
	if o, err := c.Group.Overview(r.Context()); err == nil && a.Kind == mfa.KindRADIUS {
		for _, one := range o.Servers {
			for _, l := range one.Listeners {
				if l.Kind == "radius" {
					s.RADIUS = append(s.RADIUS, newRADIUSAddress(one.Name, l.Address))
				}
			}
		}
		s.Sights = sightsOf(o, a, newest)
	}
	s.Guides = profiles
	if s.Files, err = s.Guide.Profile.fill(s.RADIUS, g.Secret); err != nil {
		return err
	}
	page := view{Nav: "applications", Who: v, Data: s, Error: said}
	if r.Header.Get(partHeader) != "" {
		c.render(w, r, http.StatusOK, "application", "seen", page)
		return nil
	}
	c.show(w, r, status, "application", page)
	return nil
}

func editApplication(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	name := r.PathValue("name")
	get := func(name string) *string { s := strings.TrimSpace(r.PostFormValue(name)); return &s }
	change := admin.ApplicationChange{FirstFactor: get("first_factor"), Passcode: get("passcode"), Degraded: get("degraded"), IfMatch: r.PostFormValue("etag")}
	disabled := r.PostFormValue("enabled") == ""
	change.Disabled = &disabled
	if r.PostForm.Has("addresses") {
		addresses := words(*get("addresses"))
		change.Addresses, change.MessageAuthenticator = &addresses, get("message_authenticator")
	}
	if r.PostForm.Has("callback_url") {
		networks := words(*get("callback_networks"))
		change.CallbackURL, change.CallbackCAs, change.CallbackNetworks = get("callback_url"), get("callback_ca_pem"), &networks
		if key := r.PostFormValue("secret"); key != "" {
			change.Secret = secret.NewWire(key)
		}
	}
	_, err := c.desk(v).SetApplication(r.Context(), name, change)
	if mistake(err) {
		said := err.Error()
		if web.StatusOf(err) == http.StatusConflict {
			said = c.say(r, "application.changed") + " " + said
		}
		return c.showApplication(w, r, v, web.StatusOf(err), name, guide{}, said)
	} else if err != nil {
		return err
	}
	done(w, r, "/applications/"+name, "done.saved")
	return nil
}

// removeApplication asks for the name, typed once more. The console's own stays: without it
// nobody signs in here.
func removeApplication(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	name := r.PathValue("name")
	if a, err := c.desk(v).Application(r.Context(), name); err != nil {
		return err
	} else if strings.TrimSpace(r.PostFormValue("name")) != a.Name || a.Name == application {
		return c.showApplication(w, r, v, http.StatusUnprocessableEntity, name, guide{}, c.say(r, "application.notthis"))
	}
	if err := c.desk(v).RemoveApplication(r.Context(), name); err != nil {
		return err
	}
	done(w, r, "/applications", "done.removed")
	return nil
}
