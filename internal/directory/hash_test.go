package directory

import (
	"crypto/rand"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

// Hashes made by others: the argon2 reference implementation's own test, and the vectors
// of golang.org/x/crypto/bcrypt.
const (
	argonPassword = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc" // "password"
	bcryptAllmine = "$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"                           // "allmine"
)

func TestHashesOfOthersVerify(t *testing.T) {
	tests := []struct{ name, hash, password string }{
		{"argon2id", argonPassword, "password"},
		{"bcrypt 2a", bcryptAllmine, "allmine"},
		{"bcrypt 2b", "$2b" + bcryptAllmine[3:], "allmine"},
		{"bcrypt 2y", "$2y" + bcryptAllmine[3:], "allmine"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := mustParse(t, tt.hash)
			if !h.verify([]byte(tt.password)) {
				t.Errorf("verify(%q) = false, want true", tt.password)
			}
			if h.verify([]byte(tt.password + "x")) {
				t.Errorf("verify(%q) = true, want false", tt.password+"x")
			}
			if h.current() {
				t.Error("current() = true, want false")
			}
		})
	}
}

func TestSSHAOfOpenLDAPVerifies(t *testing.T) {
	slappasswd := mfatest.Need(t, "slappasswd")[0]
	out, err := exec.CommandContext(t.Context(), slappasswd, "-h", "{SSHA}", "-s", "pass wörd").Output()
	if err != nil {
		t.Fatal(err)
	}
	h := mustParse(t, strings.TrimSpace(string(out)))
	if !h.verify([]byte("pass wörd")) || h.verify([]byte("pass word")) {
		t.Error("a hash of slappasswd: want its password to match and another not to")
	}
}

func mustParse(t *testing.T, s string) hash {
	t.Helper()
	h, err := parseHash([]byte(s))
	if err != nil {
		t.Fatalf("parseHash: %v", err)
	}
	return h
}

func TestValidateHash(t *testing.T) {
	const tail = "$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	tests := []struct {
		name, hash string
		want       string // part of the error; empty: good
	}{
		{"argon2id", argonPassword, ""},
		{"most memory", "$argon2id$v=19$m=131072,t=4,p=8" + tail, ""},
		{"empty", "", "empty"},
		{"words", "correct horse", "unknown format"},
		{"MD5", "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "unknown format"},
		{"oversized", "$argon2id$" + strings.Repeat("a", 600), "longer than"},
		{"argon2i", strings.Replace(argonPassword, "argon2id", "argon2i", 1), "only argon2id"},
		{"4 GiB", "$argon2id$v=19$m=4194304,t=1,p=1" + tail, "m=4194304"},
		{"over uint32", "$argon2id$v=19$m=4294967296,t=1,p=1" + tail, "parameter m"},
		{"a million passes", "$argon2id$v=19$m=1024,t=1000000,p=1" + tail, "t=1000000"},
		{"much memory, many passes", "$argon2id$v=19$m=131072,t=5,p=1" + tail, "m times t"},
		{"no pass", "$argon2id$v=19$m=1024,t=0,p=1" + tail, "t=0"},
		{"no thread", "$argon2id$v=19$m=1024,t=1,p=0" + tail, "p=0"},
		{"255 threads", "$argon2id$v=19$m=65536,t=1,p=255" + tail, "p=255"},
		{"less memory than threads need", "$argon2id$v=19$m=15,t=1,p=2" + tail, "m=15"},
		{"leading zero", "$argon2id$v=19$m=01024,t=1,p=1" + tail, "parameter m"},
		{"sign", "$argon2id$v=19$m=+1024,t=1,p=1" + tail, "parameter m"},
		{"other order", "$argon2id$v=19$t=1,m=1024,p=1" + tail, "parameter m"},
		{"keyid", "$argon2id$v=19$m=1024,t=1,p=1,keyid=AA" + tail, "no others"},
		{"version 16", strings.Replace(argonPassword, "v=19", "v=16", 1), "version 19"},
		{"no version", "$argon2id$m=1024,t=1,p=1" + tail, "parts"},
		{"short salt", "$argon2id$v=19$m=1024,t=1,p=1$c29t$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "salt of 3"},
		{"no sum", "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$", "hash of 0"},
		{"padded", argonPassword + "=", "not base64"},
		{"line end", argonPassword + "\n", "not base64"},
		{"bcrypt", bcryptAllmine, ""},
		{"bcrypt 2x, the one with the bug", "$2x" + bcryptAllmine[3:], "bcrypt: want"},
		{"bcrypt cost 31", "$2a$31" + bcryptAllmine[6:], "cost"},
		{"bcrypt cost 03", "$2a$03" + bcryptAllmine[6:], "cost"},
		{"bcrypt cut off", bcryptAllmine[:59], "bcrypt: want"},
		{"bcrypt with a space", bcryptAllmine[:59] + " ", "base64"},
		{"SSHA", "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9gAAAAA", ""},
		{"ssha", "{ssha}W6ph5Mm5Pz8GgiULbPgzG37mj9gAAAAA", ""},
		{"SHA without salt", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "unknown format"},
		{"SSHA without salt", "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "salt of 0"},
		{"SSHA, not base64", "{SSHA}W6ph*", "not base64"},
		{"SSHA with a long salt", "{SSHA}" + strings.Repeat("AAAA", 40), "salt of 100"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := ValidateHash(secret.FromString(tt.hash))
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
				return
			}
			if !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want mfa.ErrInvalid with %q", err, tt.want)
			}
			if err != nil && len(tt.hash) > 20 && strings.Contains(err.Error(), tt.hash[len(tt.hash)-12:]) {
				t.Errorf("error holds the hash: %v", err)
			}
		})
	}
}

