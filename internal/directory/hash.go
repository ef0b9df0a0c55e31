package directory

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // {SSHA} is what old LDAP servers keep; replaced after the first success
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Bounds of a hash made elsewhere: at most about a second and 128 MiB a check.
const (
	maxMemory  = 128 * 1024 // KiB
	maxTime    = 10
	maxWork    = 512 * 1024 // KiB times passes
	maxThreads = 8
	minCost    = 4 // bcrypt
	maxCost    = 14
	maxHash    = 512 // bytes of text
	bcryptSize = 60
	bcryptUsed = 72 // bytes of a password that bcrypt looks at
)

// hash is a password's hash.
type hash interface {
	// verify reports whether the hash was made from password.
	verify(password []byte) bool
	// current reports whether it is of the kind and cost of new ones.
	current() bool
	// covers reports whether a match proves every byte of password.
	covers(password []byte) bool
	// cheap reports whether verify takes so little time that it tells itself apart.
	cheap() bool
}

// parseHash reads a hash. The error does not hold it.
func parseHash(b []byte) (hash, error) {
	switch {
	case len(b) == 0:
		return nil, errors.New("empty")
	case len(b) > maxHash:
		return nil, fmt.Errorf("%d bytes, longer than %d", len(b), maxHash)
	case bytes.HasPrefix(b, []byte("$argon2id$")):
		return parseArgon(string(b))
	case bytes.HasPrefix(b, []byte("$argon2")):
		return nil, errors.New("argon2i and argon2d are not taken, only argon2id")
	case bytes.HasPrefix(b, []byte("$2")):
		return parseBcrypt(b)
	case len(b) > 6 && strings.EqualFold(string(b[:6]), "{SSHA}"):
		return parseSSHA(b[6:])
	}
	return nil, errors.New("unknown format: want argon2id ($argon2id$v=19$m=...), bcrypt ($2a$, $2b$, $2y$) or {SSHA}")
}

type params struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
}

type argonHash struct {
	params
	salt, sum []byte
}

var phcEncoding = base64.RawStdEncoding.Strict()

// parseArgon reads a PHC string, $argon2id$v=19$m=M,t=T,p=P$SALT$SUM. Only the one
// spelling that String writes is taken.
func parseArgon(s string) (argonHash, error) {
	part := strings.Split(s, "$")
	if len(part) != 6 {
		return argonHash{}, fmt.Errorf("argon2id: %d parts between $, want 5", len(part)-1)
	}
	if part[2] != "v=19" {
		return argonHash{}, errors.New("argon2id: only version 19 (v=19) is taken")
	}
	var h argonHash
	costs := strings.Split(part[3], ",")
	if len(costs) != 3 {
		return argonHash{}, errors.New("argon2id: want the parameters m, t and p in this order, and no others")
	}
	var n [3]uint32
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(costs[i], name)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || strconv.FormatUint(v, 10) != digits {
			return argonHash{}, fmt.Errorf("argon2id: parameter %s is not a plain number", name[:1])
		}
		n[i] = uint32(v)
	}
	if n[2] < 1 || n[2] > maxThreads {
		return argonHash{}, fmt.Errorf("argon2id: p=%d, want 1 to %d", n[2], maxThreads)
	}
	if n[0] < 8*n[2] || n[0] > maxMemory {
		return argonHash{}, fmt.Errorf("argon2id: m=%d KiB, want 8 times p to %d", n[0], maxMemory)
	}
	if n[1] < 1 || n[1] > maxTime || uint64(n[0])*uint64(n[1]) > maxWork {
		return argonHash{}, fmt.Errorf("argon2id: t=%d, want 1 to %d and m times t at most %d", n[1], maxTime, maxWork)
	}
	h.params = params{memory: n[0], time: n[1], threads: uint8(n[2])}
	var err error
	if h.salt, err = phcField("salt", part[4], 8); err != nil {
		return argonHash{}, err
	}
	if h.sum, err = phcField("hash", part[5], 16); err != nil {
		return argonHash{}, err
	}
	return h, nil
}

func phcField(name, s string, least int) ([]byte, error) {
	b, err := phcEncoding.DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") { // the decoder skips line ends
		return nil, fmt.Errorf("argon2id: %s is not base64 without padding", name)
	}
	if len(b) < least || len(b) > 64 {
		return nil, fmt.Errorf("argon2id: %s of %d bytes, want %d to 64", name, len(b), least)
	}
	return b, nil
}

// String returns the PHC string.
func (h argonHash) String() string {
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", h.memory, h.time, h.threads,
		phcEncoding.EncodeToString(h.salt), phcEncoding.EncodeToString(h.sum))
}

func (h argonHash) derive(password []byte, n int) []byte { return h.key(password, h.salt, n) }

func (h argonHash) verify(password []byte) bool {
	return subtle.ConstantTimeCompare(h.derive(password, len(h.sum)), h.sum) == 1
}

func (h argonHash) current() bool {
	return h.params == ours && len(h.salt) >= saltLen && len(h.sum) >= sumLen
}
func (argonHash) covers([]byte) bool { return true }
func (argonHash) cheap() bool        { return false }

type bcryptHash []byte

func parseBcrypt(b []byte) (bcryptHash, error) {
	if len(b) != bcryptSize || b[3] != '$' || b[6] != '$' || !strings.ContainsRune("aby", rune(b[2])) {
		return nil, fmt.Errorf("bcrypt: want $2a$, $2b$ or $2y$, two digits of cost and 53 characters")
	}
	cost, err := strconv.ParseUint(string(b[4:6]), 10, 8)
	if err != nil || cost < minCost || cost > maxCost {
		return nil, fmt.Errorf("bcrypt: cost %q, want %d to %d", b[4:6], minCost, maxCost)
	}
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if strings.Trim(string(b[7:]), alphabet) != "" {
		return nil, errors.New("bcrypt: a character that bcrypt's base64 does not have")
	}
	return bcryptHash(bytes.Clone(b)), nil
}

// verify refuses a NUL: bcrypt repeats its key with a NUL in between, so that a password
// with one can equal another without.
func (h bcryptHash) verify(password []byte) bool {
	return bcrypt.CompareHashAndPassword(h, password) == nil && bytes.IndexByte(password, 0) < 0
}
func (bcryptHash) current() bool        { return false }
func (bcryptHash) covers(p []byte) bool { return len(p) <= bcryptUsed }
func (bcryptHash) cheap() bool          { return false }

type sshaHash struct{ sum, salt []byte }

func parseSSHA(b []byte) (sshaHash, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(b))
	if err != nil || bytes.ContainsAny(b, "\r\n") {
		return sshaHash{}, errors.New("{SSHA}: not base64")
	}
	if n := len(raw) - sha1.Size; n < 4 || n > 64 {
		return sshaHash{}, fmt.Errorf("{SSHA}: salt of %d bytes, want 4 to 64", n)
	}
	return sshaHash{sum: raw[:sha1.Size], salt: raw[sha1.Size:]}, nil
}

func (h sshaHash) verify(password []byte) bool {
	d := sha1.New() //nolint:gosec // as above
	d.Write(password)
	d.Write(h.salt)
	return subtle.ConstantTimeCompare(d.Sum(nil), h.sum) == 1
}
func (sshaHash) current() bool      { return false }
func (sshaHash) covers([]byte) bool { return true }
func (sshaHash) cheap() bool        { return true }
