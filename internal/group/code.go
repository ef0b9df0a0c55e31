package group

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	codeVersion  = 1
	codeIDSize   = 8
	codeSecret   = 16
	codeCheck    = 4
	maxCodeURLs  = 16
	maxCodeBytes = 2048
)

// ErrCode: a text that is no activation code, or was changed in copying.
var ErrCode = errors.New("not an activation code, or not all of it: copy it again, with all its groups")

// RoleFounder is the role in a code that founds a group.
const RoleFounder = "founder"

// ValidName reports whether s can name a group or a server.
func ValidName(s string) bool { return nameRE.MatchString(s) }

// CodeDigest is all that an independent coordinator knows of a joining code.
func CodeDigest(id string) string {
	d := sha256.Sum256([]byte("countersign activation code id\n" + id))
	return hex.EncodeToString(d[:])
}

// Activation is an activation code as the operator carries it to the new server.
type Activation struct {
	ID           string // 16 hexadecimal digits
	Secret       secret.Text
	CA           [32]byte // SHA-256 of the CA's certificate (DER)
	Group        string
	Role         string
	Coordinators []string // host:port, those of all servers that have one
}

// NewActivation returns one with a fresh id and secret.
func NewActivation() (Activation, error) {
	b := make([]byte, codeIDSize+codeSecret)
	if _, err := rand.Read(b); err != nil {
		return Activation{}, err
	}
	return Activation{ID: hex.EncodeToString(b[:codeIDSize]), Secret: secret.New(b[codeIDSize:])}, nil
}

var codeText = base32.NewEncoding("ABCDEFGHJKLMNPQRSTUVWXYZ23456789").WithPadding(base32.NoPadding)

// String writes the code in groups of five, a checksum at its end.
func (a Activation) String() string {
	id, _ := hex.DecodeString(a.ID)
	b := []byte{codeVersion}
	part := func(p []byte) { b = append(append(b, byte(len(p))), p...) }
	part(id)
	part(a.Secret.Expose())
	part(a.CA[:])
	part([]byte(a.Group))
	part([]byte(a.Role))
	b = append(b, byte(len(a.Coordinators)))
	for _, u := range a.Coordinators {
		part([]byte(u))
	}
	sum := sha256.Sum256(b)
	text := codeText.EncodeToString(append(b, sum[:codeCheck]...))
	var groups []string
	for g := range slices.Chunk([]byte(text), 5) {
		groups = append(groups, string(g))
	}
	return strings.Join(groups, "-")
}

// ParseActivation reads what String wrote; white space, hyphens and case do not matter.
func ParseActivation(s string) (Activation, error) {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n-", r) {
			return -1
		}
		return r
	}, s)
	if len(s) > 2*maxCodeBytes {
		return Activation{}, ErrCode
	}
	b, err := codeText.DecodeString(strings.ToUpper(s))
	if err != nil || len(b) <= codeCheck+1 || codeText.EncodeToString(b) != strings.ToUpper(s) { // the last letter has bits to spare
		return Activation{}, ErrCode
	}
	body, check := b[:len(b)-codeCheck], b[len(b)-codeCheck:]
	sum := sha256.Sum256(body)
	if string(sum[:codeCheck]) != string(check) {
		return Activation{}, ErrCode
	}
	if body[0] != codeVersion {
		return Activation{}, fmt.Errorf("this activation code has format %d, this program knows %d: use the same version on both servers", body[0], codeVersion)
	}
	r := reader{b: body[1:]}
	a := Activation{ID: hex.EncodeToString(r.part(codeIDSize)), Secret: secret.New(slices.Clone(r.part(codeSecret)))}
	copy(a.CA[:], r.part(len(a.CA)))
	a.Group, a.Role = string(r.part(0)), string(r.part(0))
	for n := r.byte(); n > 0 && !r.bad; n-- {
		a.Coordinators = append(a.Coordinators, string(r.part(0)))
	}
	if r.bad || len(r.b) > 0 || len(a.Coordinators) == 0 || len(a.Coordinators) > maxCodeURLs || a.Group == "" {
		return Activation{}, ErrCode
	}
	return a, nil
}

// reader takes parts off b.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// part reads a part of that size; 0: of any.
func (r *reader) part(size int) []byte {
	n := int(r.byte())
	if r.bad || n > len(r.b) || size != 0 && n != size {
		r.bad = true
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

// Request asks for admission. MAC proves that who sends it holds the code, for exactly
// this key, name and address.
type Request struct {
	Code        string `json:"code"` // its id
	Name        string `json:"name"`
	Role        string `json:"role"`
	Peer        string `json:"peer"` // host:port
	HTTPS       string `json:"https,omitempty"`
	Coordinator string `json:"coordinator,omitempty"`
	PublicKey   []byte `json:"public_key"` // of its certificate, DER
	Sign        []byte `json:"sign"`
	Wrap        string `json:"wrap"`
	Version     string `json:"version"`
	Schema      int    `json:"schema"` // newest of records that its program knows
	MAC         []byte `json:"mac"`
}

// Prove sets the MAC.
func (r *Request) Prove(s secret.Text) { r.MAC = r.mac(s) }

// Proven checks it.
func (r *Request) Proven(s secret.Text) bool { return hmac.Equal(r.MAC, r.mac(s)) }

func (r *Request) mac(s secret.Text) []byte {
	h := hmac.New(sha256.New, s.Expose())
	h.Write([]byte("countersign activation 1\n"))
	for _, p := range []string{r.Code, r.Name, r.Role, r.Peer, r.HTTPS, r.Coordinator, string(r.PublicKey), string(r.Sign), r.Wrap, r.Version, strconv.Itoa(r.Schema)} {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// Member is the server that r describes.
func (r *Request) member(keyDigest, by string) mfa.Member {
	return mfa.Member{Name: r.Name, Role: r.Role, Peer: r.Peer, HTTPS: r.HTTPS, Coordinator: r.Coordinator, Key: keyDigest,
		Sign: r.Sign, Wrap: r.Wrap, Version: r.Version, Schema: r.Schema, By: by}
}
