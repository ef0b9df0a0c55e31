package store

import (
	"maps"
	"net/netip"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// catalog is the records that there are few of, decoded. It is immutable once published;
// a change publishes a copy, so reading takes no lock.
type catalog struct {
	apps           map[mfa.ApplicationID]mfa.Application
	appNames       map[string]mfa.ApplicationID // by folded name
	dirs           map[string]directoryRecord
	gateways       map[string]gatewayRecord
	recordings     map[string]recordingRecord
	tokens         map[string]mfa.APIToken
	digests        map[[32]byte]string // of tokens
	administrators map[mfa.UserID]mfa.Administrator
	nas            map[nasID]mfa.NAS
	members        map[string]mfa.Member // by name
	sessions       map[mfa.SessionID]mfa.Session
	ends           map[mfa.UserID]mfa.SessionsEnd // of sessions
	settings       policy.Settings
	epoch          EpochRecord
	schema         GroupSchema
	broken         map[string]brokenItem // records that could not be decoded, by key
	appsGen        uint64                // differs whenever apps does
}

type nasID struct {
	app  mfa.ApplicationID
	addr netip.Addr
}

type brokenItem struct {
	item
	err error
}

func newCatalog() *catalog {
	return &catalog{apps: map[mfa.ApplicationID]mfa.Application{}, appNames: map[string]mfa.ApplicationID{}, dirs: map[string]directoryRecord{}, gateways: map[string]gatewayRecord{}, recordings: map[string]recordingRecord{},
		tokens: map[string]mfa.APIToken{}, digests: map[[32]byte]string{}, administrators: map[mfa.UserID]mfa.Administrator{}, nas: map[nasID]mfa.NAS{}, members: map[string]mfa.Member{}, sessions: map[mfa.SessionID]mfa.Session{}, ends: map[mfa.UserID]mfa.SessionsEnd{}, settings: policy.Defaults(),
		broken: map[string]brokenItem{}}
}

// clone returns a copy that may be changed. Sharing the maps that a change does not touch
// would be possible; changes are rare and the maps small.
func (c *catalog) clone() *catalog {
	d := *c
	d.apps, d.appNames, d.dirs = maps.Clone(c.apps), maps.Clone(c.appNames), maps.Clone(c.dirs)
	d.gateways, d.recordings = maps.Clone(c.gateways), maps.Clone(c.recordings)
	d.tokens, d.digests, d.nas, d.broken = maps.Clone(c.tokens), maps.Clone(c.digests), maps.Clone(c.nas), maps.Clone(c.broken)
	d.members, d.sessions, d.administrators = maps.Clone(c.members), maps.Clone(c.sessions), maps.Clone(c.administrators)
	d.ends = maps.Clone(c.ends)
	return &d
}

// catalogued reports whether the catalog keeps records of key's kind.
func catalogued(key string) bool {
	for _, p := range []string{prefixApp, prefixDirectory, prefixGateway, prefixRecording, prefixToken, prefixAdministrator, prefixNAS, prefixMember, prefixSession, prefixSessionsEnd, keySettings, keyEpoch, keySchema} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// put takes over what it is (rev 0: nothing) that key has now.
func (c *catalog) put(key string, it item, decode func(*catalog, string, []byte) error) {
	c.remove(key)
	if strings.HasPrefix(key, prefixApp) {
		c.appsGen++
	}
	if it.rev == 0 {
		return
	}
	if err := decode(c, key, it.value); err != nil {
		c.broken[key] = brokenItem{it, err}
	}
}

// remove forgets what key had.
func (c *catalog) remove(key string) {
	delete(c.broken, key)
	kind, rest, _ := strings.Cut(key, "/")
	switch kind {
	case "a":
		id := mfa.ApplicationID(rest)
		if name := fold(c.apps[id].Name); c.appNames[name] == id {
			delete(c.appNames, name)
		}
		delete(c.apps, id)
	case "d":
		delete(c.dirs, rest)
	case "gw":
		delete(c.gateways, rest)
	case "v":
		maps.DeleteFunc(c.recordings, func(_ string, r recordingRecord) bool { return r.key == key })
	case "t":
		if d := c.tokens[rest].Digest; c.digests[d] == rest {
			delete(c.digests, d)
		}
		delete(c.tokens, rest)
	case "r":
		delete(c.administrators, mfa.UserID(rest))
	case "n":
		if id, ok := cutNASKey(rest); ok {
			delete(c.nas, id)
		}
	case "m":
		delete(c.members, rest)
	case "w":
		delete(c.sessions, mfa.SessionID(rest))
	case "we":
		delete(c.ends, mfa.UserID(rest))
	case "p":
		c.settings = policy.Defaults()
	case "g":
		if key == keySchema {
			c.schema = GroupSchema{}
		} else {
			c.epoch = EpochRecord{}
		}
	}
}

// fold makes names that a person would take for the same equal.
func fold(name string) string { return strings.ToLower(name) }

func cutNASKey(rest string) (id nasID, ok bool) {
	app, addr, _ := strings.Cut(rest, "/")
	a, err := netip.ParseAddr(addr)
	return nasID{mfa.ApplicationID(app), a}, err == nil
}
