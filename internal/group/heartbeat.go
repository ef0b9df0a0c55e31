package group

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Seen is one run of one server as a watcher knows it.
type Seen struct {
	Name    string        // as admitted
	Group   string        // that it was admitted to
	Address string        // of its peer port, or from where it reported
	First   time.Time     // first and last heartbeat of this run, on the watcher's clock; zero: none yet
	Last    time.Time     //
	Offset  time.Duration // its clock against the watcher's; > 0: ahead
	Moved   time.Time     // when Report.Revision last changed, on the watcher's clock
	Led     time.Time     // when it first said that it leads, the last time that this began; zero: never
	Report  Report        // of the last heartbeat
}

// alive reports whether it was heard lately.
func (s *Seen) alive(now time.Time, l Limits) bool {
	return !s.Last.IsZero() && now.Sub(s.Last) <= l.Silent
}

// Leads reports whether the server says that it is the master and has its majority.
func (r Report) Leads() bool { return r.Role == "master" && r.Quorum }

// keepRuns is for how long a run of a server is remembered after another one began.
const keepRuns = time.Minute

// Heartbeats collects what servers report. The zero Heartbeats has heard nobody; it is safe
// for concurrent use.
type Heartbeats struct {
	mu   sync.Mutex
	runs map[string][]*Seen // by server's name, newest run last
}

// Beat notes a report of the server with that name, which is proven and not what r says.
// offset is its clock against ours.
func (h *Heartbeats) Beat(name, group, address string, r Report, offset time.Duration, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.runs == nil {
		h.runs = map[string][]*Seen{}
	}
	runs := slices.DeleteFunc(h.runs[name], func(s *Seen) bool { return now.Sub(s.Last) > keepRuns && s.Report.Instance != r.Instance })
	i := slices.IndexFunc(runs, func(s *Seen) bool { return s.Report.Instance == r.Instance })
	if i < 0 {
		runs = append(runs, &Seen{Name: name, First: now, Moved: now})
		i = len(runs) - 1
	}
	s := runs[i]
	if r.Leads() && !s.Report.Leads() {
		s.Led = now
	}
	if s.Report.Revision != r.Revision {
		s.Moved = now
	}
	s.Group, s.Address, s.Last, s.Offset, s.Report = group, address, now, offset, r
	h.runs[name] = runs
}

// Last returns the newest heartbeat of the server with that name.
func (h *Heartbeats) Last(name string) (Seen, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	runs := h.runs[name]
	if len(runs) == 0 {
		return Seen{}, false
	}
	return *slices.MaxFunc(runs, func(a, b *Seen) int { return a.Last.Compare(b.Last) }), true
}

// Forget drops all servers that keep does not name.
func (h *Heartbeats) Forget(keep func(name string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range h.runs {
		if !keep(name) {
			delete(h.runs, name)
		}
	}
}

// All returns every run that is remembered, by server's name, oldest first.
func (h *Heartbeats) All() []Seen {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []Seen
	for _, runs := range h.runs {
		for _, s := range runs {
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(a, b Seen) int { return cmp.Or(cmp.Compare(a.Name, b.Name), a.First.Compare(b.First)) })
	return all
}
