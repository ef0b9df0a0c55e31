package smpp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// The example of SMPP 3.4, 3.2.2: a bind_transmitter of SMPP3TEST, as the standard prints it.
const standard = "0000002F 00000002 00000000 00000001 534D50503354455354 00 7365637265743038 00 5355424D495431 00 00 01 01 00"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheStandardsExample(t *testing.T) {
	b := unhex(t, standard)
	p, err := Parse(b)
	if err != nil || p.Command != 2 || p.Sequence != 1 {
		t.Fatalf("got %+v, %v", p, err)
	}
	if again := p.Append(nil); !bytes.Equal(again, b) {
		t.Errorf("made again %x, was %x", again, b)
	}
	body, err := Bind{SystemID: "SMPP3TEST", Password: "secret08", SystemType: "SUBMIT1", Version: Version34}.Body()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(body); !bytes.Equal(body[:n-4], p.Body[:n-4]) || !bytes.Equal(body[n-4:], []byte{0x34, 0, 0, 0}) {
		t.Errorf("bind: %x, the standard's %x", body, p.Body)
	}
}

func TestMalformed(t *testing.T) {
	good := unhex(t, standard)
	for name, b := range map[string][]byte{
		"nothing": nil, "half a header": good[:10], "cut": good[:len(good)-1], "more": append(slices.Clone(good), 0),
		"length 0": append([]byte{0, 0, 0, 0}, good[4:]...), "length of gigabytes": append([]byte{0x7f, 0, 0, 0}, good[4:]...),
	} {
		if _, err := Parse(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	body, err := Message{To: To("+491701234567"), Text: []byte("Code"), TLVs: []TLV{{TagReceiptedID, []byte("17\x00")}}}.Body()
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for n := range len(body) + 1 {
		if _, err := ParseMessage(body[:n]); err == nil {
			whole++
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if whole != 2 { // with its optional parameter, and without
		t.Errorf("%d beginnings of a message are messages, want 2", whole)
	}
	if _, err := (Message{Text: make([]byte, 255)}).Body(); !errors.Is(err, ErrMalformed) {
		t.Errorf("a text that is too long: %v", err)
	}
	if _, err := (Bind{Password: "a\x00b"}).Body(); !errors.Is(err, ErrMalformed) {
		t.Errorf("a password with an end in it: %v", err)
	}
}

func TestReceipts(t *testing.T) {
	const full = "id:7220bb6bd0be98fa sub:001 dlvrd:000 submit date:2611292105 done date:2611292106 stat:UNDELIV err:005 text:stat:DELIVRD id:1"
	for _, tt := range []struct {
		name string
		m    Message
		want Receipt
		ok   bool
	}{
		{"as the standard suggests", Message{Class: esmReceipt, Text: []byte(full)}, Receipt{"7220bb6bd0be98fa", Undeliverable, "005"}, true},
		{"in capitals, in full", Message{Class: esmReceipt, Text: []byte("ID:17 STAT:DELIVERED ERR:000")}, Receipt{"17", Delivered, ""}, true},
		{"spaces behind the colon", Message{Class: esmReceipt, Text: []byte("id: 17 stat: EXPIRED")}, Receipt{"17", Expired, ""}, true},
		{"by optional parameters", Message{Class: esmReceipt, TLVs: []TLV{{TagReceiptedID, []byte("ab\x00")}, {TagMessageState, []byte{8}}, {TagNetworkError, []byte{3, 1, 2}}}}, Receipt{"ab", Rejected, "258"}, true},
		{"both, of which those count", Message{Class: esmReceipt, Text: []byte(full), TLVs: []TLV{{TagReceiptedID, []byte("ab\x00")}, {TagMessageState, []byte{2}}}}, Receipt{"ab", Delivered, "005"}, true},
		{"in a payload", Message{Class: esmReceipt, TLVs: []TLV{{TagMessagePayload, []byte(full)}}}, Receipt{"7220bb6bd0be98fa", Undeliverable, "005"}, true},
		{"a text of somebody", Message{Text: []byte(full)}, Receipt{}, false},
		{"a notice on the way", Message{Class: 0x20, Text: []byte(full)}, Receipt{}, false},
		{"no id", Message{Class: esmReceipt, Text: []byte("stat:DELIVRD")}, Receipt{}, false},
		{"another word that ends so", Message{Class: esmReceipt, Text: []byte("pid:1 xstat:DELIVRD")}, Receipt{}, false},
		{"bytes of no text", Message{Class: esmReceipt, Text: []byte("\xc3\x28id:1\xff stat:DELIVRD\x00 text:\xe4")}, Receipt{}, false},
	} {
		got, ok := tt.m.Receipt()
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: got %+v %t, want %+v %t", tt.name, got, ok, tt.want, tt.ok)
		}
	}
	for s, failed := range map[State]bool{Enroute: false, Delivered: false, Expired: true, Deleted: true, Undeliverable: true, Accepted: false, Unknown: false, Rejected: true, Skipped: true} {
		if s.Failed() != failed {
			t.Errorf("%s: failed %t", s, !failed)
		}
	}
}

func TestIDs(t *testing.T) {
	for _, tt := range []struct{ submit, receipt string }{
		{"17", "17"}, {"0000017", "17"}, {"ABCDEF", "abcdef"}, {"75bcd15", "123456789"}, {"075BCD15", "0123456789"}, {"a-b-c", "A-B-C"}, {"0", "0"},
	} {
		if !slices.Contains(IDs(tt.receipt), CleanID(tt.submit)) {
			t.Errorf("%q of a receipt is not %q: %q", tt.receipt, tt.submit, IDs(tt.receipt))
		}
	}
	if slices.Contains(IDs("124"), CleanID("123")) {
		t.Error("another id fits")
	}
}

func TestAddressesAndParts(t *testing.T) {
	for s, want := range map[string]Address{"": {}, "+15005550006": {1, 1, "15005550006"}, "15005550006": {1, 1, "15005550006"}, "80888": {3, 0, "80888"}, "Corp MFA": {5, 0, "Corp MFA"}} {
		if got := From(s); got != want {
			t.Errorf("sender %q: %+v, want %+v", s, got, want)
		}
	}
	var one, udh, sar Message
	one.Part(ByUDH, 7, 1, 1)
	udh.Text, sar.Text = []byte("x"), []byte("x")
	udh.Part(ByUDH, 7, 2, 3)
	sar.Part(BySAR, 7, 2, 3)
	if one.Class != 0 || udh.Class != esmUDH || !bytes.Equal(udh.Text, []byte{5, 0, 3, 7, 3, 2, 'x'}) || len(sar.TLVs) != 3 || len(sar.Text) != 1 {
		t.Errorf("parts: %+v, %+v, %+v", one, udh, sar)
	}
	one.WithReceipt(2*time.Minute + 5*time.Second)
	if one.Validity != "000000000205000R" || one.Registered != 1 {
		t.Errorf("validity %q", one.Validity)
	}
}

// What Parse takes is made again byte for byte, and what ParseMessage takes comes out of its
// own body as it was.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, standard))
	body, _ := Message{To: To("+491701234567"), Class: esmReceipt, Text: []byte("id:17 stat:UNDELIV err:005 text:x"), TLVs: []TLV{{TagReceiptedID, []byte("17\x00")}, {TagMessageState, []byte{5}}}}.Body()
	f.Add(PDU{Command: DeliverSM, Sequence: 9, Body: body}.Append(nil))
	f.Add(PDU{Command: BindTransceiver.Answer(), Sequence: 1, Body: []byte("smsc\x00\x02\x10\x00\x01\x34")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if again := p.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("made again %x, was %x", again, b)
		}
		_, _ = ParseBindAnswer(p.Body)
		_, _ = ParseSubmitAnswer(p.Body)
		if d, err := ParseData(p.Body); err == nil {
			d.Receipt()
		}
		m, err := ParseMessage(p.Body)
		if err != nil {
			return
		}
		if r, ok := m.Receipt(); ok && (len(r.ID) > len(p.Body) || len(IDs(r.ID)) == 0) {
			t.Fatalf("receipt %+v", r)
		}
		body, err := m.Body()
		if err != nil {
			if len(m.Text) > 254 || len(m.From.Addr) > 20 || len(m.To.Addr) > 20 {
				return
			}
			t.Fatal(err)
		}
		again, err := ParseMessage(body)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("made again %+v (%v), was %+v", again, err, m)
		}
	})
}
