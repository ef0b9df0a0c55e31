package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

type gatewayVerbs struct {
	Add      gatewayAdd      `cmd:"" help:"Add a gateway."`
	List     gatewayList     `cmd:"" help:"List gateways in the order in which they are asked, and how they fare."`
	Show     gatewayShow     `cmd:"" help:"Show a gateway."`
	Set      gatewaySet      `cmd:"" help:"Change a gateway."`
	Test     gatewayTest     `cmd:"" help:"Try a gateway layer by layer; with --to send a message."`
	Remove   gatewayRemove   `cmd:"" help:"Remove a gateway."`
	Profiles gatewayProfiles `cmd:"" help:"List the providers whose HTTP API is known."`
}

// gatewayFlags are what can be set on a gateway.
type gatewayFlags struct {
	Order            *int     `help:"Of those of a kind the lowest is asked first; 10 unless told otherwise."`
	Disabled         *bool    `help:"Switch it off." negatable:""`
	Address          *string  `help:"smtp, smpp, sip: HOST:PORT; http: a URL." placeholder:"ADDRESS"`
	TLS              *string  `name:"tls" help:"smtp: starttls, tls or none; smpp: tls or none." placeholder:"MODE" values:"starttls,tls,none"`
	TLSCAFile        *string  `name:"tls-ca-file" help:"Certificates (PEM) that its own is checked with; empty: the system's." placeholder:"FILE"`
	Login            *string  `help:"User name or account; smpp: system id." placeholder:"NAME"`
	Password         bool     `help:"Ask for its password, token or key."`
	PasswordStdin    bool     `help:"Read it from standard input."`
	PasswordFile     string   `help:"Read it from a file." type:"path" placeholder:"FILE"`
	From             *string  `help:"mail: the sender's address; sms, call: number or name that they come from."`
	Timeout          *span    `help:"Of one try." placeholder:"DURATION"`
	PrivateAddresses *bool    `help:"http: it may be at an address that is not of the public Internet." negatable:""`
	Country          []string `help:"sms, call: country that it may send to (ISO 3166: DE)." placeholder:"CODE"`
	CapDay           *int     `help:"sms: most parts, call: most calls in a day; 0: no cap."`
	CapMonth         *int     `help:"sms: most parts, call: most calls in a month; 0: no cap."`
	ReceiptsURL      *string  `name:"receipts-url" help:"http: where the provider reaches this group, to tell what becomes of messages: https://HOST; empty: it tells nothing." placeholder:"URL"`
	Profile          *string  `help:"http: a provider that is known, see gateway profiles." placeholder:"NAME"`
	Transport        *string  `help:"sip: udp, tcp or tls." placeholder:"NAME" values:"udp,tcp,tls"`
	Domain           *string  `help:"sip: of its SIP addresses, if that is not the host of the address." placeholder:"NAME"`
	Dial             *string  `help:"sip: what is dialled, with {number} (+49170...) or {digits} (49170...)." placeholder:"FORM"`
	Ring             *span    `help:"sip: until somebody picks up." placeholder:"DURATION"`
	Calls            *int     `help:"sip: most calls at once, of one server."`
	AudioPorts       *string  `help:"sip: UDP ports of the server for audio." placeholder:"FIRST-LAST"`
	TemplateFile     string   `help:"http: how the provider is asked, a JSON document as gateway show --json has it under http." type:"path" placeholder:"FILE"`
	smppFlags
}

// smppFlags are what can be set on a gateway of protocol smpp.
type smppFlags struct {
	SMPPVersion *string  `name:"smpp-version" help:"smpp: 3.4 (default) or 5.0." placeholder:"VERSION" values:"3.4,5.0"`
	SystemType  *string  `help:"smpp: if the provider asks for one." placeholder:"TYPE"`
	Window      *int     `help:"smpp: messages under way at once; 10 unless told otherwise."`
	Enquire     *span    `help:"smpp: how often an idle link is tried; 30s unless told otherwise." placeholder:"DURATION"`
	Parts       *string  `help:"smpp: how the parts of a long message are told: udh (default) or sar." placeholder:"WAY" values:"udh,sar"`
	Alphabet    *string  `help:"smpp: gsm (default; UCS-2 where that is not enough) or ucs2." placeholder:"NAME" values:"gsm,ucs2"`
	Receipts    *bool    `help:"smpp: it tells what becomes of messages." negatable:""`
	Status      []string `help:"smpp: what a status of the provider's own means, as in 0x411=gateway_no_credit." placeholder:"STATUS=REASON"`
}

