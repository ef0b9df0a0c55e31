package node

import (
	"context"
	"errors"

	"countersign/internal/gateway"
	"countersign/internal/mfa"
)

// What becomes of messages: the server that sent a code keeps it in memory while somebody may
// wait for it, and sends it by another gateway if a receipt says that it did not arrive. What
// others have to know, because the receipt came to them or the user answers there, is in the
// database (gd/TAG).

// fateNames are the fates as the group is told of them.
var fateNames = map[gateway.Fate]string{gateway.Arrived: mfa.FateArrived, gateway.Lost: mfa.FateLost, gateway.Resent: mfa.FateResent}

// Fate implements sent.Sender.
func (p sending) Fate(ctx context.Context, message [6]byte) mfa.Reason {
	if f, mine := p.s.carrier.Fate(message); mine {
		switch f {
		case gateway.Lost:
			return mfa.MessageUndelivered
		case gateway.Open:
			return mfa.MessageUnconfirmed
		}
		return mfa.ReasonNone
	}
	d, err := p.s.store.Delivery(ctx, message[:])
	switch {
	case err == nil && d.Fate == mfa.FateLost:
		return mfa.MessageUndelivered
	case err != nil && !errors.Is(err, mfa.ErrNotFound):
		p.s.own.Debug("what became of a message could not be read", "err", err)
	}
	return mfa.ReasonNone
}

// tell makes known to the group what became of a message.
func (p sending) tell(ctx context.Context, t gateway.Tag, f gateway.Fate, why string) error {
	return p.s.store.TellDelivery(ctx, mfa.Delivery{Tag: t[:], Fate: fateNames[f], Why: why})
}

// again counts a message that is sent a second time against the limits.
func (p sending) again(ctx context.Context, m gateway.Message) error {
	return p.s.store.Take(ctx, p.limits(m.Kind, m.User, m.To)...)
}

// delivered hands on what a server of the group has made known.
func (s *server) delivered(d mfa.Delivery) {
	c := s.follows.Load()
	var t gateway.Tag
	if c == nil || len(d.Tag) != len(t) {
		return
	}
	copy(t[:], d.Tag)
	for f, name := range fateNames {
		if name == d.Fate && f != gateway.Resent { // that is what this server has told, or what it need not know
			c.Learn(t, f, d.Why)
		}
	}
}
