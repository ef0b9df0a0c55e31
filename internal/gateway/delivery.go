package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/smpp"
)

const (
	tagSize      = 6
	unknownFor   = 3 * time.Second  // a receipt can come before the answer that names the message
	remembered   = time.Minute      // what became of a message, after it is of no use
	tellTimeout  = 2 * time.Second  //
	againTimeout = 15 * time.Second // of sending by the other gateways
	foreignRate  = 20               // receipts of others' messages in a second that the group is told of
	foreignBurst = 200
	earlyMost    = 10_000 // receipts of messages that are not known that are kept for unknownFor
)

// Tag stands for one message at one gateway.
type Tag [tagSize]byte

// TagOf returns the tag of the message that a gateway calls ref.
func TagOf(gateway, ref string) Tag {
	sum := sha256.Sum256([]byte(gateway + "\x00" + smpp.CleanID(ref)))
	return Tag(sum[:tagSize])
}

// Fate is what has become of a message.
type Fate uint8

// The fates.
const (
	Open    Fate = iota // nothing is known
	Arrived             // the gateway says so
	Lost                // the gateway says that it did not arrive and will not
	Resent              // that, and another gateway has it now
)

// delivery is one message on its way, perhaps by one gateway after the other.
type delivery struct {
	m      Message
	first  Tag // that whoever waits for the message knows it by
	g      mfa.Gateway
	now    []Tag    // its parts at g that no receipt has come for
	tried  []string // gateways, g included
	fate   Fate
	told   bool          // the group has been told of first
	missed bool          // counted as one without a receipt
	void   bool          // another message has taken its place
	over   chan struct{} // closed when fate is Arrived or Lost
}

// report is a receipt, or what another server has made known.
type report struct {
	gateway string
	receipt smpp.Receipt
	at      time.Time

	tag  Tag
	fate Fate   // not Open: another server's
	why  string // in the gateway's words; "": as the receipt says
}

// tiding is what the group is to be told.
type tiding struct {
	tag  Tag
	fate Fate
	why  string
}

// follow keeps a message that was taken until it is of no use, if g tells what becomes of it.
func (c *Carrier) follow(g mfa.Gateway, m Message, r Receipt) {
	if !r.follows || m.Until.IsZero() || m.again {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for t, old := range c.followed {
		if m.For != "" && old.m.For == m.For { // the code in it is good no longer
			old.void = true
			old.end(old.fate)
			delete(c.followed, t)
		}
	}
	d := &delivery{m: m, first: r.Tag(), over: make(chan struct{})}
	d.by(c, g, r)
}

// by says that the message went by g. c.mu is held.
func (d *delivery) by(c *Carrier, g mfa.Gateway, r Receipt) {
	d.g, d.tried, d.now, d.fate, d.missed = g, append(d.tried, g.Name), nil, Open, false
	for _, ref := range r.refs {
		if ref == "" {
			continue
		}
		t := TagOf(g.Name, ref)
		d.now = append(d.now, t)
		c.followed[t] = d
	}
}

// end says what became of d for good. c.mu is held.
func (d *delivery) end(f Fate) {
	d.fate = f
	select {
	case <-d.over:
	default:
		close(d.over)
	}
}

// Fate returns what this server knows of a message that it sent; false: it is none of its, or
// too long ago.
func (c *Carrier) Fate(t Tag) (Fate, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.followed[t]
	if d == nil {
		return Open, false
	}
	return d.fate, true
}

// Await returns what becomes of a message that was sent a moment ago, at the latest when ctx is
// done.
func (c *Carrier) Await(ctx context.Context, t Tag) Fate {
	c.mu.Lock()
	d := c.followed[t]
	c.mu.Unlock()
	if d == nil {
		return Open
	}
	select {
	case <-d.over:
	case <-ctx.Done():
	}
	f, _ := c.Fate(t)
	return f
}

// Learn takes what another server has made known of a message. It does not block.
func (c *Carrier) Learn(t Tag, f Fate, why string) { c.queue(report{tag: t, fate: f, why: why}) }

// queue hands a report to Run.
func (c *Carrier) queue(r report) {
	r.at = c.Now()
	select {
	case c.reports <- r:
	default: // nobody reads, or thousands a second come: a receipt more or less decides nothing
	}
}

// Run deals with receipts until ctx is done.
func (c *Carrier) Run(ctx context.Context) error {
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { c.tell(ctx) })
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-c.reports:
			if !c.received(ctx, &others, r) {
				c.mu.Lock()
				if len(c.early) < earlyMost { // a gateway that sends so many means no good
					c.early = append(c.early, r)
				}
				c.mu.Unlock()
			}
		case <-t.C:
			c.tend(ctx, &others)
		}
	}
}

// tell tells the group, one after the other.
func (c *Carrier) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-c.tidings:
			telling, cancel := context.WithTimeout(ctx, tellTimeout)
			if err := c.Tell(telling, t.tag, t.fate, t.why); err != nil && ctx.Err() == nil {
				c.Log.Warn("the group could not be told what became of a message", "error", err)
			}
			cancel()
		}
	}
}

func (c *Carrier) announce(t Tag, f Fate, why string) {
	select {
	case c.tidings <- tiding{t, f, why}:
	default:
	}
}

