package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"countersign/internal/secret"
)

// request returns an Access-Request header of length n in its field, followed by attrs.
func request(n int, attrs ...byte) []byte {
	b := make([]byte, HeaderLen, HeaderLen+len(attrs))
	b[0], b[1] = byte(AccessRequest), 7
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	return append(b, attrs...)
}

func TestParse(t *testing.T) {
	big := request(4096)
	for len(big) < 4096 {
		big = append(big, byte(ProxyState), 2)
	}
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, ErrShort},
		{"19 bytes", make([]byte, 19), ErrShort},
		{"header only", request(20), nil},
		{"length field below a header", request(19), ErrLength},
		{"length field zero", request(0), ErrLength},
		{"shorter than its length", request(26, 1, 5, 'b', 'o'), ErrShort},
		{"longer than its length is padding", request(25, 1, 5, 'b', 'o', 'b', 0xff, 0), nil},
		{"padding in the middle of an attribute", request(24, 1, 5, 'b', 'o', 'b'), ErrAttribute},
		{"attribute length 0", request(23, 1, 0, 'x'), ErrAttribute},
		{"attribute length 1", request(23, 1, 1, 'x'), ErrAttribute},
		{"attribute length 2", request(22, 1, 2), nil},
		{"attribute of one byte", request(21, 1), ErrAttribute},
		{"attribute past the end", request(24, 1, 5, 'b', 'o'), ErrAttribute},
		{"4096 bytes", big, nil},
		{"length field 4097", append(request(4097), make([]byte, 4077)...), ErrOversized},
		{"length field 65535", request(65535), ErrOversized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse(tt.in)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("Parse = %v, want %v", err, tt.want)
			}
			if err != nil && len(p.Bytes()) != 0 {
				t.Error("Parse returned a packet with its error")
			}
		})
	}
}

func TestZeroPacket(t *testing.T) {
	var p Packet
	if p.Code() != 0 || p.Identifier() != 0 || p.Authenticator() != [16]byte{} {
		t.Error("the zero Packet holds something")
	}
	key := NewKey(secret.FromString("s"))
	if signed, err := key.VerifyRequest(p); signed || err != nil {
		t.Errorf("VerifyRequest = %v, %v", signed, err)
	}
	if key.VerifyAccounting(p) == nil {
		t.Error("the zero Packet is a genuine Accounting-Request")
	}
	if _, err := key.VerifyReply(p, [16]byte{}); err == nil {
		t.Error("the zero Packet is a genuine reply")
	}
}

// hmacOf computes a Message-Authenticator with the standard library alone.
func hmacOf(shared string, raw []byte, at int) []byte {
	c := bytes.Clone(raw)
	clear(c[at : at+16])
	m := hmac.New(md5.New, []byte(shared))
	m.Write(c)
	return m.Sum(nil)
}

func TestVerifyRequest(t *testing.T) {
	const shared = "xyzzy5461"
	name := []byte{1, 5, 'b', 'o', 'b'}
	ma := append([]byte{80, 18}, make([]byte, 16)...)
	packet := func(attributes ...[]byte) []byte {
		raw := request(0, bytes.Join(attributes, nil)...)
		binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)))
		return raw
	}
	sign := func(raw []byte, at int) []byte {
		copy(raw[at:], hmacOf(shared, raw, at))
		return raw
	}
	changed := sign(packet(ma, name), 22)
	changed[len(changed)-1] ^= 1
	tests := []struct {
		name   string
		raw    []byte
		signed bool
		want   error
	}{
		{"none", packet(name), false, nil},
		{"first", sign(packet(ma, name), 22), true, nil},
		{"last", sign(packet(name, ma), 27), true, nil},
		{"in the middle", sign(packet(name, ma, name), 27), true, nil},
		{"packet changed", changed, true, ErrMA},
		{"zeros", packet(ma, name), true, ErrMA},
		{"two, the first right", sign(packet(ma, ma), 22), true, ErrManyMA},
		{"three", sign(packet(ma, ma, ma), 22), true, ErrManyMA},
		{"15 bytes", packet([]byte{80, 17}, make([]byte, 15), name), true, ErrMALength},
		{"17 bytes", packet([]byte{80, 19}, make([]byte, 17)), true, ErrMALength},
		{"empty", packet([]byte{80, 2}, name), true, ErrMALength},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse(tt.raw)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := NewKey(secret.FromString(shared)).VerifyRequest(p)
			if signed != tt.signed || !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("VerifyRequest = %v, %v, want %v, %v", signed, err, tt.signed, tt.want)
			}
			if tt.signed && tt.want == nil {
				if _, err := NewKey(secret.FromString("other")).VerifyRequest(p); !errors.Is(err, ErrMA) {
					t.Errorf("with another secret: %v, want ErrMA", err)
				}
			}
		})
	}
}

