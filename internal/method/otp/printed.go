package otp

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Printed codes are recovery codes and passes: made by us, random, kept as digests.
//
// The digest is HMAC-SHA-256 under a random salt and the credential's id, not argon2id.
// A slow hash protects secrets that people choose; a recovery code has 50 random bits, a
// pass 40 and minutes to live, and both lie sealed under the group's key besides. A slow
// hash would cost a denial of service on the request path: ten codes are ten digests.
//
// A Secret is lines of lower-case hexadecimal: the salt (16 bytes), then one digest
// (the first 16 bytes) for each code. The place of a digest is the number of its bit in
// mfa.Floor.Spent.

// alphabet is Crockford's Base32: no i, l, o and u, which are read as 1, 1, 0 and
// refused. 5 bits a character.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

const (
	group         = 64 // codes in one credential: bits of mfa.Floor.Spent
	saltSize      = 16
	digestSize    = 16
	recoveryChars = 10 // 50 bits
	tapChars      = 8  // 40 bits

	recoveryLength = recoveryChars + 1 // with the dash in the middle
	tapLength      = tapChars + 1
)

// generate makes n codes of chars characters, and the Secret that knows them.
func generate(random io.Reader, id mfa.CredentialID, n, chars int) (codes []secret.Text, s secret.Text, err error) {
	if random == nil {
		random = rand.Reader
	}
	if id == "" {
		return nil, s, errors.New("codes are bound to a credential and this one has no id yet")
	}
	var salt [saltSize]byte
	if _, err := io.ReadFull(random, salt[:]); err != nil {
		return nil, s, fmt.Errorf("read randomness for new codes: %w", err)
	}
	lines := []string{hex.EncodeToString(salt[:])}
	for range n {
		code := make([]byte, chars)
		if _, err := io.ReadFull(random, code); err != nil {
			return nil, s, fmt.Errorf("read randomness for new codes: %w", err)
		}
		for i, b := range code {
			code[i] = alphabet[b%32] // 32 divides 256: no bias
		}
		lines = append(lines, hex.EncodeToString(digest(salt[:], id, code)))
		codes = append(codes, secret.FromString(string(code[:chars/2])+"-"+string(code[chars/2:])))
	}
	return codes, secret.FromString(strings.Join(lines, "\n")), nil
}

func digest(salt []byte, id mfa.CredentialID, code []byte) []byte {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(id)) // 16 characters, so that id and code cannot run together
	mac.Write([]byte{0})
	mac.Write(code)
	return mac.Sum(nil)[:digestSize]
}

// find returns the set of codes of c that answer is: bit n for code n. It takes the same
// time for every answer of the right form.
func find(c mfa.Credential, answer secret.Text, chars int) (set uint64, err error) {
	salt, digests, err := readDigests(c.Secret.Expose())
	if err != nil {
		return 0, fmt.Errorf("credential %s: %w (remove it and add it again)", c.ID, err)
	}
	code, ok := read(answer, chars)
	if !ok {
		return 0, nil
	}
	got := digest(salt, c.ID, code)
	for i, d := range digests {
		set |= uint64(subtle.ConstantTimeCompare(got, d)) << i
	}
	return set, nil
}

// read brings a typed code to the form that was digested: any case, spaces and dashes
// anywhere, i and l for 1, o for 0.
func read(answer secret.Text, chars int) (code []byte, ok bool) {
	code = []byte(strip(answer))
	if len(code) != chars {
		return nil, false
	}
	for i, c := range code {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		switch c {
		case 'i', 'l':
			c = '1'
		case 'o':
			c = '0'
		}
		if strings.IndexByte(alphabet, c) < 0 {
			return nil, false
		}
		code[i] = c
	}
	return code, true
}

// readDigests reads a Secret. Its errors hold nothing of it.
func readDigests(b []byte) (salt []byte, digests [][]byte, err error) {
	const line = 2*digestSize + 1
	n := (len(b) + 1) / line // lines, the salt's included
	if n*line != len(b)+1 || n < 2 || n > group+1 {
		return nil, nil, errors.New("its digests have a length that is none")
	}
	raw := make([]byte, n*digestSize)
	for i := range n {
		text, _, _ := bytes.Cut(b[i*line:], []byte("\n"))
		if len(text) != line-1 {
			return nil, nil, errors.New("its digests are not one to a line")
		}
		part := raw[i*digestSize : (i+1)*digestSize]
		if _, err := hex.Decode(part, text); err != nil {
			return nil, nil, errors.New("its digests are not hexadecimal")
		}
		digests = append(digests, part)
	}
	return digests[0], digests[1:], nil
}
