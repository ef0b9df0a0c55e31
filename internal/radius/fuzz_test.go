package radius

import (
	"bytes"
	"errors"
	"testing"

	"countersign/internal/secret"
)

// What Parse takes, a Writer makes again from its attributes, byte for byte.
func FuzzParse(f *testing.F) {
	key := NewKey(secret.FromString("xyzzy5461"))
	w := NewRequest(nil, AccessRequest, 1, [16]byte{1})
	_ = w.Add(UserName, []byte("alice"))
	f.Add(bytes.Clone(w.SignRequest(key)))
	f.Add(request(20))
	f.Add(request(22, 80, 2))
	f.Add(request(22, 1, 0))
	f.Add(append(request(38, 26, 18, 0, 0, 1, 55, 1, 12), make([]byte, 10)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again := Writer{auth: p.Authenticator()}
		again.begin(nil, p.Code(), p.Identifier())
		for typ, v := range p.Attributes() {
			if err := again.Add(typ, v); err != nil {
				t.Fatal(err)
			}
			for range VendorTypes(v) {
			}
		}
		h := key.seal(&again)
		key.work.Put(h)
		if !bytes.Equal(again.buf, p.Bytes()) {
			t.Fatalf("made again: %x, was %x", again.buf, p.Bytes())
		}
		_, _ = key.VerifyRequest(p)
		_ = key.VerifyAccounting(p)
		_, _ = key.VerifyReply(p, [16]byte{})
	})
}

// What Hide hides, Reveal gives back; what Reveal reveals, Hide hides again to the same
// bytes, but for more padding than is needed.
func FuzzPassword(f *testing.F) {
	f.Add([]byte("secret"), []byte("password"), []byte("0123456789abcdef"))
	f.Add([]byte(""), []byte(""), []byte(""))
	f.Add([]byte("s"), bytes.Repeat([]byte("x"), 128), make([]byte, 16))
	f.Fuzz(func(t *testing.T, shared, b, a []byte) {
		key := NewKey(secret.New(shared))
		var auth [16]byte
		copy(auth[:], a)
		if hidden, err := key.Hide(nil, b, auth); err == nil {
			got, err := key.Reveal(nil, hidden, auth)
			if err != nil || !bytes.Equal(got, b) {
				t.Fatalf("hidden and revealed: %q, %v, want %q", got, err, b)
			}
		} else if len(b) <= MaxPassword && bytes.IndexByte(b, 0) < 0 {
			t.Fatalf("%q was refused: %v", b, err)
		}
		password, err := key.Reveal(nil, b, auth)
		if err != nil {
			if !errors.Is(err, ErrPassword) || len(password) != 0 {
				t.Fatalf("Reveal = %q, %v", password, err)
			}
			return
		}
		hidden, err := key.Hide(nil, password, auth)
		if err != nil || len(b) > 0 && !bytes.HasPrefix(b, hidden[:len(hidden)-16]) {
			t.Fatalf("revealed and hidden: %x, %v, was %x", hidden, err, b)
		}
	})
}

// What Encode makes fits into a packet and comes out of it as it was.
func FuzzEncode(f *testing.F) {
	f.Add("Filter-Id", "staff")
	f.Add("Tunnel-Private-Group-Id:3", "42")
	f.Add("Vendor-Specific:9:1", "0x00")
	f.Add("Framed-IPv6-Prefix", "2001:db8::/33")
	f.Add("Service-Type", "Login-User")
	f.Fuzz(func(t *testing.T, name, value string) {
		a, err := Encode(name, value)
		if err != nil {
			return
		}
		w := NewRequest(nil, AccessRequest, 1, [16]byte{})
		if err := w.Add(a.Type, a.Value); err != nil {
			t.Fatal(err)
		}
		p, err := Parse(w.SignRequest(NewKey(secret.Text{})))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.Lookup(a.Type); !ok || !bytes.Equal(got, a.Value) {
			t.Fatalf("%q = %q came out as %x, want %x", name, value, got, a.Value)
		}
		if len(a.Value) == 0 || a.Type == MessageAuthenticator || a.Type == State || a.Type == ProxyState {
			t.Fatalf("%q = %q gave type %d, value %x", name, value, a.Type, a.Value)
		}
	})
}
