package provider

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

var hostile = Values{Number: "+491701234567", Text: `Code "1", {password} & =` + "\n\\u0041 ü", Sender: `Corp"}`, Login: "acc/../ount", Password: `p{text}"w`, ID: "42"}

func TestEveryProfileIsGood(t *testing.T) {
	for _, p := range Profiles() {
		if err := Check(p.URL, p.HTTPTemplate, false); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if p.Title == "" || p.Secret == "" {
			t.Errorf("%s lacks a title or says not what its password is", p.Name)
		}
		r, err := Request(p.URL, p.HTTPTemplate, hostile)
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		body, _ := io.ReadAll(r.Body)
		switch p.Format {
		case formatJSON:
			var doc any
			if err := json.Unmarshal(body, &doc); err != nil {
				t.Errorf("%s: %v in %s", p.Name, err, body)
			}
			found := false
			within(doc, func(s string) string { found = found || s == hostile.Text; return s })
			if !found {
				t.Errorf("%s: the text did not arrive as it was: %s", p.Name, body)
			}
		case formatForm:
			v, err := url.ParseQuery(string(body))
			found := false
			for _, vs := range v {
				found = found || len(vs) == 1 && vs[0] == hostile.Text
			}
			if err != nil || !found {
				t.Errorf("%s: the text did not arrive as it was: %s (%v)", p.Name, body, err)
			}
		}
		if strings.Contains(r.URL.EscapedPath(), "..") && strings.Contains(r.URL.Path, "/../") && !strings.Contains(r.URL.EscapedPath(), "%2F") {
			t.Errorf("%s: the login changes the path: %s", p.Name, r.URL)
		}
	}
	if _, err := ByName("twillio"); err == nil || !strings.Contains(err.Error(), `"twilio"`) {
		t.Errorf("got %v", err)
	}
}

func TestCheckRefuses(t *testing.T) {
	good := mfa.HTTPTemplate{Method: "POST", Format: "form", Body: "to={number}\ntext={text}"}
	if err := Check("https://sms.example/send", good, false); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		address string
		change  func(*mfa.HTTPTemplate)
		want    string
	}{
		"plain":              {"http://sms.example/send", func(*mfa.HTTPTemplate) {}, "https://"},
		"login in it":        {"https://a:b@sms.example/", func(*mfa.HTTPTemplate) {}, "fields of their own"},
		"file":               {"file:///etc/passwd", func(*mfa.HTTPTemplate) {}, "https://"},
		"host by the number": {"https://{digits}.example/", func(*mfa.HTTPTemplate) {}, "fixed"},
		"no text":            {"https://sms.example/", func(t *mfa.HTTPTemplate) { t.Body = "to={number}" }, "{text}"},
		"no number":          {"https://sms.example/", func(t *mfa.HTTPTemplate) { t.Body = "text={text}" }, "{number}"},
		"misspelt":           {"https://sms.example/", func(t *mfa.HTTPTemplate) { t.Body = "to={numbr}\ntext={text}" }, "did you mean {number}?"},
		"unclosed":           {"https://sms.example/", func(t *mfa.HTTPTemplate) { t.Body = "to={number\ntext={text}" }, "not closed"},
		"no JSON":            {"https://sms.example/", func(t *mfa.HTTPTemplate) { t.Format = "json" }, "JSON"},
		"method":             {"https://sms.example/", func(t *mfa.HTTPTemplate) { t.Method = "DELETE" }, "POST"},
		"header":             {"https://sms.example/", func(t *mfa.HTTPTemplate) { t.Headers = map[string]string{"X-Key": "a\r\nHost: b"} }, "line"},
		"reason":             {"https://sms.example/", func(t *mfa.HTTPTemplate) { t.Refuse = []mfa.HTTPRule{{Status: 402, Reason: "ok"}} }, "reason"},
	} {
		bad := good
		tt.change(&bad)
		if err := Check(tt.address, bad, false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func TestJudge(t *testing.T) {
	vonage, err := ByName("vonage")
	if err != nil {
		t.Fatal(err)
	}
	any2xx := mfa.HTTPTemplate{ID: "id"}
	for name, tt := range map[string]struct {
		t      mfa.HTTPTemplate
		status int
		body   string
		want   mfa.Reason
		ref    string
	}{
		"taken":                   {vonage.HTTPTemplate, 200, `{"messages":[{"status":"0","message-id":"m1"}]}`, mfa.ReasonNone, "m1"},
		"200 with an error in it": {vonage.HTTPTemplate, 200, `{"messages":[{"status":"4"}]}`, mfa.GatewayRefused, ""},
		"no credit":               {vonage.HTTPTemplate, 200, `{"messages":[{"status":"9"}]}`, mfa.GatewayNoCredit, ""},
		"number":                  {vonage.HTTPTemplate, 200, `{"messages":[{"status":"7"}]}`, mfa.RecipientRefused, ""},
		"an empty page":           {vonage.HTTPTemplate, 200, ``, mfa.GatewayRefused, ""},
		"a login page":            {vonage.HTTPTemplate, 200, `<html>`, mfa.GatewayRefused, ""},
		"a redirect":              {any2xx, 302, ``, mfa.GatewayRefused, ""},
		"any 2xx":                 {any2xx, 204, ``, mfa.ReasonNone, ""},
		"a number as id":          {any2xx, 200, `{"id":12345678901234567890}`, mfa.ReasonNone, "12345678901234567890"},
		"payment required":        {any2xx, 402, ``, mfa.GatewayNoCredit, ""},
		"too fast":                {any2xx, 429, ``, mfa.GatewaySlow, ""},
		"broken":                  {any2xx, 503, ``, mfa.GatewayDown, ""},
		"login refused":           {any2xx, 401, ``, mfa.GatewayRefused, ""},
	} {
		ref, err := Judge(tt.t, tt.status, []byte(tt.body))
		var why mfa.Reason
		errors.As(err, &why)
		if why != tt.want || ref != tt.ref || (err == nil) != (tt.want == mfa.ReasonNone) {
			t.Errorf("%s: got %q, %v; want %q, %s", name, ref, err, tt.ref, tt.want)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(200, []byte(`{"messages":[{"status":"0"}]}`))
	p, _ := ByName("vonage")
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		_, err := Judge(p.HTTPTemplate, status, body)
		if err != nil && !errors.As(err, new(mfa.Reason)) {
			t.Errorf("an error without a reason: %v", err)
		}
	})
}