// change returns nil if nothing was given.
func (f smppFlags) change() (*admin.GatewaySMPPChange, error) {
	c := admin.GatewaySMPPChange{Version: f.SMPPVersion, SystemType: f.SystemType, Window: f.Window, Parts: f.Parts, Alphabet: f.Alphabet, Receipts: f.Receipts}
	if f.Enquire != nil {
		s := int(time.Duration(*f.Enquire).Round(time.Second).Seconds())
		c.EnquireSeconds = &s
	}
	if given := many(f.Status); given != nil {
		rules := []mfa.SMPPRule{}
		for _, s := range *given {
			status, reason, ok := strings.Cut(s, "=")
			n, err := strconv.ParseUint(status, 0, 31)
			if !ok || err != nil {
				return nil, usage("--status %q: want STATUS=REASON, as in 0x411=gateway_no_credit", s)
			}
			rules = append(rules, mfa.SMPPRule{Status: int(n), Reason: reason}) //nolint:gosec // of 31 bits
		}
		c.Refuse = &rules
	}
	if c == (admin.GatewaySMPPChange{}) {
		return nil, nil
	}
	return &c, nil
}

func (f *gatewayFlags) change(e *env) (c admin.GatewayChange, err error) {
	c = admin.GatewayChange{Order: f.Order, Disabled: f.Disabled, Address: f.Address, TLS: f.TLS, Login: f.Login, From: f.From,
		PrivateAddresses: f.PrivateAddresses, Countries: many(f.Country), CapDay: f.CapDay, CapMonth: f.CapMonth, Profile: f.Profile, ReceiptsURL: f.ReceiptsURL}
	if f.Timeout != nil {
		s := int(time.Duration(*f.Timeout).Round(time.Second).Seconds())
		c.TimeoutSeconds = &s
	}
	c.SIP = f.sip()
	if f.TLSCAFile != nil {
		var pem []byte
		if *f.TLSCAFile != "" {
			if pem, err = os.ReadFile(*f.TLSCAFile); err != nil {
				return c, fmt.Errorf("--tls-ca-file: %w", err)
			}
		}
		text := string(pem)
		c.CAs = &text
	}
	if f.TemplateFile != "" {
		if c.HTTP, err = readTemplate(f.TemplateFile); err != nil {
			return c, err
		}
	}
	if c.SMPP, err = f.smppFlags.change(); err != nil {
		return c, err
	}
	c.Password, err = e.read(source{what: "password of the gateway", stdin: f.PasswordStdin, file: f.PasswordFile, ask: f.Password})
	return c, err
}

// sip is what was given of how calls are placed; nil: nothing.
func (f *gatewayFlags) sip() *admin.GatewaySIP {
	s := admin.GatewaySIP{Transport: f.Transport, Domain: f.Domain, Dial: f.Dial, Calls: f.Calls, AudioPorts: f.AudioPorts}
	if f.Ring != nil {
		n := int(time.Duration(*f.Ring).Round(time.Second).Seconds())
		s.RingSeconds = &n
	}
	if s == (admin.GatewaySIP{}) {
		return nil
	}
	return &s
}

