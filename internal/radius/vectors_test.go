package radius

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"countersign/internal/secret"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 2865 section 7 (secret xyzzy5461) and RFC 5997 section 6.
func TestVectors(t *testing.T) {
	key := NewKey(secret.FromString("xyzzy5461"))
	tests := []struct {
		name, request, password, reply string
		signed                         bool
		values                         map[Type]string
	}{
		{
			name: "7.1 user telnet to specified host",
			request: `01 00 00 38 0f 40 3f 94 73 97 80 57 bd 83 d5 cb 98 f4 22 7a 01 06 6e 65 6d 6f 02 12 0d be 70 8d
				93 d4 13 ce 31 96 e4 3f 78 2a 0a ee 04 06 c0 a8 01 10 05 06 00 00 00 03`,
			password: "arctangent",
			reply: `02 00 00 26 86 fe 22 0e 76 24 ba 2a 10 05 f6 bf 9b 55 e0 b2 06 06 00 00 00 01 0f 06 00 00 00 00
				0e 06 c0 a8 01 03`,
			values: map[Type]string{UserName: "nemo", NASIPAddress: "\xc0\xa8\x01\x10"},
		},
		{
			name: "7.3 user with challenge-response card, first leg",
			request: `01 02 00 39 f3 a4 7a 1f 6a 6d 76 71 0b 94 7a b9 30 41 a0 39 01 07 6d 6f 70 73 79 02 12 33 65 75
				73 77 82 89 b5 70 88 5e 15 08 48 25 c5 04 06 c0 a8 01 10 05 06 00 00 00 07`,
			password: "challenge",
			reply: `0b 02 00 4e 36 f3 c8 76 4a e8 c7 11 57 40 3c 0c 71 ff 9c 45 12 30 43 68 61 6c 6c 65 6e 67 65 20
				33 32 37 36 39 34 33 30 2e 20 20 45 6e 74 65 72 20 72 65 73 70 6f 6e 73 65 20 61 74 20 70 72 6f
				6d 70 74 2e 18 0a 33 32 37 36 39 34 33 30`,
			values: map[Type]string{UserName: "mopsy"},
		},
		{
			name: "7.3 second leg",
			request: `01 03 00 43 b1 22 55 6d 42 8a 13 d0 d6 25 38 07 c4 57 ec f0 01 07 6d 6f 70 73 79 02 12 69 2c 1f
				20 5f c0 81 b9 19 b9 51 95 f5 61 a5 81 04 06 c0 a8 01 10 05 06 00 00 00 07 18 0a 33 32 37 36 39
				34 33 30`,
			password: "99101462",
			reply:    `03 03 00 14 a4 2f 4f ca 45 91 6c 4e 09 c8 34 0f 9e 74 6a a0`,
			values:   map[Type]string{State: "32769430"},
		},
		{
			name: "RFC 5997 6.1 status of the authentication port",
			request: `0c da 00 26 8a 54 f4 68 6f b3 94 c5 28 66 e3 02 18 5d 06 23 50 12 5a 66 5e 2e 1e 84 11 f3 e2 43
				82 20 97 c8 4f a3`,
			reply:  `02 da 00 14 ef 0d 55 2a 4b f2 d6 93 ec 2b 6f e8 b5 41 1d 66`,
			signed: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := unhex(t, tt.request)
			p, err := Parse(append(raw[:len(raw):len(raw)], "padding"...))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.Bytes(), raw) {
				t.Errorf("Bytes() = %x, want %x", p.Bytes(), raw)
			}
			if signed, err := key.VerifyRequest(p); signed != tt.signed || err != nil {
				t.Errorf("VerifyRequest = %v, %v, want %v", signed, err, tt.signed)
			}
			for typ, want := range tt.values {
				if got, ok := p.Lookup(typ); !ok || string(got) != want {
					t.Errorf("attribute %d = %q, want %q", typ, got, want)
				}
			}
			if hidden, ok := p.Lookup(UserPassword); ok {
				got, err := key.Reveal(nil, hidden, p.Authenticator())
				if string(got) != tt.password || err != nil {
					t.Errorf("Reveal = %q, %v, want %q", got, err, tt.password)
				}
				again, err := key.Hide(nil, []byte(tt.password), p.Authenticator())
				if !bytes.Equal(again, hidden) || err != nil {
					t.Errorf("Hide = %x, %v, want %x", again, err, hidden)
				}
			}
			reply, err := Parse(unhex(t, tt.reply))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := key.VerifyReply(reply, p.Authenticator()); err != nil {
				t.Errorf("VerifyReply: %v", err)
			}
			wrong := p.Authenticator()
			wrong[3] ^= 1
			if _, err := key.VerifyReply(reply, wrong); err != ErrAuthenticator {
				t.Errorf("VerifyReply with another request = %v, want ErrAuthenticator", err)
			}
		})
	}
}
