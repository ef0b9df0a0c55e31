package gateway

import (
	"errors"
	"slices"
	"time"

	"countersign/internal/mfa"
)

// Health is how a gateway has fared at this server since it was started.
type Health struct {
	Sent   int           // messages that it took
	Failed int           // messages that it did not
	InARow int           // failures since the last success
	Worked time.Time     // last; zero: never
	Took   time.Duration // for the last message
	Broke  time.Time     // last failure; zero: never
	Reason mfa.Reason    // of that
	Error  string        // of that

	Delivered   int       // messages of which a receipt says that they arrived
	Undelivered int       // of which one says that they will not
	Unconfirmed int       // of which none came in time
	Doubts      int       // of the last two, since one arrived
	Doubted     time.Time // last
	Vanished    string    // what the last receipt of one that did not arrive says

	settings time.Time // of the gateway that this is about: changed settings begin anew
}

// How many messages in a row have to vanish until a gateway is taken for one that lies, and for
// how long.
const (
	doubtful = 3
	doubting = 10 * time.Minute
)

// Doubtful reports whether the gateway takes messages that do not arrive.
func (h Health) Doubtful(now time.Time) bool {
	return h.Doubts >= doubtful && now.Sub(h.Doubted) < doubting
}

// Ailing reports whether g is asked after the others for now.
func (h Health) Ailing(now time.Time) bool {
	return h.InARow > 0 && h.Reason != mfa.RecipientRefused && now.Sub(h.Broke) < ailing || h.Doubtful(now)
}

// Health returns how a gateway has fared.
func (c *Carrier) Health(g mfa.Gateway) Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.healthOf(g)
}

func (c *Carrier) healthOf(g mfa.Gateway) Health {
	if h := c.health[g.Name]; h.settings.Equal(g.Changed) {
		return h
	}
	return Health{settings: g.Changed}
}

func (c *Carrier) worked(g mfa.Gateway, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.healthOf(g)
	h.Sent, h.InARow, h.Worked, h.Took = h.Sent+1, 0, c.Now(), took
	c.health[g.Name] = h
}

func (c *Carrier) failed(g mfa.Gateway, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.healthOf(g)
	h.Failed, h.InARow, h.Broke, h.Error = h.Failed+1, h.InARow+1, c.Now(), err.Error()
	errors.As(err, &h.Reason)
	c.health[g.Name] = h
}

// became counts what became of a message that g took. Without any receipt so far, one that
// does not come says nothing about g.
func (c *Carrier) became(g mfa.Gateway, f Fate, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.healthOf(g)
	switch f {
	case Arrived:
		h.Delivered, h.Doubts = h.Delivered+1, 0
	case Lost:
		h.Undelivered, h.Doubts, h.Doubted, h.Vanished = h.Undelivered+1, h.Doubts+1, c.Now(), why
	case Open:
		h.Unconfirmed++
		if h.Delivered+h.Undelivered > 0 {
			h.Doubts, h.Doubted = h.Doubts+1, c.Now()
		}
	}
	c.health[g.Name] = h
}

// ways returns the gateways that may carry m, in the order in which they are asked: those
// that were down a moment ago after the others, and last the one that m shall not go by.
func (c *Carrier) ways(m Message) []mfa.Gateway {
	now := c.Now()
	var list []mfa.Gateway
	for _, g := range c.Gateways() {
		if g.Kind == m.Kind && !g.Disabled {
			list = append(list, g)
		}
	}
	rank := func(g mfa.Gateway) int {
		switch {
		case g.Name == m.Instead:
			return 2
		case c.Health(g).Ailing(now):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b mfa.Gateway) int { return rank(a) - rank(b) })
	return list
}