// received deals with one report. It returns false for one of a message that is not known here.
func (c *Carrier) received(ctx context.Context, others *sync.WaitGroup, r report) bool {
	fate, why, tags := r.fate, r.why, []Tag{r.tag}
	if r.gateway != "" {
		switch s := r.receipt.State; {
		case s == smpp.Delivered:
			fate = Arrived
		case s.Failed():
			fate, why = Lost, r.words()
		default:
			return true // on its way
		}
		tags = nil
		for _, id := range smpp.IDs(r.receipt.ID) {
			tags = append(tags, TagOf(r.gateway, id))
		}
	}
	for _, t := range tags {
		c.mu.Lock()
		d := c.followed[t]
		c.mu.Unlock()
		if d != nil {
			c.settle(ctx, others, d, t, fate, why, r.gateway == "")
			return true
		}
	}
	return r.gateway == "" // what others make known of others' messages is known to them
}

// words are why the message of a report did not arrive.
func (r report) words() string {
	if r.why != "" {
		return r.why
	}
	return failure(r.receipt)
}

func failure(r smpp.Receipt) string {
	if r.Error == "" {
		return r.State.String()
	}
	return r.State.String() + ", error " + r.Error
}

// settle takes what is said of one part of d. learned says that another server has told the
// group.
func (c *Carrier) settle(ctx context.Context, others *sync.WaitGroup, d *delivery, t Tag, f Fate, why string, learned bool) {
	c.mu.Lock()
	d.told = d.told || learned && t == d.first
	at := slices.Index(d.now, t)
	if at < 0 || d.fate != Open { // of a gateway that was given up, or once more
		c.mu.Unlock()
		return
	}
	d.now = slices.Delete(d.now, at, at+1)
	g, whole := d.g, f == Arrived && len(d.now) == 0
	switch {
	case whole:
		d.fate = Arrived
	case f == Lost:
		d.now, d.fate = nil, Resent // until it is known whether it is
	}
	c.mu.Unlock()
	if whole || f == Lost {
		c.became(g, f, why)
	}
	if whole { // whoever waits for that finds it counted
		c.mu.Lock()
		d.end(Arrived)
		c.mu.Unlock()
	}
	if f == Lost {
		c.Log.Warn("a gateway took a message that did not arrive", "gateway", g.Name, "receipt", why)
		others.Go(func() { c.resend(ctx, d, why) })
	}
}

var errNoOther = errors.New("there is no other gateway")

// resend sends a message that was lost by those gateways that have not been tried, and tells
// the group if that is not possible.
func (c *Carrier) resend(ctx context.Context, d *delivery, why string) {
	ctx, cancel := context.WithTimeout(ctx, againTimeout)
	defer cancel()
	g, r, err := c.other(ctx, d)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.Log.Warn("a message that did not arrive could not be sent in another way", "error", err)
		d.end(Lost)
		c.announce(d.first, Lost, why)
		return
	}
	if d.by(c, g, r); !r.follows {
		d.end(Resent)
	}
	if d.told { // by somebody who does not know that
		c.announce(d.first, Resent, "")
	}
}

// other sends d by the next gateway that takes it.
func (c *Carrier) other(ctx context.Context, d *delivery) (mfa.Gateway, Receipt, error) {
	c.mu.Lock()
	m, void := d.m, d.void
	c.mu.Unlock()
	if void || m.Once || !c.Now().Before(m.Until) {
		return mfa.Gateway{}, Receipt{}, errors.New("it is of no use any more")
	}
	m.Instead, m.again = "", true
	ways, err := allowed(c.ways(m), m)
	if err != nil {
		return mfa.Gateway{}, Receipt{}, err
	}
	ways = slices.DeleteFunc(ways, func(g mfa.Gateway) bool { return slices.Contains(d.tried, g.Name) })
	if len(ways) == 0 {
		return mfa.Gateway{}, Receipt{}, errNoOther
	}
	if err := c.Again(ctx, m); err != nil {
		return mfa.Gateway{}, Receipt{}, err
	}
	var failed []error
	for i, g := range ways {
		r, err := c.try(ctx, g, m, len(ways)-i)
		if err == nil {
			return g, r, nil
		}
		failed = append(failed, err)
	}
	return mfa.Gateway{}, Receipt{}, fmt.Errorf("%w: %w", errNoOther, errors.Join(failed...))
}

// tend looks again at receipts of messages that were not known, and at what is over.
func (c *Carrier) tend(ctx context.Context, others *sync.WaitGroup) {
	now := c.Now()
	c.mu.Lock()
	waiting := c.early
	c.early = nil
	var missed []mfa.Gateway
	for t, d := range c.followed {
		if d.fate == Open && !d.missed && !now.Before(d.m.Until) {
			d.missed = true
			missed = append(missed, d.g)
		}
		if now.Sub(d.m.Until) > remembered {
			delete(c.followed, t)
		}
	}
	c.mu.Unlock()
	for _, g := range missed {
		c.became(g, Open, "")
	}
	for _, r := range waiting {
		switch {
		case c.received(ctx, others, r):
		case now.Sub(r.at) < unknownFor:
			c.mu.Lock()
			c.early = append(c.early, r)
			c.mu.Unlock()
		case c.foreign.AllowN(now, 1):
			c.publish(r)
		}
	}
	c.closeUnused()
}

// publish tells the group of a receipt for a message that another server has sent, perhaps, or
// somebody else with the same account.
func (c *Carrier) publish(r report) {
	f, why := Arrived, ""
	if r.receipt.State.Failed() {
		f, why = Lost, r.words()
	}
	for _, id := range smpp.IDs(r.receipt.ID) {
		c.announce(TagOf(r.gateway, id), f, why)
	}
}

// closeUnused closes the ways to gateways that are set up in another way now, or are no more.
func (c *Carrier) closeUnused() {
	all := c.Gateways()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, o := range c.open {
		if !slices.ContainsFunc(all, func(g mfa.Gateway) bool { return g.Name == name && g.Changed.Equal(o.changed) }) {
			o.close()
			delete(c.open, name)
		}
	}
}
