package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/web"
)

// setting is one of the group's defaults: how it is, and how it would be if nobody had set it.
// The text setting.NAME says what it is.
type setting struct {
	Name  string
	Value string
	Born  string // of a new group
}

// Set reports whether somebody has set it.
func (s setting) Set() bool { return s.Value != s.Born }

// numbers are the settings that are numbers, in the order of the page.
func numbers(p policy.Settings) []setting {
	d := policy.Defaults()
	var all []setting
	for _, n := range []struct {
		name      string
		now, born int
	}{
		{"tries", p.Tries, d.Tries}, {"lock_seconds", int(p.Lock), int(d.Lock)},
		{"first_factor_tries", p.FirstTries, d.FirstTries}, {"first_factor_lock_seconds", int(p.FirstLock), int(d.FirstLock)},
		{"challenge_seconds", int(p.Handle), int(d.Handle)}, {"totp_window", p.Skew, d.Skew}, {"hotp_window", p.Ahead, d.Ahead},
		{"directory_seconds", int(p.Directory), int(d.Directory)}, {"attempt_seconds", int(p.Attempt), int(d.Attempt)},
		{"source_failures_per_minute", p.SourceFailures, d.SourceFailures}, {"stranger_burst", p.StrangerBurst, d.StrangerBurst},
		{"stranger_per_minute", p.StrangerRate, d.StrangerRate}, {"trail_days", p.Retain, d.Retain},
		{"remember_seconds", int(p.Remember), int(d.Remember)}, {"prompts_per_user_hour", p.Prompts, d.Prompts},
		{"pin_length", p.PINLength, d.PINLength}, {"pin_history", p.PINHistory, d.PINHistory}, {"pin_days", p.PINDays, d.PINDays},
	} {
		all = append(all, setting{n.name, strconv.Itoa(n.now), strconv.Itoa(n.born)})
	}
	return all
}

// policyForm is what the page of the defaults shows.
type policyForm struct {
	Numbers  []setting
	Domains  string // CORP=corp.example, LAB=lab.example
	Tag      string
	Warnings []string
	Passkeys passkeyForm
}

func shownPolicy(p admin.Policy) policyForm {
	f := policyForm{Numbers: numbers(p.Settings), Tag: p.ETag(), Warnings: p.Warnings, Passkeys: shownPasskeys(p.Settings)}
	var domains []string
	for _, d := range p.Domains {
		domains = append(domains, d.NetBIOS+"="+d.UPN)
	}
	f.Domains = strings.Join(domains, ", ")
	return f
}

func policyPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, err := c.desk(v).Policy(r.Context())
	if err != nil {
		return err
	}
	page := c.policyView(v)
	page.Data = shownPolicy(p)
	c.show(w, r, http.StatusOK, "policy", page)
	return nil
}

// editPolicy sets all of them at once: what did not change is not told of.
func editPolicy(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, err := c.desk(v).Policy(r.Context())
	if err != nil {
		return err
	}
	f := shownPolicy(p)
	object, typed := c.readPolicy(r, &f)
	if typed == nil {
		_, typed = c.desk(v).SetPolicy(r.Context(), object, r.PostFormValue("etag"), "")
	}
	switch {
	case errors.Is(typed, mfa.ErrChanged):
		c.show(w, r, http.StatusConflict, "policy", view{Nav: "settings", Sub: "policy", Who: v, Data: shownPolicy(p), Error: c.say(r, "changed")})
		return nil
	case mistake(typed):
		c.show(w, r, web.StatusOf(typed), "policy", view{Nav: "settings", Sub: "policy", Who: v, Data: f, Error: typed.Error()})
		return nil
	case typed != nil:
		return typed
	}
	done(w, r, "/policy", "done.saved")
	return nil
}

// readPolicy makes the JSON object of a change from a form, which it puts into f as it was
// typed.
func (c *Console) readPolicy(r *http.Request, f *policyForm) ([]byte, error) {
	in := map[string]any{}
	var bad error
	for i, n := range f.Numbers {
		typed := strings.TrimSpace(r.PostFormValue(n.Name))
		f.Numbers[i].Value = typed
		value, err := strconv.Atoi(typed)
		if err != nil && bad == nil {
			bad = c.noNumber(r, "setting."+n.Name, typed)
		}
		in[n.Name] = value
	}
	f.Domains, f.Tag = r.PostFormValue("login_domains"), r.PostFormValue("etag")
	domains := []login.Domain{}
	for _, typed := range words(f.Domains) {
		d, err := login.ParseDomain(typed)
		if err != nil && bad == nil {
			bad = fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
		}
		domains = append(domains, d)
	}
	in["login_domains"] = domains
	if bad != nil {
		return nil, bad
	}
	return json.Marshal(in)
}
