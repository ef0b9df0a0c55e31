package storetest

import (
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func gateways(t *testing.T, r *rig) {
	ctx := t.Context()
	in := mfa.Gateway{Name: "provider", Kind: mfa.GatewaySMS, Protocol: mfa.GatewayHTTP, Order: 2, Disabled: true, Address: "https://sms.example/send",
		TLS: mfa.GatewayTLS, CAs: "PEM", Login: "account", Password: secret.FromString("gateway word"), From: "Corp", Timeout: 3 * time.Second, Private: true,
		Countries: []string{"DE", "AT"}, CapDay: 100, CapMonth: 2000,
		HTTP: mfa.HTTPTemplate{Profile: "twilio", Method: "POST", Format: "form", Body: "To={number}", Headers: map[string]string{"Authorization": "Bearer header word"},
			Accept: []mfa.HTTPRule{{Status: 201}}, Refuse: []mfa.HTTPRule{{Status: 402, Path: "code", Value: "7", Reason: "no_credit"}}, ID: "sid"},
		SMPP: mfa.SMPPOptions{Version: mfa.SMPP50, SystemType: "vma", Window: 5, Enquire: time.Minute, Parts: mfa.PartsBySAR, Alphabet: mfa.AlphabetUCS, NoReceipts: true, Refuse: []mfa.SMPPRule{{Status: 1041, Reason: "gateway_no_credit"}}}}
	made, err := r.CreateGateway(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	in.Created, in.Changed = noon, noon
	same(t, "created", made, in)
	got, err := r.Gateway("provider")
	is(t, "read", err, nil)
	same(t, "read", got, in)
	_, err = r.CreateGateway(ctx, in)
	is(t, "the same name", err, mfa.ErrExists)
	for _, name := range []string{"", "a/b"} {
		_, err = r.CreateGateway(ctx, mfa.Gateway{Name: name})
		is(t, "a name that is none", err, mfa.ErrInvalid)
	}
	trunk := mfa.Gateway{Name: "trunk", Kind: mfa.GatewayCall, Protocol: mfa.GatewaySIP, Address: "sip.example:5061", Login: "acme", Password: secret.FromString("trunk word"), From: "+4930",
		Countries: []string{"DE"}, SIP: mfa.SIPTrunk{Transport: "tls", Domain: "example", Dial: "0{digits}", Ring: 20 * time.Second, Calls: 4, FirstPort: 10000, LastPort: 10099}}
	made, err = r.CreateGateway(ctx, trunk)
	is(t, "a trunk", err, nil)
	got, err = r.Gateway("trunk")
	is(t, "a trunk", err, nil)
	same(t, "a trunk", got, made)
	is(t, "remove the trunk", r.RemoveGateway(ctx, "trunk"), nil)
	for _, g := range []mfa.Gateway{{Name: "relay", Kind: mfa.GatewayMail}, {Name: "first", Kind: mfa.GatewaySMS, Order: 1}, {Name: "alike", Kind: mfa.GatewaySMS, Order: 2}} {
		_, err = r.CreateGateway(ctx, g)
		is(t, "another", err, nil)
	}
	order := ""
	for _, g := range r.Gateways() {
		order += g.Name + " "
	}
	if order != "relay first alike provider " {
		t.Errorf("in the order %s", order)
	}
	_, err = r.UpdateGateway(ctx, "provider", func(g *mfa.Gateway) error { g.Order, g.Name = 9, "ignored"; return nil })
	is(t, "update", err, nil)
	if got, err := r.Gateway("provider"); err != nil || got.Order != 9 || !got.Password.Equal(in.Password) || got.HTTP.Headers["Authorization"] != "Bearer header word" {
		t.Errorf("after the update: %+v, %v", got, err)
	}
	_, err = r.UpdateGateway(ctx, "nowhere", func(*mfa.Gateway) error { return nil })
	is(t, "update what is not", err, mfa.ErrNotFound)
	is(t, "remove", r.RemoveGateway(ctx, "provider"), nil)
	is(t, "remove again", r.RemoveGateway(ctx, "provider"), mfa.ErrNotFound)
	_, err = r.Gateway("provider")
	is(t, "what is gone", err, mfa.ErrNotFound)
}