func TestReplyBySomebodyElsesCode(t *testing.T) {
	const shared = "xyzzy5461"
	key := NewKey(secret.FromString(shared))
	auth := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	req := NewRequest(nil, AccessRequest, 42, auth)
	hidden, err := key.Hide(nil, []byte("a password longer than sixteen bytes"), auth)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{req.Add(UserName, []byte("alice")), req.Add(UserPassword, hidden)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	rawReq := req.SignRequest(key)
	theirs, err := layeh.Parse(rawReq, []byte(shared))
	if err != nil {
		t.Fatal(err)
	}
	if got := rfc2865.UserPassword_GetString(theirs); got != "a password longer than sixteen bytes" {
		t.Errorf("the library reads the password as %q", got)
	}
	if got, want := rawReq[22:38], hmacOf(shared, rawReq, 22); !bytes.Equal(got, want) {
		t.Errorf("Message-Authenticator of the request = %x, want %x", got, want)
	}

	p, err := Parse(rawReq)
	if err != nil {
		t.Fatal(err)
	}
	w := NewReply(make([]byte, 0, MaxLen), AccessChallenge, p)
	if err := w.AddText(ReplyMessage, "Enter your code"); err != nil {
		t.Fatal(err)
	}
	raw := w.SignReply(key)
	if raw[20] != 80 || raw[21] != 18 {
		t.Fatalf("the first attribute of the reply is %d, want Message-Authenticator", raw[20])
	}
	if !layeh.IsAuthenticResponse(raw, rawReq, []byte(shared)) {
		t.Error("the library refuses the Response Authenticator")
	}
	withRequestAuth := bytes.Clone(raw)
	copy(withRequestAuth[4:], auth[:])
	if got, want := raw[22:38], hmacOf(shared, withRequestAuth, 22); !bytes.Equal(got, want) {
		t.Errorf("Message-Authenticator of the reply = %x, want %x", got, want)
	}
	ours, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if signed, err := key.VerifyReply(ours, auth); !signed || err != nil {
		t.Errorf("VerifyReply = %v, %v", signed, err)
	}
}

func TestAccounting(t *testing.T) {
	const shared = "xyzzy5461"
	key := NewKey(secret.FromString(shared))
	w := NewRequest(nil, AccountingRequest, 9, [16]byte{1: 1})
	if err := w.Add(UserName, []byte("alice")); err != nil {
		t.Fatal(err)
	}
	raw := w.SignRequest(key)
	if !layeh.IsAuthenticRequest(raw, []byte(shared)) {
		t.Error("the library refuses the Request Authenticator")
	}
	p, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.VerifyAccounting(p); err != nil {
		t.Error(err)
	}
	if signed, err := key.VerifyRequest(p); !signed || err != nil {
		t.Errorf("VerifyRequest = %v, %v", signed, err)
	}
	if err := NewKey(secret.FromString("other")).VerifyAccounting(p); !errors.Is(err, ErrAuthenticator) {
		t.Errorf("with another secret: %v, want ErrAuthenticator", err)
	}
	r := NewReply(nil, AccountingResponse, p)
	reply := r.SignReply(key)
	if len(reply) != HeaderLen {
		t.Errorf("the answer has attributes: %x", reply)
	}
	if !layeh.IsAuthenticResponse(reply, raw, []byte(shared)) {
		t.Error("the library refuses the Response Authenticator")
	}
}

func TestWriterBounds(t *testing.T) {
	w := NewRequest(nil, AccessRequest, 1, [16]byte{})
	if err := w.Add(Type(25), make([]byte, 254)); !errors.Is(err, ErrFull) {
		t.Errorf("254 bytes: %v, want ErrFull", err)
	}
	for w.Len()+255 <= MaxLen {
		if err := w.Add(Type(25), make([]byte, 253)); err != nil {
			t.Fatal(err)
		}
	}
	before := w.Len()
	if err := w.Add(Type(25), make([]byte, 253)); !errors.Is(err, ErrFull) {
		t.Errorf("past 4096 bytes: %v, want ErrFull", err)
	}
	if err := w.AddText(ReplyMessage, strings.Repeat("x", 253)); !errors.Is(err, ErrFull) {
		t.Errorf("text past 4096 bytes: %v, want ErrFull", err)
	}
	if w.Len() != before {
		t.Error("a refused attribute changed the packet")
	}
}

func TestAddTextSplitsBetweenCharacters(t *testing.T) {
	for _, text := range []string{
		"", "short", strings.Repeat("x", 253), strings.Repeat("x", 254), strings.Repeat("\u00e4", 300),
		"x" + strings.Repeat("\u20ac", 200), strings.Repeat("\U0001F511", 150), strings.Repeat("\xff", 600), strings.Repeat("\x80", 600),
	} {
		w := NewRequest(nil, AccessRequest, 1, [16]byte{})
		if err := w.AddText(ReplyMessage, text); err != nil {
			t.Fatal(err)
		}
		p, err := Parse(w.SignRequest(NewKey(secret.Text{})))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for typ, v := range p.Attributes() {
			if typ == ReplyMessage {
				got = append(got, string(v))
			}
		}
		if strings.Join(got, "") != text {
			t.Errorf("%.20q: came back as %.40q", text, got)
		}
		for _, part := range got {
			if strings.ToValidUTF8(text, "") == text && strings.ToValidUTF8(part, "") != part {
				t.Errorf("%.20q: split within a character", text)
			}
		}
	}
}

func TestPassword(t *testing.T) {
	key := NewKey(secret.FromString("xyzzy5461"))
	auth := [16]byte{5, 4, 3}
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 127, 128} {
		password := bytes.Repeat([]byte("p"), n)
		hidden, err := key.Hide([]byte("before"), password, auth)
		if err != nil {
			t.Fatal(err)
		}
		hidden = hidden[len("before"):]
		if len(hidden)%16 != 0 || len(hidden) == 0 {
			t.Errorf("%d bytes hidden in %d", n, len(hidden))
		}
		got, err := key.Reveal([]byte("before"), hidden, auth)
		if err != nil || string(got) != "before"+string(password) {
			t.Errorf("%d bytes: Reveal = %q, %v", n, got, err)
		}
	}
	if _, err := key.Hide(nil, make([]byte, 129), auth); !errors.Is(err, ErrPassword) {
		t.Error("129 bytes were hidden")
	}
	if _, err := key.Hide(nil, []byte("a\x00b"), auth); !errors.Is(err, ErrPassword) {
		t.Error("a NUL was hidden")
	}
	nul := plain(key, []byte("a\x00b"), auth)
	for name, hidden := range map[string][]byte{
		"15 bytes": make([]byte, 15), "17 bytes": make([]byte, 17), "144 bytes": make([]byte, 144), "NUL inside": nul,
	} {
		if got, err := key.Reveal([]byte("before"), hidden, auth); !errors.Is(err, ErrPassword) || string(got) != "before" {
			t.Errorf("%s: Reveal = %q, %v, want ErrPassword", name, got, err)
		}
	}
	if got, err := key.Reveal(nil, nil, auth); err != nil || len(got) != 0 {
		t.Errorf("empty: Reveal = %q, %v", got, err)
	}
}

// plain hides up to 16 bytes as they are.
func plain(k *Key, password []byte, auth [16]byte) []byte {
	block := make([]byte, 16)
	copy(block, password)
	sum := md5.Sum(append(bytes.Clone(k.secret.Expose()), auth[:]...))
	for i := range block {
		block[i] ^= sum[i]
	}
	return block
}