func TestHashPassword(t *testing.T) {
	a, err := HashPassword(rand.Reader, secret.FromString("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := HashPassword(rand.Reader, secret.FromString("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Equal(b) {
		t.Error("two hashes of one password are equal: no salt")
	}
	h := mustParse(t, string(a.Expose()))
	if !h.current() || !h.verify([]byte("hunter2")) || h.verify([]byte("hunter3")) {
		t.Error("want a current hash that only hunter2 matches")
	}
	for want, password := range map[mfa.Reason]string{mfa.EmptyPassword: "", mfa.PasswordTooLong: strings.Repeat("x", MaxPassword+1)} {
		if _, err := HashPassword(rand.Reader, secret.FromString(password)); !errors.Is(err, want) {
			t.Errorf("password of %d bytes: got %v, want %v", len(password), err, want)
		}
	}
}

// bcrypt sees 72 bytes, and repeats the password with a NUL in between.
func TestBcryptsBlindSpots(t *testing.T) {
	h := mustParse(t, bcryptAllmine)
	if h.verify([]byte("allmine\x00allmine")) {
		t.Error("a password with NUL matches one without")
	}
	if h.covers([]byte(strings.Repeat("x", 73))) || !h.covers([]byte(strings.Repeat("x", 72))) {
		t.Error("covers: want 72 bytes and no more")
	}
}

func FuzzParseHash(f *testing.F) {
	for _, s := range []string{argonPassword, bcryptAllmine, "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9gAAAAA", "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5Q", "$2", "{SSHA}", "$argon2id$$$$$"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHash(b)
		if err != nil {
			return
		}
		switch h := h.(type) {
		case argonHash:
			if h.String() != string(b) {
				t.Errorf("parsed %q, writes %q", b, h.String())
			}
			if h.memory > maxMemory || h.time > maxTime || h.threads > maxThreads {
				t.Errorf("%q: costs out of bounds: %+v", b, h.params)
			}
		case bcryptHash:
			if string(h) != string(b) {
				t.Errorf("parsed %q, keeps %q", b, h)
			}
		case sshaHash:
			h.verify([]byte("x"))
		}
	})
}

func BenchmarkHash(b *testing.B) {
	h, err := HashPassword(rand.Reader, secret.FromString("hunter2"))
	if err != nil {
		b.Fatal(err)
	}
	p, err := parseHash(h.Expose())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.verify([]byte("hunter2"))
	}
}
