package portal

import (
	"errors"
	"html/template"
	"net/http"
	"strings"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/qr"
	"countersign/internal/web"
)

// newDevice is what the pages show on which a device is added and tried.
type newDevice struct {
	Credential string        // "": no code has been made yet
	Code       template.HTML // QR code of the link, SVG; "": shown before
	Typed      string
	Link       string
	Name       string // of the device, once it is one; "": it is not yet
	Trial      *enroll.Trial
}

// devices reports whether users may add devices themselves.
func (p *Portal) devices() bool { return p.Admin.Settings.Settings().Self(policy.SelfPush) }

func devicePage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p.show(w, r, http.StatusOK, "device", view{Who: v, Data: newDevice{}})
	return nil
}

// beginDevice makes a code and shows it, this once.
func beginDevice(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	made, err := v.factors.BeginDevice(r.Context())
	if errors.Is(err, mfa.ErrInvalid) {
		p.show(w, r, http.StatusUnprocessableEntity, "device", view{Who: v, Error: p.say(r, "device.many"), Data: newDevice{}})
		return nil
	} else if err != nil {
		return err
	}
	if made.Activation == nil || made.URL == nil {
		return errors.New("a device was begun without its code")
	}
	link := string(made.URL.Expose())
	var svg strings.Builder
	if err := qr.SVG(&svg, link); err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, "device", view{Who: v, Data: newDevice{Credential: string(made.ID), Typed: string(made.Activation.Expose()), Link: link,
		Code: template.HTML(svg.String())}}) //nolint:gosec // drawn here: numbers and fixed text
	return nil
}

// deviceState says whether a device has been activated by now: as a part of the page that shows
// its code, or as a page.
func deviceState(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c, err := v.mine(r)
	if err != nil {
		return err
	}
	if c.Method != mfa.MethodPush {
		return mfa.ErrNotFound
	}
	data := newDevice{Credential: string(c.ID)}
	if c.Hold != mfa.CredentialUnproven.String() {
		data.Name = c.Label
	}
	return p.part(w, r, "device", "state", view{Who: v, Data: data})
}

// tryDevice asks a device a question that lets nobody in.
func tryDevice(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c, err := v.mine(r)
	if err != nil {
		return err
	}
	_, source := web.Source(r)
	t, err := v.factors.Try(r.Context(), string(c.ID), source)
	if errors.Is(err, mfa.TooManyPrompts) || errors.Is(err, mfa.PromptTooSoon) {
		p.show(w, r, http.StatusTooManyRequests, "device", view{Who: v, Error: p.say(r, "device.soon"), Data: newDevice{Credential: string(c.ID), Name: c.Label}})
		return nil
	} else if err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, "device-try", view{Who: v, Data: newDevice{Credential: string(c.ID), Name: c.Label, Trial: &t}})
	return nil
}

// tried says what came of a trial.
func tried(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return p.came(w, r, v, "device-try", "tried")
}

// came says what came of a trial, as a part of its page or as a page.
func (p *Portal) came(w http.ResponseWriter, r *http.Request, v *visitor, page, part string) error {
	c, err := v.mine(r)
	if err != nil {
		return err
	}
	t, err := v.factors.Tried(r.Context(), string(c.ID), mfa.WaitID(r.PathValue("trial")))
	if err != nil {
		return err
	}
	return p.part(w, r, page, part, view{Who: v, Data: newDevice{Credential: string(c.ID), Name: c.Label, Trial: &t}})
}

// Works reports whether the trial was approved on the device.
func (d newDevice) Works() bool { return d.Trial.Reason == mfa.OK }

// Waits reports whether nothing came of the trial yet.
func (d newDevice) Waits() bool { return d.Trial.Reason == mfa.ReasonNone }

// Guessed reports whether the number was not the one that was shown.
func (d newDevice) Guessed() bool { return d.Trial.Reason == mfa.WrongNumber }

// part writes a part of a page if the page asks for that, and otherwise the page.
func (p *Portal) part(w http.ResponseWriter, r *http.Request, name, part string, v view) error {
	if r.Header.Get("Countersign-Part") == "" {
		p.show(w, r, http.StatusOK, name, v)
		return nil
	}
	return p.edition(r).Write(w, http.StatusOK, name, part, v.Data)
}
