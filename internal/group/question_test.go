package group

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// A request and a decision come through to another server as they are, every field of them.
func TestQuestionRoundTrip(t *testing.T) {
	r := mfa.Request{Application: "app", FrontEnd: "radius", Leg: mfa.LegID{1, 2}, Login: "Bücher\\alice", Password: secret.FromString("päss"),
		Passkey: true, Handle: []byte{0, 255}, Answer: secret.FromString("123456"), Caps: mfa.CanPrompt, Peer: netip.MustParseAddrPort("[::1]:99"),
		Source: "10.0.0.1", Session: "5f01", Refuse: mfa.WrongCode, Trace: true, Text: "Pay 10 EUR", Patient: true}
	v := reflect.ValueOf(r)
	for i := range v.NumField() {
		if v.Type().Field(i).Name == "Waits" || v.Type().Field(i).Name == "Gone" { // concerns this server alone
			continue
		}
		if v.Field(i).IsZero() {
			t.Fatalf("%s is not tested", v.Type().Field(i).Name)
		}
	}
	b, err := json.Marshal(Ask(r))
	if err != nil {
		t.Fatal(err)
	}
	var q Question
	if err := json.Unmarshal(b, &q); err != nil {
		t.Fatal(err)
	}
	got := q.Request()
	if !got.Password.Equal(r.Password) || !got.Answer.Equal(r.Answer) {
		t.Error("password or answer were lost")
	}
	got.Password, got.Answer, r.Password, r.Answer = secret.Text{}, secret.Text{}, secret.Text{}, secret.Text{}
	if !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, want %+v", got, r)
	}
	for _, d := range []mfa.Decision{
		{Verdict: mfa.Accept, Reason: mfa.OK, Message: "m", Handle: []byte{1}, Expires: noon, Options: []byte("{}"), Method: mfa.MethodPasskey, Others: true, Awaits: &mfa.Awaited{Method: "push", Number: "42"}, User: "u", Attempt: mfa.AttemptID{7},
			Reply: []mfa.ReplyAttribute{{Name: "Class", Value: "x"}}, Trace: []string{"a"}},
		{},
	} {
		b, err := json.Marshal(Decided(d))
		if err != nil {
			t.Fatal(err)
		}
		var out Decided
		if err := json.Unmarshal(b, &out); err != nil || !reflect.DeepEqual(mfa.Decision(out), d) {
			t.Errorf("got %+v, want %+v (%v)", out, d, err)
		}
	}
	var nothing Decided
	if err := json.Unmarshal([]byte("{}"), &nothing); err != nil || nothing.Verdict != mfa.Reject {
		t.Errorf("an empty answer: %+v, %v", nothing, err)
	}
}
