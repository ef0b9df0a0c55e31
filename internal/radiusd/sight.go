package radiusd

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The limits of what is kept of packets that led to no verdict.
const (
	sightsKept     = 24               // of clients that we know
	strangersKept  = 8                // of addresses that belong to no application: anybody can send from one
	sightKept      = 10 * time.Minute // since it was seen last
	challengeEvery = 2                // seconds between two challenges of one client that are kept
)

// SightUnsupported is what a Sight may be besides an Outcome that is not answered: Detail is what was
// asked for in place of PAP.
const SightUnsupported = "unsupported"

// Sight is something that a client sent and that led to no verdict: what somebody wants to
// know who sets the client up.
type Sight struct {
	Time        time.Time
	Application string // its name; "": the address belongs to none
	Client      netip.Addr
	What        string // an Outcome, or SightUnsupported
	Detail      string
}

// sights are the latest, each client with each kind of trouble once.
type sights struct {
	mu  sync.Mutex
	all []Sight // the latest at the end
}

// add notes one, in place of an older one of the same kind and client.
func (s *sights) add(one Sight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(o Sight) bool {
		return o.Client == one.Client && o.What == one.What && o.Application == one.Application || one.Time.Sub(o.Time) > sightKept
	})
	most := sightsKept
	if one.Application == "" {
		most = strangersKept
	}
	n := 0
	for _, o := range s.all {
		if (o.Application == "") == (one.Application == "") {
			n++
		}
	}
	if n >= most {
		i := slices.IndexFunc(s.all, func(o Sight) bool { return (o.Application == "") == (one.Application == "") })
		s.all = slices.Delete(s.all, i, i+1)
	}
	s.all = append(s.all, one)
}

// Sights are what came lately and led to no verdict, the latest first. It is safe for
// concurrent use.
func (s *Server) Sights() []Sight {
	s.sights.mu.Lock()
	defer s.sights.mu.Unlock()
	now := s.Now()
	all := slices.DeleteFunc(slices.Clone(s.sights.all), func(o Sight) bool { return now.Sub(o.Time) > sightKept })
	slices.SortStableFunc(all, func(a, b Sight) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.What, b.What)) })
	return all
}

// see notes what came of a packet that leads to no verdict, or to none yet.
func (s *Server) see(j *job, what, detail string) {
	one := Sight{Time: s.Now(), Client: j.addr, What: what, Detail: detail}
	if j.client != nil {
		one.Application = j.client.app.Name
	}
	s.sights.add(one)
}

// asked notes that a client was sent a question. That is an everyday thing, so it is looked
// at now and then only.
func (s *Server) asked(j *job) {
	now := s.Now().Unix()
	if last := j.peer.asked.Load(); now-last >= challengeEvery && j.peer.asked.CompareAndSwap(last, now) {
		s.see(j, Challenged.String(), "")
	}
}
