package node

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/group"
)

const (
	alarmEvery = time.Second
	before     = 10 // s: how far back the alarms compare this server's revision
)

// alarms are what somebody must look after now. The zero alarms has none.
type alarms struct {
	log *slog.Logger

	mu    sync.Mutex
	known []*alarm
}

type alarm struct {
	group.Alarm
	raised bool // it has lasted long enough to be told
}

// update takes what is wrong at now, tells what is new in it, and what is over.
func (a *alarms) update(now time.Time, found []group.Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	same := func(x, y group.Alarm) bool { return x.Name == y.Name && x.Server == y.Server }
	a.known = slices.DeleteFunc(a.known, func(k *alarm) bool {
		over := !slices.ContainsFunc(found, func(f group.Alarm) bool { return same(f, k.Alarm) })
		if over && k.raised {
			a.log.Info("alarm over", "alarm", k.Name, "server", k.Server, "after", now.Sub(k.Since).Round(time.Second).String())
		}
		return over
	})
	for _, f := range found {
		i := slices.IndexFunc(a.known, func(k *alarm) bool { return same(f, k.Alarm) })
		if i < 0 {
			f.Since = now
			a.known = append(a.known, &alarm{Alarm: f})
			i = len(a.known) - 1
		}
		k := a.known[i]
		f.Since = k.Since
		k.Alarm = f
		if !k.raised && now.Sub(k.Since) >= group.Steady(k.Name) {
			k.raised = true
			a.log.Warn("alarm", "alarm", k.Name, "server", k.Server, "detail", k.Detail, "next", k.NextStep)
		}
	}
}

// Raised returns the alarms that are told, the weightiest first.
func (a *alarms) Raised() []group.Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []group.Alarm
	for _, k := range a.known {
		if k.raised {
			all = append(all, k.Alarm)
		}
	}
	slices.SortStableFunc(all, func(x, y group.Alarm) int {
		return slices.Index(group.AlarmNames, x.Name) - slices.Index(group.AlarmNames, y.Name)
	})
	return all
}

// watchAlarms looks each second, until ctx is done.
func (s *server) watchAlarms(ctx context.Context) error {
	tick := time.NewTicker(alarmEvery)
	defer tick.Stop()
	s.alarms.log = s.log.Logger("alarm")
	var revisions [before]int64 // of the last seconds
	for i := 0; ; i = (i + 1) % before {
		w := s.situation(revisions[i])
		if !w.Contact {
			now := s.Now()
			s.steady.Store(&now)
		}
		s.alarms.update(w.Now, group.Alarms(w))
		if st, err := s.node.Status(); err == nil {
			revisions[i] = st.Revision
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// situation is what this server knows; rev was the revision of its copy a while ago.
func (s *server) situation(rev int64) group.Situation {
	last, contact := s.store.Contact()
	w := group.Situation{Now: time.Now(), Clock: s.Now(), Contact: contact, LastContact: last, Before: rev, Coordinator: s.standing.since()}
	w.HTTPS, w.Idle = s.certExpiry(), s.idle()
	if w.Coordinator.IsZero() {
		w.Coordinator = s.started
	}
	for _, one := range s.seen() {
		if one.Name == s.Config.Name {
			w.Self = one
		} else {
			w.Others = append(w.Others, one)
		}
	}
	if s.peers == nil {
		return w
	}
	w.Answered, w.Joined = map[string]time.Time{}, map[string]time.Time{}
	for _, m := range s.peers.members() {
		if m.Name != s.Config.Name {
			w.Grouped = true
			w.Answered[m.Name], w.Joined[m.Name] = s.heard.last(m.Name), m.Joined
		}
	}
	return w
}

// alarmMetrics are all alarms there are, 1 for those that are raised.
type alarmMetrics struct{ alarms *alarms }

var alarmDesc = prometheus.NewDesc("countersign_alarm", "1: somebody must look after it; status says what to do.", []string{"name"}, nil)

// Describe implements prometheus.Collector.
func (m alarmMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- alarmDesc }

// Collect implements prometheus.Collector.
func (m alarmMetrics) Collect(ch chan<- prometheus.Metric) {
	raised := map[string]float64{}
	for _, a := range m.alarms.Raised() {
		raised[a.Name] = 1
	}
	for _, name := range group.AlarmNames {
		ch <- prometheus.MustNewConstMetric(alarmDesc, prometheus.GaugeValue, raised[name], name)
	}
}
