package membership

import "time"

// Watch remembers, from one look at the members to the next, how long each has been ready.
// Its zero value has seen nobody. It is not for several goroutines at once.
type Watch struct {
	seen map[string]sight
	last time.Time
}

// gap is how long Next may not have been called for what it remembers to count: another server
// led meanwhile.
const gap = 15 * time.Second

// sight is what a Watch knows of one member.
type sight struct {
	ready   bool
	since   time.Time // it is, or is not
	doubted bool
}

// Next is the Next of package membership with Unready and Doubted of each member as they follow
// from earlier calls.
func (w *Watch) Next(now time.Time, members []Member) Step {
	if away := now.Sub(w.last); away < 0 || away > gap {
		w.seen = nil
	}
	w.last = now
	seen := make(map[string]sight, len(members))
	for i := range members {
		m := &members[i]
		ready := m.Known && m.Reachable && m.CaughtUp
		s, ok := w.seen[m.Name]
		if !ok || s.ready != ready || now.Before(s.since) {
			s.ready, s.since = ready, now
		}
		if !ready {
			m.Unready = now.Sub(s.since)
		} else if now.Sub(s.since) >= StepBackAfter {
			s.doubted = false
		}
		m.Doubted = s.doubted
		seen[m.Name] = s
	}
	w.seen = seen
	step := Next(members)
	if step.Action == Demote && step.Back {
		for name, s := range w.seen {
			s.doubted = s.doubted || !s.ready
			w.seen[name] = s
		}
	}
	return step
}
