package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

func gatewaysPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	all, err := c.desk(v).ListGateways(r.Context())
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "gateways", view{Nav: "settings", Sub: "gateways", Who: v, Data: all.Gateways})
	return nil
}

// gatewayForm is what the page of a gateway shows: the form, as it is or as it was typed, and a
// test of it.
type gatewayForm struct {
	admin.Gateway
	New      bool
	Way      string // mail, http, smpp, sip
	Tag      string
	Order    string
	Timeout  string
	CapDay   string
	CapMonth string
	Window   string
	Enquire  string
	Profile  string // of a new one
	Template string // of one that there is: the document under http
	To       string // whom the test was for
	Checks   []admin.Check
	Profiles []admin.ProviderProfile
	Versions []string // of SMPP
}

// ways are the kinds and protocols of gateways, by what stands in a path.
var ways = map[string]struct{ kind, protocol string }{
	"mail": {mfa.GatewayMail, mfa.GatewaySMTP}, "http": {mfa.GatewaySMS, mfa.GatewayHTTP}, "smpp": {mfa.GatewaySMS, mfa.GatewaySMPP},
	"sip": {mfa.GatewayCall, mfa.GatewaySIP},
}

func wayOf(g admin.Gateway) string {
	if g.Kind == mfa.GatewayMail {
		return "mail"
	}
	return g.Protocol
}

func newGatewayPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	way := r.PathValue("way")
	k, ok := ways[way]
	if !ok {
		return mfa.ErrNotFound
	}
	g := admin.Gateway{Kind: k.kind, Protocol: k.protocol, Order: 10, TLS: map[string]string{"mail": mfa.GatewayStartTLS, "smpp": mfa.GatewayTLS}[way]}
	if way == "smpp" {
		g.SMPP = &admin.GatewaySMPP{Version: mfa.SMPP34, Window: 10, EnquireSeconds: 30, Parts: mfa.PartsByUDH, Alphabet: mfa.AlphabetGSM, Receipts: true}
	}
	f := formOf(g)
	f.New = true
	return c.showGateway(w, r, v, http.StatusOK, f, "")
}

// formOf is the form of a gateway as it is.
func formOf(g admin.Gateway) gatewayForm {
	f := gatewayForm{Gateway: g, Way: wayOf(g), Tag: g.ETag(), Order: strconv.Itoa(g.Order), Timeout: strconv.Itoa(g.TimeoutSeconds),
		CapDay: strconv.Itoa(g.CapDay), CapMonth: strconv.Itoa(g.CapMonth)}
	if g.SMPP != nil {
		f.Window, f.Enquire = strconv.Itoa(g.SMPP.Window), strconv.Itoa(g.SMPP.EnquireSeconds)
	}
	if g.HTTP != nil {
		if b, err := json.MarshalIndent(g.HTTP, "", "  "); err == nil {
			f.Template = string(b)
		}
	}
	return f
}

func (c *Console) showGateway(w http.ResponseWriter, r *http.Request, v *visitor, status int, f gatewayForm, said string) error {
	title := "title.gateway"
	if f.New {
		title = "title.new-gateway"
	}
	f.Versions = []string{mfa.SMPP34, mfa.SMPP50}
	if f.New && f.Way == "http" {
		all, err := c.desk(v).Profiles(r.Context())
		if err != nil {
			return err
		}
		f.Profiles = all.Profiles
	}
	c.show(w, r, status, "gateway", view{Nav: "settings", Sub: "gateways", Title: title, Who: v, Data: f, Error: said})
	return nil
}

// gatewayNamed is the form of the gateway that the path names.
func (c *Console) gatewayNamed(r *http.Request, v *visitor) (gatewayForm, error) {
	g, err := c.desk(v).Gateway(r.Context(), r.PathValue("name"))
	return formOf(g), err
}

func gatewayPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.gatewayNamed(r, v)
	if err != nil {
		return err
	}
	return c.showGateway(w, r, v, http.StatusOK, f, "")
}

// gatewayLabels are the texts of the fields that are numbers.
var gatewayLabels = map[string]string{"order": "gateway.order", "timeout_seconds": "gateway.timeout", "cap_day": "gateway.capday", "cap_month": "gateway.capmonth",
	"window": "gateway.window", "enquire_seconds": "gateway.enquire"}

