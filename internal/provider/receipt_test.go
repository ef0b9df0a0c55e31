package provider

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// What each provider sends, as its documentation has it, is read as it is meant.
func TestReceipts(t *testing.T) {
	const form, doc = "application/x-www-form-urlencoded", "application/json"
	for _, tt := range []struct {
		profile, kind, query, body string
		want                       Said
	}{
		{"twilio", form, "", "MessageSid=SM1&MessageStatus=delivered&To=%2B491701234567", Said{Arrived: true}},
		{"twilio", form, "", "MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30003", Said{Lost: true, Why: "undelivered, error 30003"}},
		{"twilio", form + "; charset=utf-8", "", "MessageStatus=sent", Said{}},
		{"vonage", doc, "", `{"msisdn":"491701234567","messageId":"0A","status":"delivered","err-code":"0"}`, Said{Arrived: true}},
		{"vonage", form, "", "status=failed&err-code=1", Said{Lost: true, Why: "failed, error 1"}},
		{"vonage", "", "status=expired&err-code=5&msisdn=49", "", Said{Lost: true, Why: "expired, error 5"}},
		{"vonage", "", "status=accepted", "", Said{}},
		{"infobip", doc, "", `{"results":[{"messageId":"1","status":{"groupId":3,"groupName":"DELIVERED","name":"DELIVERED_TO_HANDSET"},"error":{"name":"NO_ERROR"}}]}`, Said{Arrived: true}},
		{"infobip", doc, "", `{"results":[{"status":{"groupName":"UNDELIVERABLE"},"error":{"name":"EC_ABSENT_SUBSCRIBER"}}]}`, Said{Lost: true, Why: "UNDELIVERABLE, error EC_ABSENT_SUBSCRIBER"}},
		{"infobip", doc, "", `{"results":[]}`, Said{}},
		{"sinch", doc, "", `{"type":"recipient_delivery_report_sms","status":"Delivered","code":0}`, Said{Arrived: true}},
		{"sinch", doc, "", `{"type":"recipient_delivery_report_sms","status":"Aborted","code":412}`, Said{Lost: true, Why: "Aborted, error 412"}},
		{"sinch", doc, "", `{"status":"Dispatched","code":401}`, Said{}},
		{"messagebird", "", "id=1&reference=2&recipient=491701234567&status=delivery_failed&statusErrorCode=1", "", Said{Lost: true, Why: "delivery_failed, error 1"}},
		{"messagebird", "", "status=delivered", "", Said{Arrived: true}},
		{"json", doc, "", `{"status":["delivered"]}`, Said{}},
		{"json", doc, "", `{"status":""}`, Said{}},
		{"form", form, "", "status=failed&error=" + strings.Repeat("%0Ax", 90), Said{Lost: true, Why: "failed, error " + strings.Repeat("x", 40)}},
	} {
		p, err := ByName(tt.profile)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/receipts/token?"+tt.query, nil)
		r.Header.Set("Content-Type", tt.kind)
		if got, err := ReadReceipt(p.HTTPTemplate, r, []byte(tt.body)); err != nil || got != tt.want {
			t.Errorf("%s, %s%s: %+v, %v; want %+v", tt.profile, tt.query, tt.body, got, err, tt.want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/receipts/token", nil)
	if _, err := ReadReceipt(mfa.HTTPTemplate{}, r, []byte("<xml/>")); err == nil {
		t.Error("something that is neither form nor document was read")
	}
}

// Without an address that the provider could tell, none is given; with one it arrives as it is.
func TestCallbackIsSentOnlyWhereThereIsOne(t *testing.T) {
	const at = "https://mfa.corp.example/receipts/abc_-"
	v := Values{Number: "+491701234567", Text: "Code 1", Sender: "Corp", ID: "7"}
	for _, p := range Profiles() {
		if !CanTell(p.HTTPTemplate) {
			continue
		}
		for _, to := range []string{"", at} {
			v.Callback = to
			r, err := Request(p.URL, p.HTTPTemplate, v)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(r.Body)
			sent := strings.ReplaceAll(strings.ReplaceAll(string(b), "%3A", ":"), "%2F", "/")
			if strings.Contains(strings.ToLower(sent), "callback") != (to != "") && p.Name != "infobip" && p.Name != "messagebird" || strings.Contains(sent, at) != (to != "") || strings.Contains(sent, `""`) {
				t.Errorf("%s, to %q: %s", p.Name, to, sent)
			}
		}
	}
}
