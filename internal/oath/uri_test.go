package oath

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const b32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // seed(20)

func TestKeyURIEncode(t *testing.T) {
	totp := mustTOTP(t, SHA1, 6, 30)
	hotp, err := NewHOTP(seed(32), SHA256, 8)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		uri  KeyURI
		want string // empty: refused
	}{
		{"totp", KeyURI{Issuer: "Example Corp", Account: "alice@corp.example", Key: totp},
			"otpauth://totp/Example%20Corp:alice%40corp.example?secret=" + b32 + "&issuer=Example%20Corp&algorithm=SHA1&digits=6&period=30"},
		{"hotp", KeyURI{Account: `CORP\alice`, Key: hotp, Counter: 7},
			"otpauth://hotp/CORP%5Calice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA&algorithm=SHA256&digits=8&counter=7"},
		{"special characters", KeyURI{Issuer: "A&B+C=?#%", Account: "ü/x", Key: totp},
			"otpauth://totp/A%26B%2BC%3D%3F%23%25:%C3%BC%2Fx?secret=" + b32 + "&issuer=A%26B%2BC%3D%3F%23%25&algorithm=SHA1&digits=6&period=30"},
		{"no account", KeyURI{Issuer: "x", Key: totp}, ""},
		{"no key", KeyURI{Issuer: "x", Account: "alice"}, ""},
		{"colon in issuer", KeyURI{Issuer: "a:b", Account: "alice", Key: totp}, ""},
		{"colon in account", KeyURI{Account: "a:b", Key: totp}, ""},
		{"space around account", KeyURI{Account: " alice", Key: totp}, ""},
		{"NUL in account", KeyURI{Account: "al\x00ice", Key: totp}, ""},
		{"not UTF-8", KeyURI{Account: "al\xffice", Key: totp}, ""},
		{"account too long", KeyURI{Account: strings.Repeat("a", 254), Key: totp}, ""},
		{"counter in totp", KeyURI{Account: "alice", Key: totp, Counter: 1}, ""},
		{"counter too large", KeyURI{Account: "alice", Key: hotp, Counter: 1 << 63}, ""},
	}
	for _, tt := range tests {
		got, err := tt.uri.Encode()
		if string(got.Expose()) != tt.want || (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got.Expose(), err, tt.want)
		}
	}
}

func TestParseKeyURI(t *testing.T) {
	tests := []struct {
		name, uri       string
		issuer, account string
		kind            string // period/digits/algorithm/counter
	}{
		{name: "the format's example", uri: "otpauth://totp/Example:alice@google.com?secret=" + b32 + "&issuer=Example", issuer: "Example", account: "alice@google.com"},
		{name: "bare", uri: "otpauth://totp/alice?secret=" + b32, account: "alice"},
		{name: "issuer only as parameter", uri: "otpauth://totp/alice?issuer=A%20B&secret=" + b32, issuer: "A B", account: "alice"},
		{name: "issuer only in label", uri: "otpauth://totp/A%20B%3A%20alice?secret=" + b32, issuer: "A B", account: "alice"},
		{name: "plus as space", uri: "otpauth://totp/alice?issuer=A+B&secret=" + b32, issuer: "A B", account: "alice"},
		{name: "upper case", uri: "OTPAUTH://TOTP/alice?secret=" + b32, account: "alice"},
		{name: "picture", uri: "otpauth://totp/alice?secret=" + b32 + "&image=https%3A%2F%2Fx.example%2Fa.png", account: "alice"},
		{name: "secret in groups", uri: "otpauth://totp/alice?secret=gezd+gnbv+gy3t+qojq+gezd+gnbv+gy3t+qojq", account: "alice"},
	}
	for _, tt := range tests {
		u, err := ParseKeyURI(secret.FromString(tt.uri))
		if err != nil || u.Issuer != tt.issuer || u.Account != tt.account || !u.Key.Secret().Equal(seed(20)) ||
			u.Key.Algorithm() != SHA1 || u.Key.Digits() != 6 || u.Key.Period() != 30 {
			t.Errorf("%s: got %q, %q, %s/%d/%d, %v", tt.name, u.Issuer, u.Account, u.Key.Algorithm(), u.Key.Digits(), u.Key.Period(), err)
		}
	}
	u, err := ParseKeyURI(secret.FromString("otpauth://hotp/bob?secret=" + b32 + "&algorithm=sha512&digits=8&counter=42"))
	if err != nil || u.Key.Period() != 0 || u.Key.Digits() != 8 || u.Key.Algorithm() != SHA512 || u.Counter != 42 {
		t.Errorf("hotp: got %d/%d/%s/%d, %v", u.Key.Period(), u.Key.Digits(), u.Key.Algorithm(), u.Counter, err)
	}
}