// readGateway makes a change from a form, which it puts into f as it was typed, but for the
// password. An empty one stays as it is.
func (c *Console) readGateway(r *http.Request, f *gatewayForm) (admin.GatewayChange, error) {
	get := func(name string) *string { s := strings.TrimSpace(r.PostFormValue(name)); return &s }
	on := func(name string) *bool { yes := r.PostFormValue(name) != ""; return &yes }
	var bad error
	number := func(name string, typed *string) *int {
		*typed = *get(name)
		n, err := strconv.Atoi(*typed)
		if err != nil && bad == nil {
			bad = c.noNumber(r, gatewayLabels[name], *typed)
		}
		return &n
	}
	ch := admin.GatewayChange{Address: get("address"), Login: get("login"), From: get("from"), CAs: get("ca_pem"), Disabled: on("disabled"),
		Order: number("order", &f.Order), TimeoutSeconds: number("timeout_seconds", &f.Timeout), IfMatch: r.PostFormValue("etag")}
	if p := r.PostFormValue("password"); p != "" {
		ch.Password = secret.NewWire(p)
	}
	f.Address, f.Login, f.From, f.CAs, f.Disabled = *ch.Address, *ch.Login, *ch.From, *ch.CAs, *ch.Disabled
	if f.Kind != mfa.GatewayMail {
		countries := words(r.PostFormValue("countries"))
		ch.Countries, f.Countries = &countries, countries
		ch.CapDay, ch.CapMonth = number("cap_day", &f.CapDay), number("cap_month", &f.CapMonth)
	}
	switch f.Way {
	case "mail":
		ch.TLS = get("tls")
		f.TLS = *ch.TLS
	case "smpp":
		ch.TLS = get("tls")
		f.TLS = *ch.TLS
		s := &admin.GatewaySMPPChange{Version: get("version"), SystemType: get("system_type"), Parts: get("parts"), Alphabet: get("alphabet"), Receipts: on("receipts"),
			Window: number("window", &f.Window), EnquireSeconds: number("enquire_seconds", &f.Enquire)}
		ch.SMPP = s
		shown := admin.GatewaySMPP{Version: *s.Version, SystemType: *s.SystemType, Parts: *s.Parts, Alphabet: *s.Alphabet, Receipts: *s.Receipts}
		if f.SMPP != nil {
			shown.Refuse = f.SMPP.Refuse
		}
		f.SMPP = &shown
	case "http":
		ch.PrivateAddresses = on("private_addresses")
		ch.ReceiptsURL = get("receipts_url")
		f.PrivateAddresses, f.ReceiptsURL = *ch.PrivateAddresses, *ch.ReceiptsURL
		bad = errors.Join(bad, readHTTP(r, f, &ch))
	}
	return ch, bad
}

// readHTTP reads how a provider is asked: the profile of a new one, the document of one that
// there is.
func readHTTP(r *http.Request, f *gatewayForm, ch *admin.GatewayChange) error {
	if f.New {
		f.Profile = r.PostFormValue("profile")
		ch.Profile = &f.Profile
		if f.Address == "" {
			ch.Address = nil // the profile's own
		}
		return nil
	}
	f.Template = r.PostFormValue("template")
	t := &admin.GatewayHTTP{}
	d := json.NewDecoder(strings.NewReader(f.Template))
	d.DisallowUnknownFields()
	if err := d.Decode(t); err != nil {
		return fmt.Errorf("%w: template: %s", mfa.ErrInvalid, strings.TrimPrefix(err.Error(), "json: "))
	}
	ch.HTTP = t
	return nil
}

func createGateway(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	way := r.PathValue("way")
	k, ok := ways[way]
	if !ok {
		return mfa.ErrNotFound
	}
	f := gatewayForm{New: true, Way: way, Gateway: admin.Gateway{Kind: k.kind, Protocol: k.protocol}}
	ch, err := c.readGateway(r, &f)
	f.Name = strings.TrimSpace(r.PostFormValue("name"))
	ch.Name, ch.Kind, ch.Protocol, ch.IfMatch = &f.Name, &k.kind, &k.protocol, ""
	if err == nil {
		_, err = c.desk(v).AddGateway(r.Context(), ch)
	}
	if mistake(err) {
		return c.showGateway(w, r, v, web.StatusOf(err), f, err.Error())
	} else if err != nil {
		return err
	}
	done(w, r, "/gateways/"+f.Name, "done.gateway")
	return nil
}

func editGateway(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.gatewayNamed(r, v)
	if err != nil {
		return err
	}
	now := f
	ch, err := c.readGateway(r, &f)
	if err == nil {
		_, err = c.desk(v).SetGateway(r.Context(), f.Name, ch)
	}
	switch {
	case errors.Is(err, mfa.ErrChanged):
		return c.showGateway(w, r, v, http.StatusConflict, now, c.say(r, "changed"))
	case mistake(err):
		return c.showGateway(w, r, v, web.StatusOf(err), f, err.Error())
	case err != nil:
		return err
	}
	done(w, r, "/gateways/"+f.Name, "done.saved")
	return nil
}

// testGateway tries the gateway as it is saved, step by step, and sends a message if it is
// told where.
func testGateway(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.gatewayNamed(r, v)
	if err != nil {
		return err
	}
	f.To = strings.TrimSpace(r.PostFormValue("to"))
	found, err := c.desk(v).TestGateway(r.Context(), f.Name, admin.GatewayTest{To: f.To})
	if mistake(err) {
		return c.showGateway(w, r, v, web.StatusOf(err), f, err.Error())
	} else if err != nil {
		return err
	}
	to := f.To
	if f, err = c.gatewayNamed(r, v); err != nil { // how it fares now
		return err
	}
	f.To, f.Checks = to, found.Checks
	return c.showGateway(w, r, v, http.StatusOK, f, "")
}

// removeGateway asks for the name, typed once more.
func removeGateway(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, err := c.gatewayNamed(r, v)
	if err != nil {
		return err
	}
	if strings.TrimSpace(r.PostFormValue("name")) != f.Name {
		return c.showGateway(w, r, v, http.StatusUnprocessableEntity, f, c.say(r, "notthis"))
	}
	err = c.desk(v).RemoveGateway(r.Context(), f.Name)
	if mistake(err) {
		return c.showGateway(w, r, v, web.StatusOf(err), f, err.Error())
	} else if err != nil {
		return err
	}
	done(w, r, "/gateways", "done.removed")
	return nil
}
