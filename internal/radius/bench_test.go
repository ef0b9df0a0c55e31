package radius

import (
	"testing"

	"countersign/internal/secret"
)

// One Access-Request read, proven and answered: what the codec costs a sign-in.
func BenchmarkExchange(b *testing.B) {
	key := NewKey(secret.FromString("xyzzy5461"))
	auth := [16]byte{1, 2, 3}
	w := NewRequest(nil, AccessRequest, 1, auth)
	hidden, _ := key.Hide(nil, []byte("wonder123456"), auth)
	_ = w.Add(UserName, []byte("alice"))
	_ = w.Add(UserPassword, hidden)
	raw := w.SignRequest(key)
	buf, typed := make([]byte, 0, MaxLen), make([]byte, 0, MaxPassword)
	b.ReportAllocs()
	for b.Loop() {
		p, err := Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if signed, err := key.VerifyRequest(p); !signed || err != nil {
			b.Fatal(err)
		}
		password, _ := p.Lookup(UserPassword)
		if _, err := key.Reveal(typed, password, p.Authenticator()); err != nil {
			b.Fatal(err)
		}
		reply := NewReply(buf, AccessAccept, p)
		_ = reply.AddText(ReplyMessage, "welcome")
		reply.SignReply(key)
	}
}

func BenchmarkParse(b *testing.B) {
	raw := request(25, 1, 5, 'b', 'o', 'b')
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode("Cisco-AVPair", "shell:priv-lvl=15"); err != nil {
			b.Fatal(err)
		}
	}
}
