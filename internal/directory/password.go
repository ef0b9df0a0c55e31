package directory

import (
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// ours are the parameters of new hashes: 25 to 50 ms and 19 MiB on a server core, the
// first choice of OWASP's list. A hash with others is replaced after the next success.
var ours = params{memory: 19 * 1024, time: 2, threads: 1}

const (
	saltLen = 16
	sumLen  = 32
)

// HashPassword returns the PHC string to be kept as Secret of a credential whose Method
// is mfa.MethodPassword. The error is mfa.EmptyPassword, mfa.PasswordTooLong or that of
// random. It takes 19 MiB and a core for 25 to 50 ms and bounds nothing: a server calls
// (*Checker).Hash.
func HashPassword(random io.Reader, password secret.Text) (secret.Text, error) {
	if err := checkLength(password); err != nil {
		return secret.Text{}, err
	}
	h := argonHash{params: ours, salt: make([]byte, saltLen)}
	if _, err := io.ReadFull(random, h.salt); err != nil {
		return secret.Text{}, fmt.Errorf("salt of a password hash: %w", err)
	}
	h.sum = h.derive(normalise(password.Expose()), sumLen)
	return secret.FromString(h.String()), nil
}

// ValidateHash says whether a hash made elsewhere can be kept as a local password: an
// argon2id PHC string within bounds, bcrypt of cost 4 to 14, or {SSHA}. The error wraps
// mfa.ErrInvalid, says what is wrong and never holds the hash.
func ValidateHash(hash secret.Text) error {
	if _, err := parseHash(hash.Expose()); err != nil {
		return fmt.Errorf("password hash: %w: %w", mfa.ErrInvalid, err)
	}
	return nil
}

func checkLength(password secret.Text) error {
	switch {
	case password.Empty():
		return mfa.EmptyPassword
	case password.Len() > MaxPassword:
		return mfa.PasswordTooLong
	}
	return nil
}

// normalise returns the form of a password that is hashed (RFC 8265 section 4.2), or
// password itself if it has none.
func normalise(password []byte) []byte {
	if !utf8.Valid(password) {
		return password
	}
	n, err := precis.OpaqueString.Bytes(password)
	if err != nil || len(n) == 0 {
		return password
	}
	return n
}

func (p params) key(password, salt []byte, n int) []byte {
	return argon2.IDKey(password, salt, p.time, p.memory, p.threads, uint32(n)) //nolint:gosec // n is 16 to 64
}
