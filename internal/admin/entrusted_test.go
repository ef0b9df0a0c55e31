package admin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Whoever may change where a gateway or a directory is, but does not know its password, does not
// get it sent.
func TestASecretGoesNowhereElse(t *testing.T) {
	const again = "give it again"
	refused := func(t *testing.T, err error, want bool) {
		t.Helper()
		if got := errors.Is(err, mfa.ErrInvalid) && strings.Contains(err.Error(), again); got != want {
			t.Errorf("refused %t, want %t: %v", got, want, err)
		}
	}
	gateways := map[string]admin.GatewayChange{
		"relay": {Name: ptr("relay"), Kind: ptr("mail"), Address: ptr("mail.corp.example"), From: ptr("mfa@corp.example"), Login: ptr("mfa"), Password: secret.NewWire("hush-hush")},
		"open":  {Name: ptr("open"), Kind: ptr("mail"), Address: ptr("mail.corp.example"), From: ptr("mfa@corp.example")},
		"trunk": {Name: ptr("trunk"), Kind: ptr("call"), Address: ptr("sip.corp.example"), From: ptr("+4930123456"), Countries: &[]string{"DE"}, Login: ptr("mfa"), Password: secret.NewWire("hush-hush"),
			SIP: &admin.GatewaySIP{Transport: ptr("tls")}},
		"twilio": {Name: ptr("twilio"), Kind: ptr("sms"), Profile: ptr("twilio"), Login: ptr("AC1"), Password: secret.NewWire("hush-hush"), From: ptr("Corp"), Countries: &[]string{"DE"}},
		"header": {Name: ptr("header"), Kind: ptr("sms"), Address: ptr("https://sms.corp.example/send"), From: ptr("Corp"), Countries: &[]string{"DE"},
			HTTP: &admin.GatewayHTTP{Method: "POST", Format: "form", Body: "to={number}\ntext={text}", Headers: map[string]string{"X-Key": "hush-hush"}}},
	}
	body := func(text, header string) *admin.GatewayHTTP {
		return &admin.GatewayHTTP{Method: "POST", Format: "form", Body: text, Headers: map[string]string{"X-Key": header}}
	}
	for _, c := range []struct {
		name, gateway string
		change        admin.GatewayChange
		refused       bool
	}{
		{"another address", "relay", admin.GatewayChange{Address: ptr("mail.evil.example")}, true},
		{"with its password", "relay", admin.GatewayChange{Address: ptr("mail.new.example"), Password: secret.NewWire("hush-hush")}, false},
		{"in clear", "relay", admin.GatewayChange{TLS: ptr("none")}, true},
		{"protected more", "relay", admin.GatewayChange{TLS: ptr("tls")}, false},
		{"another authority", "relay", admin.GatewayChange{CAs: ptr(selfSigned(t))}, true},
		{"another sender", "relay", admin.GatewayChange{From: ptr("otp@corp.example"), Order: ptr(3)}, false},
		{"nothing to tell", "open", admin.GatewayChange{Address: ptr("mail.new.example"), TLS: ptr("none")}, false},
		{"a trunk elsewhere", "trunk", admin.GatewayChange{Address: ptr("sip.evil.example")}, true},
		{"a trunk in clear", "trunk", admin.GatewayChange{SIP: &admin.GatewaySIP{Transport: ptr("udp")}}, true},
		{"another profile", "twilio", admin.GatewayChange{Profile: ptr("vonage")}, true},
		{"a provider elsewhere", "twilio", admin.GatewayChange{Address: ptr("https://evil.example/{login}")}, true},
		{"with its password, its header being the profile's", "twilio", admin.GatewayChange{Address: ptr("https://api.new.example/{login}"), Password: secret.NewWire("x")}, false},
		{"in the text that somebody gets", "twilio", admin.GatewayChange{HTTP: &admin.GatewayHTTP{Method: "POST", Format: "form", Body: "To={number}\nBody={text} {password}"}}, true},
		{"a header elsewhere", "header", admin.GatewayChange{Address: ptr("https://evil.example/")}, true},
		{"a header elsewhere, kept", "header", admin.GatewayChange{Address: ptr("https://evil.example/"), HTTP: body("to={number}\ntext={text}", "(sealed)")}, true},
		{"a header elsewhere, given again", "header", admin.GatewayChange{Address: ptr("https://sms.new.example/"), HTTP: body("to={number}\ntext={text}", "new")}, false},
		{"a header, another text", "header", admin.GatewayChange{HTTP: body("number={number}\ntext={text}", "(sealed)")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			if _, err := r.AddGateway(t.Context(), "root", gateways[c.gateway]); err != nil {
				t.Fatal(err)
			}
			before, _ := r.db.Gateway(c.gateway)
			_, err := r.SetGateway(t.Context(), "root", c.gateway, c.change)
			refused(t, err, c.refused)
			if after, _ := r.db.Gateway(c.gateway); c.refused && after.Address != before.Address {
				t.Errorf("it was changed all the same: %s", after.Address)
			}
		})
	}
	for _, c := range []struct {
		name    string
		change  admin.DirectoryChange
		refused bool
	}{
		{"another url", admin.DirectoryChange{URLs: ptr([]string{"ldaps://dc1.corp.example", "ldaps://evil.example"})}, true},
		{"in clear", admin.DirectoryChange{StartTLS: ptr(false)}, true},
		{"another authority", admin.DirectoryChange{CAs: ptr(selfSigned(t))}, true},
		{"with its password", admin.DirectoryChange{URLs: ptr([]string{"ldaps://dc2.corp.example"}), BindPassword: secret.NewWire("pw")}, false},
		{"another base", admin.DirectoryChange{BaseDN: ptr("dc=corp,dc=example")}, false},
	} {
		t.Run("directory "+c.name, func(t *testing.T) {
			r := newRig(t)
			if _, err := r.AddDirectory(t.Context(), "root", admin.DirectoryChange{Name: ptr("corp"), URLs: ptr([]string{"ldap://127.0.0.1"}), StartTLS: ptr(true),
				BindDN: ptr("cn=svc"), BindPassword: secret.NewWire("pw"), BaseDN: ptr("dc=corp")}); err != nil {
				t.Fatal(err)
			}
			_, err := r.SetDirectory(t.Context(), "root", "corp", c.change)
			refused(t, err, c.refused)
		})
	}
}

// selfSigned returns a certificate in PEM.
func selfSigned(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
