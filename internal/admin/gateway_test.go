package admin_test

import (
	"errors"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func TestGatewaysAreChecked(t *testing.T) {
	r := newRig(t)
	p := func(s string) *string { return &s }
	mail := func() admin.GatewayChange {
		return admin.GatewayChange{Name: p("relay"), Kind: p("mail"), Address: p("mail.corp.example"), From: p("mfa@corp.example"), Login: p("mfa"), Password: secret.NewWire("hush-hush")}
	}
	sms := func() admin.GatewayChange {
		return admin.GatewayChange{Name: p("provider"), Kind: p("sms"), Profile: p("twilio"), Login: p("AC1"), Password: secret.NewWire("hush-hush"), From: p("Corp"), Countries: &[]string{"de", "AT"}}
	}
	call := func() admin.GatewayChange {
		return admin.GatewayChange{Name: p("trunk"), Kind: p("call"), Address: p("sip.provider.example"), From: p("+4930123456"), Countries: &[]string{"DE"},
			SIP: &admin.GatewaySIP{Transport: p("tls"), Dial: p("0{digits}"), AudioPorts: p("10000-10099")}}
	}
	g, err := r.AddGateway(t.Context(), "root", mail())
	if err != nil || g.Address != "mail.corp.example:587" || g.TLS != mfa.GatewayStartTLS || !g.HasPassword || g.Health.State != "unused" {
		t.Fatalf("mail: %+v, %v", g, err)
	}
	g, err = r.AddGateway(t.Context(), "root", sms())
	if err != nil || g.HTTP.Headers["Authorization"] != "(sealed)" || strings.Join(g.Countries, " ") != "DE AT" {
		t.Fatalf("sms: %+v, %v", g, err)
	}
	if kept, err := r.db.Gateway("provider"); err != nil || kept.HTTP.Headers["Authorization"] != "Basic {basic}" {
		t.Errorf("kept %+v, %v", kept, err)
	}
	h := *g.HTTP
	h.ID = "other"
	if _, err := r.SetGateway(t.Context(), "root", "provider", admin.GatewayChange{HTTP: &h}); err != nil {
		t.Fatal(err)
	}
	if kept, _ := r.db.Gateway("provider"); kept.HTTP.Headers["Authorization"] != "Basic {basic}" || kept.HTTP.ID != "other" {
		t.Errorf("a header that was left as it is: %+v", kept.HTTP)
	}
	g, err = r.AddGateway(t.Context(), "root", call())
	if err != nil || g.Address != "sip.provider.example:5061" || g.Protocol != mfa.GatewaySIP || *g.SIP.AudioPorts != "10000-10099" {
		t.Fatalf("call: %+v, %v", g, err)
	}
	ring := 20
	if g, err = r.SetGateway(t.Context(), "root", "trunk", admin.GatewayChange{SIP: &admin.GatewaySIP{RingSeconds: &ring}}); err != nil || *g.SIP.RingSeconds != 20 || *g.SIP.Transport != "tls" {
		t.Errorf("what is absent stays: %+v, %v", g.SIP, err)
	}
	for name, tt := range map[string]struct {
		base   func() admin.GatewayChange
		change func(*admin.GatewayChange)
		want   string
	}{
		"no sender":        {mail, func(c *admin.GatewayChange) { c.From = nil }, "from"},
		"two senders":      {mail, func(c *admin.GatewayChange) { c.From = p("a@b.example, c@d.example") }, "from"},
		"a header":         {mail, func(c *admin.GatewayChange) { c.From = p("a@b.example\r\nBcc: e@f.example") }, "from"},
		"port":             {mail, func(c *admin.GatewayChange) { c.Address = p("mail:99999") }, "port"},
		"mail over http":   {mail, func(c *admin.GatewayChange) { c.Protocol = p("http") }, "smtp"},
		"no password":      {mail, func(c *admin.GatewayChange) { c.Password = nil }, "password"},
		"calls over http":  {call, func(c *admin.GatewayChange) { c.Protocol, c.SIP = p("http"), nil }, "by sip"},
		"calls anywhere":   {call, func(c *admin.GatewayChange) { c.Countries = nil }, "countries"},
		"no caller":        {call, func(c *admin.GatewayChange) { c.From = nil }, "from"},
		"another caller":   {call, func(c *admin.GatewayChange) { c.From = p("eve@elsewhere") }, "from"},
		"what is dialled":  {call, func(c *admin.GatewayChange) { c.SIP.Dial = p("{number};user=phone") }, "dial"},
		"nothing dialled":  {call, func(c *admin.GatewayChange) { c.SIP.Dial = p("0800") }, "dial"},
		"ports":            {call, func(c *admin.GatewayChange) { c.SIP.AudioPorts = p("10099-10000") }, "audio_ports"},
		"a domain":         {call, func(c *admin.GatewayChange) { c.SIP.Domain = p("a b") }, "domain"},
		"STARTTLS":         {call, func(c *admin.GatewayChange) { c.TLS = p("starttls") }, "transport"},
		"sip for mail":     {mail, func(c *admin.GatewayChange) { c.SIP = &admin.GatewaySIP{Dial: p("{number}")} }, "protocol sip"},
		"no country":       {sms, func(c *admin.GatewayChange) { c.Countries = nil }, "countries"},
		"no such country":  {sms, func(c *admin.GatewayChange) { c.Countries = &[]string{"XX"} }, "XX"},
		"no profile":       {sms, func(c *admin.GatewayChange) { c.Profile = nil }, "profile"},
		"misspelt profile": {sms, func(c *admin.GatewayChange) { c.Profile = p("twillio") }, `"twilio"`},
		"plain http":       {sms, func(c *admin.GatewayChange) { c.Address = p("http://sms.example/?t={text}&n={number}") }, "https"},
		"sms over smtp":    {sms, func(c *admin.GatewayChange) { c.Protocol, c.Profile = p("smtp"), nil }, "by http"},
		"header without a value": {sms, func(c *admin.GatewayChange) {
			c.HTTP = &admin.GatewayHTTP{Method: "POST", Headers: map[string]string{"X-Key": "(sealed)"}}
		}, "X-Key"},
	} {
		c := tt.base()
		c.Name = p("another")
		tt.change(&c)
		if _, err := r.AddGateway(t.Context(), "root", c); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	for _, a := range r.trail.Recorded() {
		if strings.Contains(a.Detail, "Basic") || strings.Contains(a.Detail, "hush") {
			t.Errorf("the trail tells too much: %+v", a)
		}
	}
	if _, err := r.TestGateway(t.Context(), "root", "provider", admin.GatewayTest{To: "0170 1"}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a number that is none: %v", err)
	}
	if _, err := r.TestGateway(t.Context(), "root", "provider", admin.GatewayTest{To: "+49 170 1234567"}); err != nil {
		t.Error(err)
	}
	acts := r.trail.Recorded()
	if last := acts[len(acts)-1]; last.Verb != "gateway test" || last.Detail != "to +49********67" {
		t.Errorf("recorded %+v", last)
	}
}
