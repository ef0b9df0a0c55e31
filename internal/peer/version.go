package peer

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// The versions of what servers say to each other that this program speaks. Two servers
// understand each other if they have one in common.
const (
	MinProtocol = 1
	Protocol    = 1
)

// What a caller tells of itself with each request that is not etcd's.
const (
	ProtocolHeader = "X-Countersign-Protocol" // MIN-MAX
	VersionHeader  = "X-Countersign-Version"  // of its program
	SchemaHeader   = "X-Countersign-Schema"   // newest schema of records that it knows
)

// Hello is what a server tells of itself.
type Hello struct {
	Version string // of the program
	Schema  int    // newest schema of records that it knows
}

func (h Hello) sign(r *http.Request) {
	r.Header.Set(ProtocolHeader, fmt.Sprintf("%d-%d", MinProtocol, Protocol))
	r.Header.Set(VersionHeader, h.Version)
	r.Header.Set(SchemaHeader, strconv.Itoa(h.Schema))
}

// strangers are the servers that were refused because of their version, by name. etcd's
// requests tell none: they are refused as long as their server is.
type strangers struct {
	mu  sync.Mutex
	all map[string]error
}

func (s *strangers) set(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.all, name)
		return
	}
	if s.all == nil {
		s.all = map[string]error{}
	}
	s.all[name] = err
}

func (s *strangers) of(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[name]
}

// understands refuses a server that speaks another protocol, or is too old for the group.
func (s *Server) understands(name string, r *http.Request) error {
	if s.raft(r.URL.Path) {
		return s.strangers.of(name)
	}
	err := s.meet(name, r.Header)
	s.strangers.set(name, err)
	return err
}

func (s *Server) meet(name string, h http.Header) error {
	said, version := h.Get(ProtocolHeader), h.Get(VersionHeader)
	if lowest, highest, err := protocols(said); err != nil || lowest > Protocol || highest < MinProtocol {
		return fmt.Errorf("%w: server %s, program version %.64q, speaks %.16q, this server, version %q, speaks \"%d-%d\": bring the older of the two to a release that the other one can follow",
			group.ErrProtocol, name, version, said, s.Hello.Version, MinProtocol, Protocol)
	}
	schema, err := strconv.ParseUint(h.Get(SchemaHeader), 10, 31)
	if err != nil {
		return fmt.Errorf("%w: server %s says schema %.16q", mfa.ErrInvalid, name, h.Get(SchemaHeader))
	}
	if s.Fits == nil {
		return nil
	}
	return s.Fits(int(schema), version)
}

// protocols reads MIN-MAX, two numbers without signs.
func protocols(said string) (lowest, highest uint64, err error) {
	from, to, _ := strings.Cut(said, "-")
	if lowest, err = strconv.ParseUint(from, 10, 31); err == nil {
		highest, err = strconv.ParseUint(to, 10, 31)
	}
	return lowest, highest, err
}