func readTemplate(file string) (*admin.GatewayHTTP, error) {
	b, err := os.ReadFile(file) //nolint:gosec // the operator named it
	if err != nil {
		return nil, fmt.Errorf("--template-file: %w", err)
	}
	t := &admin.GatewayHTTP{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(t); err != nil {
		return nil, fmt.Errorf("--template-file %s: %w", file, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("--template-file %s: more than one JSON document", file)
	}
	return t, nil
}

type gatewayAdd struct {
	nameArg
	Kind     string  `required:"" help:"mail, sms or call." placeholder:"KIND" enum:"mail,sms,call"`
	Protocol *string `help:"mail: smtp; sms: http (default) or smpp; call: sip." placeholder:"NAME" values:"smtp,http,smpp,sip"`
	gatewayFlags
}

func (v *gatewayAdd) Run(ctx context.Context, e *env) error {
	if v.Login != nil && *v.Login != "" && !v.PasswordStdin && v.PasswordFile == "" {
		v.Password = true
	}
	c, err := v.change(e)
	if err != nil {
		return err
	}
	c.Name, c.Kind, c.Protocol = &v.Name, &v.Kind, v.Protocol
	return change[admin.Gateway](ctx, e, http.MethodPost, "/gateways", c)
}

type gatewayList struct{}

func (gatewayList) Run(ctx context.Context, e *env) error {
	doc := admin.GatewayList{Gateways: []admin.Gateway{}}
	if err := whole(ctx, e, "/gateways", func(p admin.GatewayList) string {
		doc.Gateways = append(doc.Gateways, p.Gateways...)
		return p.Next
	}); err != nil {
		return err
	}
	type row struct {
		Name     string `json:"name"`
		Kind     string `json:"kind"`
		Protocol string `json:"protocol"`
		Order    int    `json:"order"`
		Address  string `json:"address"`
		State    string `json:"state"`
		Sent     int    `json:"sent"`
		Failed   int    `json:"failed"`
		Lost     int    `json:"undelivered"`
		Reason   string `json:"last_failure"`
	}
	rows := make([]row, 0, len(doc.Gateways))
	for _, g := range doc.Gateways {
		if g.Health == nil {
			g.Health = &admin.GatewayHealth{}
		}
		rows = append(rows, row{g.Name, g.Kind, g.Protocol, g.Order, g.Address, g.Health.State, g.Health.Sent, g.Health.Failed, g.Health.Undelivered, g.Health.Reason})
	}
	return e.table(doc, rows, "name", "kind", "protocol", "order", "address", "state", "sent", "failed", "undelivered", "last_failure")
}

type gatewayShow struct{ nameArg }

func (v *gatewayShow) Run(ctx context.Context, e *env) error {
	return change[admin.Gateway](ctx, e, http.MethodGet, path("gateways", v.Name), nil)
}

type gatewaySet struct {
	nameArg
	gatewayFlags
}

func (v *gatewaySet) Run(ctx context.Context, e *env) error {
	c, err := v.change(e)
	if err != nil {
		return err
	}
	if c == (admin.GatewayChange{}) {
		return usage("nothing to change: give at least one flag (see `countersign gateway set --help`)")
	}
	return change[admin.Gateway](ctx, e, http.MethodPatch, path("gateways", v.Name), c)
}

type gatewayTest struct {
	nameArg
	To string `help:"Send a message to this number (+E164) or mail address, or call this number."`
}

func (v *gatewayTest) Run(ctx context.Context, e *env) error {
	var doc admin.CheckList
	if err := e.call(ctx, http.MethodPost, path("gateways", v.Name, "test"), nil, admin.GatewayTest{To: v.To}, &doc); err != nil {
		return err
	}
	return e.checks(doc)
}

type gatewayRemove struct{ nameArg }

func (v *gatewayRemove) Run(ctx context.Context, e *env) error {
	return remove(ctx, e, "gateway", v.Name, path("gateways", v.Name))
}

type gatewayProfiles struct{}

func (gatewayProfiles) Run(ctx context.Context, e *env) error {
	var doc admin.ProviderProfileList
	if err := e.call(ctx, http.MethodGet, "/gateway-profiles", nil, nil, &doc); err != nil {
		return err
	}
	return e.table(doc, doc.Profiles, "name", "title", "asks", "url")
}
