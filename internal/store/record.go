package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// parse decodes a JSON record into r, whose schema version is v.
func parse(key string, b []byte, r any, v *int) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(r)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = fmt.Errorf("more than one JSON value")
		}
	}
	if err != nil { // perhaps because it is of another version
		var other struct {
			V int `json:"v"`
		}
		if *v = schema; json.Unmarshal(b, &other) == nil {
			*v = other.V
		}
	}
	if *v < schema || *v > Schema {
		return fmt.Errorf("record %s has schema version %d, this server knows %d: upgrade this server", key, *v, Schema)
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", key, err)
	}
	return nil
}

// format encodes a JSON record; its fields are such that it cannot fail.
func format(r any) []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("store: " + err.Error())
	}
	return b
}

// claim is the value of a login form or a name: whose it is.
type claim struct {
	V  int    `json:"v"`
	ID string `json:"id"`
}

// userRecord is u/ID. Sealed holds login, aliases, name, mail, phone and the reason of a
// block, packed.
type userRecord struct {
	V         int       `json:"v"`
	State     string    `json:"state"`
	Directory string    `json:"directory,omitempty"`
	Tags      []string  `json:"tags,omitempty"`
	Language  string    `json:"language,omitempty"`
	Preferred string    `json:"preferred,omitempty"`
	Block     *block    `json:"block,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	Changed   time.Time `json:"changed,omitzero"`
	Sealed    []byte    `json:"sealed"`
	userAdded
}

type block struct {
	Until time.Time `json:"until,omitzero"`
	By    string    `json:"by,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

func (s *Store) sealUser(u mfa.User) (userRecord, error) {
	r := userRecord{State: u.State.String(), Directory: u.Directory, Tags: u.Tags, Language: u.Language, Preferred: string(u.Preferred), Created: u.Created.UTC(), Changed: u.Changed.UTC()}
	var p packer
	p.string(u.Login)
	p.strings(u.Aliases)
	p.string(u.Name)
	p.string(u.Email)
	p.string(u.Phone)
	if b := u.Block; b != nil {
		r.Block = &block{Until: b.Until.UTC(), By: b.By, Since: b.Since.UTC()}
		p.string(b.Reason)
	} else {
		p.string("")
	}
	var err error
	r.V = r.add(s.GroupSchema())
	r.Sealed, err = s.ring.Seal("user", string(u.ID), userKey(u.ID), p)
	return r, err
}

// plain returns what is not sealed.
func (r userRecord) plain(id mfa.UserID) mfa.User {
	u := mfa.User{ID: id, Directory: r.Directory, Tags: r.Tags, Language: r.Language, Preferred: mfa.MethodID(r.Preferred), Created: r.Created, Changed: r.Changed}
	u.State, _ = mfa.ParseState(r.State)
	if b := r.Block; b != nil {
		u.Block = &mfa.Block{Until: b.Until, By: b.By, Since: b.Since}
	}
	return u
}

func (r userRecord) open(ring *keyring.Ring, id mfa.UserID) (mfa.User, error) {
	u := r.plain(id)
	plain, err := ring.Open("user", string(id), userKey(id), r.Sealed)
	if err != nil {
		return mfa.User{}, fmt.Errorf("record %s: %w", userKey(id), err)
	}
	p := unpacker{s: string(plain.Expose())}
	u.Login, u.Aliases, u.Name, u.Email, u.Phone = p.string(), p.strings(), p.string(), p.string(), p.string()
	reason := p.string()
	if err := p.err(); err != nil {
		return mfa.User{}, fmt.Errorf("record %s, sealed part: %w", userKey(id), err)
	}
	if u.Block != nil {
		u.Block.Reason = reason
	}
	return u, nil
}

func parseUser(key string, b []byte) (r userRecord, err error) { return r, parse(key, b, &r, &r.V) }

// packUser returns the form in which the view keeps a profile.
func packUser(r userRecord) string {
	p := make(packer, 0, 64+len(r.Sealed))
	state, _ := mfa.ParseState(r.State)
	flags := uint64(state) << 1
	if r.Block != nil {
		flags |= 1
	}
	p.uint(flags)
	p.string(r.Directory)
	p.strings(r.Tags)
	p.string(r.Language)
	p.string(r.Preferred)
	if b := r.Block; b != nil {
		p.time(b.Until)
		p.string(b.By)
		p.time(b.Since)
	}
	p.time(r.Created)
	p.time(r.Changed)
	p = append(p, r.Sealed...)
	return string(p)
}

// packedBlock reports whether packUser was given a block; true too for what it has not made.
func packedBlock(s string) bool {
	p := unpacker{s: s}
	flags := p.uint()
	return p.bad || flags&1 != 0
}

func unpackUser(s string) (r userRecord, err error) {
	p := unpacker{s: s}
	flags := p.uint()
	r = userRecord{V: schema, State: mfa.State(flags >> 1).String(), Directory: p.string(), Tags: p.strings(), Language: p.string(), Preferred: p.string()}
	if flags&1 != 0 {
		r.Block = &block{Until: p.time(), By: p.string(), Since: p.time()}
	}
	r.Created, r.Changed = p.time(), p.time()
	if p.bad {
		return userRecord{}, errPacked
	}
	r.Sealed = []byte(p.s)
	return r, nil
}

// credRecord is c/USER/ID. Sealed holds secret, label and reason, packed.
type credRecord struct {
	V         int       `json:"v"`
	Method    string    `json:"method"`
	Algorithm string    `json:"algorithm,omitempty"`
	Digits    int       `json:"digits,omitempty"`
	Period    int       `json:"period,omitempty"`
	Counter   uint64    `json:"counter,omitempty"`
	Uses      int       `json:"uses,omitempty"`
	Scope     []string  `json:"scope,omitempty"`
	Disabled  bool      `json:"disabled,omitempty"`
	Drawn     bool      `json:"drawn,omitempty"`
	Must      bool      `json:"must_change,omitempty"`
	Hold      string    `json:"hold,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	Confirmed time.Time `json:"confirmed,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
	By        string    `json:"by,omitempty"`
	Awaits    bool      `json:"awaits,omitempty"`
	Issuer    string    `json:"issuer,omitempty"`
	Approver  string    `json:"approver,omitempty"`
	Sealed    []byte    `json:"sealed"`
}

func sealCred(ring *keyring.Ring, c mfa.Credential) (credRecord, error) {
	r := credRecord{V: schema, Method: string(c.Method), Algorithm: c.Algorithm, Digits: c.Digits, Period: c.Period, Counter: c.Counter,
		Uses: c.Uses, Scope: c.Scope, Disabled: c.Disabled, Drawn: c.Drawn, Must: c.MustChange, Created: c.Created.UTC(), Confirmed: c.Confirmed.UTC(), Expires: c.Expires.UTC(), By: c.By,
		Awaits: c.Awaits, Issuer: string(c.Issuer), Approver: c.Approver}
	if c.Hold != mfa.ReasonNone {
		r.Hold = c.Hold.String()
	}
	var p packer
	p.bytes(c.Secret.Expose())
	p.string(c.Label)
	p.string(c.Why)
	var err error
	r.Sealed, err = ring.Seal("credential", string(c.User), credKey(c.User, c.ID), p)
	return r, err
}

// plain returns what is not sealed.
func (r credRecord) plain(user mfa.UserID, id mfa.CredentialID) (mfa.Credential, error) {
	c := mfa.Credential{ID: id, User: user, Method: mfa.MethodID(r.Method), Algorithm: r.Algorithm, Digits: r.Digits, Period: r.Period,
		Counter: r.Counter, Uses: r.Uses, Scope: r.Scope, Disabled: r.Disabled, Drawn: r.Drawn, MustChange: r.Must, Created: r.Created, Confirmed: r.Confirmed, Expires: r.Expires, By: r.By,
		Awaits: r.Awaits, Issuer: mfa.UserID(r.Issuer), Approver: r.Approver}
	if r.Hold != "" {
		if err := c.Hold.UnmarshalText([]byte(r.Hold)); err != nil {
			return mfa.Credential{}, fmt.Errorf("record %s: hold: %w", credKey(user, id), err)
		}
	}
	return c, nil
}

func (r credRecord) open(ring *keyring.Ring, user mfa.UserID, id mfa.CredentialID) (mfa.Credential, error) {
	c, err := r.plain(user, id)
	if err != nil {
		return mfa.Credential{}, err
	}
	key := credKey(user, id)
	plain, err := ring.Open("credential", string(user), key, r.Sealed)
	if err != nil {
		return mfa.Credential{}, fmt.Errorf("record %s: %w", key, err)
	}
	p := unpacker{s: string(plain.Expose())}
	c.Secret, c.Label, c.Why = secret.FromString(p.string()), strings.Clone(p.string()), strings.Clone(p.string())
	if err := p.err(); err != nil {
		return mfa.Credential{}, fmt.Errorf("record %s, sealed part: %w", key, err)
	}
	return c, nil
}

func parseCred(key string, b []byte) (r credRecord, err error) { return r, parse(key, b, &r, &r.V) }

// packCred returns the form in which the view keeps a credential.
func packCred(r credRecord) string {
	p := make(packer, 0, 64+len(r.Sealed))
	flags := uint64(0)
	if r.Disabled {
		flags = 1
	}
	if r.Drawn {
		flags |= 2
	}
	if r.Must {
		flags |= 4
	}
	if r.Awaits {
		flags |= packedAwaits
	}
	if r.Issuer != "" || r.Approver != "" {
		flags |= 16
	}
	p.uint(flags)
	p.string(r.Method)
	p.string(r.Algorithm)
	p.uint(uint64(r.Digits))
	p.uint(uint64(r.Period))
	p.uint(r.Counter)
	p.uint(uint64(r.Uses))
	p.strings(r.Scope)
	p.string(r.Hold)
	p.time(r.Created)
	p.time(r.Confirmed)
	p.time(r.Expires)
	p.string(r.By)
	if flags&16 != 0 {
		p.string(r.Issuer)
		p.string(r.Approver)
	}
	p = append(p, r.Sealed...)
	return string(p)
}

// packedAwaits is the flag of a pass that awaits its approval, in the first byte of what packCred returns.
const packedAwaits = 8

func unpackCred(s string) (r credRecord, err error) {
	p := unpacker{s: s}
	flags := p.uint()
	r = credRecord{V: schema, Disabled: flags&1 != 0, Drawn: flags&2 != 0, Must: flags&4 != 0, Awaits: flags&packedAwaits != 0, Method: p.string(), Algorithm: p.string(), Digits: int(p.uint()), Period: int(p.uint()),
		Counter: p.uint(), Uses: int(p.uint()), Scope: p.strings(), Hold: p.string(), Created: p.time(), Confirmed: p.time(), Expires: p.time(), By: p.string()}
	if flags&16 != 0 {
		r.Issuer, r.Approver = p.string(), p.string()
	}
	if p.bad {
		return credRecord{}, errPacked
	}
	r.Sealed = []byte(p.s)
	return r, nil
}