func TestParseKeyURIRefuses(t *testing.T) {
	const ok = "otpauth://totp/alice?secret=" + b32
	tests := []struct{ name, uri string }{
		{"empty", ""},
		{"other scheme", "https://totp/alice?secret=" + b32},
		{"no type", "otpauth://alice?secret=" + b32},
		{"unknown type", "otpauth://steam/alice?secret=" + b32},
		{"no label", "otpauth://totp/?secret=" + b32},
		{"only an issuer", "otpauth://totp/Corp:?secret=" + b32},
		{"no query", "otpauth://totp/alice"},
		{"no secret", "otpauth://totp/alice?digits=6"},
		{"empty secret", "otpauth://totp/alice?secret="},
		{"secret not Base32", "otpauth://totp/alice?secret=GEZDGNBVGY3TQOJ0"},
		{"secret twice", ok + "&secret=" + b32},
		{"unknown parameter", ok + "&algoritm=SHA256"},
		{"empty parameter", ok + "&"},
		{"unknown algorithm", ok + "&algorithm=MD5"},
		{"empty algorithm", ok + "&algorithm="},
		{"5 digits", ok + "&digits=5"},
		{"9 digits", ok + "&digits=9"},
		{"digits no number", ok + "&digits=six"},
		{"negative digits", ok + "&digits=-6"},
		{"period 0", ok + "&period=0"},
		{"period over an hour", ok + "&period=3601"},
		{"period overflows", ok + "&period=18446744073709551646"},
		{"counter in totp", ok + "&counter=0"},
		{"period in hotp", "otpauth://hotp/alice?counter=0&period=30&secret=" + b32},
		{"hotp without counter", "otpauth://hotp/alice?secret=" + b32},
		{"counter too large", "otpauth://hotp/alice?counter=9223372036854775808&secret=" + b32},
		{"two issuers", "otpauth://totp/A:alice?issuer=B&secret=" + b32},
		{"two colons", "otpauth://totp/A:b:alice?secret=" + b32},
		{"issuer with colon", "otpauth://totp/alice?issuer=A%3AB&secret=" + b32},
		{"broken escape in label", "otpauth://totp/al%zzice?secret=" + b32},
		{"broken escape in secret", "otpauth://totp/alice?secret=" + b32 + "%z"},
		{"line break in account", "otpauth://totp/al%0Aice?secret=" + b32},
		{"account not UTF-8", "otpauth://totp/al%ffice?secret=" + b32},
		{"fragment", ok + "#x"},
		{"too long", ok + "&image=" + strings.Repeat("a", MaxURI)},
	}
	for _, tt := range tests {
		u, err := ParseKeyURI(secret.FromString(tt.uri))
		if !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: got %q, %v, want ErrInvalid", tt.name, u.Account, err)
		}
		if err != nil && strings.Contains(err.Error(), b32[:16]) {
			t.Errorf("%s: the error holds the secret: %v", tt.name, err)
		}
	}
}

func TestKeyURIRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`([^\pC\pZ:]([^\pC:]{0,60}[^\pC\pZ:])?)?`)
		u := KeyURI{Issuer: name.Draw(t, "issuer"), Account: "a" + name.Draw(t, "account")}
		s := secret.New(rapid.SliceOfN(rapid.Byte(), MinSecret, MaxSecret).Draw(t, "secret"))
		a := rapid.SampledFrom([]Algorithm{SHA1, SHA256, SHA512}).Draw(t, "algorithm")
		digits := rapid.IntRange(MinDigits, MaxDigits).Draw(t, "digits")
		var err error
		if rapid.Bool().Draw(t, "hotp") {
			u.Key, err = NewHOTP(s, a, digits)
			u.Counter = rapid.Uint64Range(0, 1<<63-1).Draw(t, "counter")
		} else {
			u.Key, err = NewTOTP(s, a, digits, rapid.IntRange(MinPeriod, MaxPeriod).Draw(t, "period"))
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := u.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseKeyURI(text)
		if err != nil || !same(got, u) {
			t.Fatalf("%s: %v", text.Expose(), err)
		}
	})
}

func same(a, b KeyURI) bool {
	return a.Issuer == b.Issuer && a.Account == b.Account && a.Counter == b.Counter && a.Key.secret.Equal(b.Key.secret) &&
		a.Key.algorithm == b.Key.algorithm && a.Key.digits == b.Key.digits && a.Key.period == b.Key.period
}

func FuzzParseKeyURI(f *testing.F) {
	for _, s := range []string{
		"otpauth://totp/Example:alice@google.com?secret=" + b32 + "&issuer=Example",
		"otpauth://hotp/bob?secret=" + b32 + "&algorithm=sha512&digits=8&counter=42",
		"otpauth://totp/%20a%3A%20b?secret=gezd+gnbv+gy3t+qojq&image=x&period=60",
		"otpauth://totp/?secret=#", "otpauth://", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseKeyURI(secret.FromString(s))
		if err != nil {
			if !errors.Is(err, mfa.ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		text, err := u.Encode()
		if err != nil {
			t.Fatalf("what was parsed cannot be encoded: %v", err)
		}
		if again, err := ParseKeyURI(text); err != nil || !same(again, u) {
			t.Fatalf("round trip by %s: %v", text.Expose(), err)
		}
	})
}
