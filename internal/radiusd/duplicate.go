package radiusd

import (
	"net/netip"
	"sync"
	"time"

	"countersign/internal/mfa"
)

const (
	// keepAnswers is how long an answer is sent again to a retransmit (RFC 5080 section
	// 2.2.2).
	keepAnswers    = 30 * time.Second
	duplicateParts = 32
	// maxAnswers bounds the answers kept in each part: 131072 in all, about 40 MB. The
	// oldest goes first; its retransmit is then known to the engine by its leg.
	maxAnswers = 4096
)

// duplicates knows the requests of the last 30 s. What makes a request is its sender's
// address and port, our socket and the identifier; a request with the same of these and
// other content (authenticator) takes the older one's place.
type duplicates struct{ parts [duplicateParts]duplicatePart }

type duplicatePart struct {
	mu       sync.Mutex
	requests map[requestKey]*request
	oldest   request // ring of the answered ones, by time of answer
	answered int
}

type requestKey struct {
	from       netip.AddrPort
	socket     uint16
	identifier byte
}

type request struct {
	key        requestKey
	leg        mfa.LegID // digest of all that the request holds, authenticator included
	busy       bool      // is being worked on, and in no ring
	told       told
	reply      []byte
	until      time.Time
	prev, next *request
}

// seen says what is known about a request.
type seen uint8

const (
	isNew seen = iota
	isBusy
	isAnswered
)

func (d *duplicates) init() {
	for i := range d.parts {
		p := &d.parts[i]
		p.requests = map[requestKey]*request{}
		p.oldest.prev, p.oldest.next = &p.oldest, &p.oldest
	}
}

func (d *duplicates) part(k requestKey) *duplicatePart {
	a := k.from.Addr().As16()
	h := uint(a[13]) ^ uint(a[14]) ^ uint(a[15]) ^ uint(k.from.Port()) ^ uint(k.from.Port()>>8) ^ uint(k.identifier)
	return &d.parts[h%duplicateParts]
}

// begin enters a request. If it is answered already, its reply is appended to buf.
func (d *duplicates) begin(k requestKey, leg mfa.LegID, now time.Time, buf []byte) (seen, []byte) {
	p := d.part(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expire(now)
	r := p.requests[k]
	switch {
	case r == nil:
		r = &request{key: k}
		p.requests[k] = r
	case r.leg == leg && r.busy:
		r.told.again(now)
		return isBusy, buf
	case r.leg == leg:
		return isAnswered, append(buf, r.reply...)
	case !r.busy:
		p.unlink(r)
	}
	r.leg, r.busy, r.told = leg, true, told{begun: now, last: now}
	return isNew, buf
}

// answer keeps a copy of the reply to a request, unless a newer one took its place. It returns
// how often the request had come until then.
func (d *duplicates) answer(k requestKey, leg mfa.LegID, now time.Time, reply []byte) told {
	p := d.part(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests[k]
	if r == nil || r.leg != leg || !r.busy {
		return told{}
	}
	r.busy, r.until = false, now.Add(keepAnswers)
	r.reply = append(r.reply[:0], reply...)
	r.prev, r.next = p.oldest.prev, &p.oldest
	r.prev.next, r.next.prev = r, r
	seen := r.told
	if p.answered++; p.answered > maxAnswers {
		p.remove(p.oldest.next)
	}
	return seen
}

// forget drops a request that stays without answer, so that its retransmit is new. It returns how
// often it had come until then.
func (d *duplicates) forget(k requestKey, leg mfa.LegID) (seen told) {
	p := d.part(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.requests[k]; r != nil && r.leg == leg && r.busy {
		seen = r.told
		delete(p.requests, k)
	}
	return seen
}

// told returns how often a request that is worked on has come.
func (d *duplicates) told(k requestKey, leg mfa.LegID) (seen told) {
	p := d.part(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.requests[k]; r != nil && r.leg == leg && r.busy {
		seen = r.told
	}
	return seen
}

// expire drops the answers whose time is over.
func (p *duplicatePart) expire(now time.Time) {
	for r := p.oldest.next; r != &p.oldest && !now.Before(r.until); r = p.oldest.next {
		p.remove(r)
	}
}

func (p *duplicatePart) remove(r *request) {
	p.unlink(r)
	delete(p.requests, r.key)
}

func (p *duplicatePart) unlink(r *request) {
	r.prev.next, r.next.prev = r.next, r.prev
	r.prev, r.next = nil, nil
	p.answered--
}
