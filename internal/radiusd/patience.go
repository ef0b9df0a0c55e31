package radiusd

import (
	"context"
	"log/slog"
	"time"

	"countersign/internal/mfa"
)

// told is when a request that is being worked on has come: a client repeats it until it gives up.
type told struct {
	begun, last time.Time
	gap         time.Duration // the longest between two of them
	repeats     int
}

func (t *told) again(now time.Time) {
	t.gap = max(t.gap, now.Sub(t.last))
	t.last = now
	t.repeats++
}

// slackGap is how much later than usual a repetition may come, before the client counts as gone.
const slackGap = 500 * time.Millisecond

// leastGap is below what any client repeats a request in.
const leastGap = time.Second

// gone reports whether a client that has repeated its request does so no longer.
func (t told) gone(now time.Time) bool {
	gap := max(t.gap, leastGap)
	return t.repeats > 0 && now.Sub(t.last) > gap+gap/2+slackGap
}

// patience returns how long the client waited before it gave up, if it did before the answer
// left at now. A client that has repeated its request and then stopped gave up after one more
// such gap. One that sent a new request of the same sign-in instead (superseded) gave up by then.
func (t told) patience(now time.Time, superseded bool) (mfa.Patience, bool) {
	switch {
	case t.begun.IsZero():
		return mfa.Patience{}, false
	case t.gone(now):
		return found(t.last.Add(t.gap).Sub(t.begun), t.gap, now), true
	case superseded:
		return found(now.Sub(t.begun), t.gap, now), true
	}
	return mfa.Patience{}, false
}

func found(after, every time.Duration, now time.Time) mfa.Patience {
	return mfa.Patience{GivesUp: max(after.Round(time.Second), time.Second), Every: every.Round(time.Millisecond), Seen: now.Truncate(time.Second)}
}

// patienceKept is how long the record of a client is good enough if what is seen is about the
// same: it is written for administrators, not for each sign-in.
const patienceKept = time.Hour

// watch looks at what a client did while its request waited for a person, and records and
// reports one that gives up too early.
func (s *Server) watch(j *job, t told, why mfa.Reason) {
	now := s.Now()
	p, ok := t.patience(now, why == mfa.Superseded)
	if !ok || p.GivesUp >= s.Waiting() {
		return
	}
	s.recordPatience(j, p, now)
	s.Metrics.RADIUS(GaveUp)
	s.complain(slog.LevelWarn, GaveUp.String(), j.addr, "RADIUS client gave up before its user had answered on a device or phone; an answer that comes later serves its next request",
		"application", j.client.app.Name, "gave_up_after", p.GivesUp, "repeated_every", p.Every, "user_has", s.Waiting(),
		"next", "raise the client's RADIUS time-out beyond user_has in all; application show names the figure")
}

// recordPatience keeps what was seen for administrators, unless about the same is kept already.
func (s *Server) recordPatience(j *job, p mfa.Patience, now time.Time) {
	known, had := s.NASes.NAS(j.peer.app, j.addr)
	if had && known.Patience.GivesUp == p.GivesUp && now.Sub(known.Patience.Seen) < patienceKept {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.deadlines.base), recordTimeout)
	defer cancel()
	if err := s.NASes.RecordNAS(ctx, mfa.NAS{Application: j.peer.app, Address: j.addr, FirstSeen: now, Patience: p}); err != nil {
		s.complain(slog.LevelWarn, "record", j.addr, "could not record that this RADIUS client gives up too early; its next sign-in tries again", "error", err)
	}
}
