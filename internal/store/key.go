package store

import (
	"encoding/base32"
	"fmt"
	"net/netip"
	"strings"

	"countersign/internal/mfa"
)

// The keys. Nobody's name stands in one: users are ids, login forms and names keyed
// digests. Directories are named by the operator and are no secret.
const (
	prefixUser          = "u/"        // u/ID: profile
	prefixForm          = "l/"        // l/DIGEST of a login form: user id
	prefixCred          = "c/"        // c/USER/ID: credential
	prefixRecord        = "s/"        // s/USER: settlement record
	prefixSeed          = "f/"        // f/DIGEST of the seed of a token that was taken away: its floor
	prefixApp           = "a/"        // a/ID: application
	prefixAppName       = "an/"       // an/DIGEST of its name: application id
	prefixDirectory     = "d/"        // d/NAME: directory
	prefixToken         = "t/"        // t/ID: API token
	prefixTokenName     = "tn/"       // tn/DIGEST of its name: token id
	prefixAdministrator = "r/"        // r/USER: role
	prefixNAS           = "n/"        // n/APP/ADDRESS: RADIUS client address
	prefixGateway       = "gw/"       // gw/NAME: gateway
	prefixQuota         = "gq/"       // gq/DIGEST of what is counted: messages sent in a while
	prefixRecording     = "v/"        // v/DIGEST of its name: recording that is played in calls
	prefixActivation    = "ac/"       // ac/DIGEST of an activation code: the device that it makes
	prefixWait          = "q/"        // q/USER/ID: question that waits for an answer by another way
	prefixDelivery      = "gd/"       // gd/TAG of a message at a gateway: what became of it
	prefixNotice        = "o/"        // o/ID: notice for a user, waiting
	prefixSealed        = "x/"        // x/NAME: sealed blob of another part
	prefixMember        = "m/"        // m/NAME: server of the group
	prefixJoin          = "j/"        // j/ID: joining code that nobody has used yet
	usedCode            = "used/"     // j/used/ID: one that was, until it expires
	prefixGroup         = "g/"        // g/NAME: what the group is agreed on
	prefixSession       = "w/"        // w/DIGEST of its token: browser session
	prefixSessionsEnd   = "we/"       // we/USER: what ended their sessions, for as long as one could have lived
	prefixRequest       = "i/"        // i/CALLER/KEY, digests: request with an idempotency key
	prefixKeyset        = "k/keyset/" // k/keyset/SERVER: keyset wrapped to that server
	keySettings         = "p/settings"
	keyEpoch            = "g/epoch"     // how this epoch began
	keySchema           = "g/schema"    // schema of the records that the group writes
	keySwap             = "g/promotion" // planned promotion of a server, on its way
)

// ofServers reports whether key is of what servers know of each other; nothing in it is
// sealed.
func ofServers(key string) bool {
	return strings.HasPrefix(key, prefixMember) || strings.HasPrefix(key, prefixGroup)
}

// idSize is the length of an id in bytes; as text it has 16 characters.
const idSize = 10

type rawID [idSize]byte

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// parseID reads an id of mfa.NewID. Its 80 bits and 16 characters are one to one.
func parseID[T ~string](id T) (raw rawID, ok bool) {
	if len(id) != 16 {
		return raw, false
	}
	_, err := idEncoding.Decode(raw[:], []byte(id))
	return raw, err == nil
}

func (r rawID) String() string { return idEncoding.EncodeToString(r[:]) }

// rawDigest is a keyed digest as it stands in a key.
type rawDigest [16]byte

func parseDigest(s string) (raw rawDigest, ok bool) {
	if len(s) != 26 {
		return raw, false
	}
	b, err := idEncoding.DecodeString(s)
	if err != nil {
		return raw, false
	}
	copy(raw[:], b)
	return raw, true
}

func userKey(id mfa.UserID) string   { return prefixUser + string(id) }
func recordKey(id mfa.UserID) string { return prefixRecord + string(id) }

func credKey(user mfa.UserID, id mfa.CredentialID) string {
	return prefixCred + string(user) + "/" + string(id)
}

func nasKey(app mfa.ApplicationID, addr netip.Addr) string {
	return prefixNAS + string(app) + "/" + addr.String()
}

// cutCredKey splits what follows prefixCred.
func cutCredKey(rest string) (user, id rawID, ok bool) {
	u, c, _ := strings.Cut(rest, "/")
	user, ok = parseID(u)
	if !ok {
		return user, id, false
	}
	id, ok = parseID(c)
	return user, id, ok
}

// badID says that an id is not one.
func badID(kind, id string) error {
	return fmt.Errorf("%s id %q: want 16 characters of a-z and 2-7: %w", kind, id, mfa.ErrInvalid)
}
