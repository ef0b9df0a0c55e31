package node

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/admin"
	"countersign/internal/policy"
)

const (
	settingsInterval = time.Minute
	settingsAgain    = 24 * time.Hour // between two lines of the log about one warning
)

// watchSettings logs what is too open about the group's settings, once a day, until ctx is
// done.
func (s *server) watchSettings(ctx context.Context) error {
	tick := time.NewTicker(settingsInterval)
	defer tick.Stop()
	told := map[string]time.Time{}
	for {
		told = s.tellSettings(told)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tellSettings logs the warnings that were not told within a day, and returns when those
// that there are were told.
func (s *server) tellSettings(told map[string]time.Time) map[string]time.Time {
	now, next := s.Now(), map[string]time.Time{}
	for _, w := range s.admin.SettingWarnings() {
		if w.Weight == policy.Note {
			continue
		}
		key := w.String()
		last, known := told[key]
		if !known || now.Sub(last) >= settingsAgain {
			s.own.Warn("a setting is more open than it may look", "setting", key)
			last = now
		}
		next[key] = last
	}
	return next
}

// settingWarnings says what wants somebody's care.
func (s *server) settingWarnings() (w []string) {
	if s.witness {
		return nil
	}
	for _, one := range s.admin.SettingWarnings() {
		if one.Weight != policy.Note {
			w = append(w, one.String())
		}
	}
	return w
}

// checkSettings fails for a setting that leaves a door open; the others it only tells.
func (s *server) checkSettings() []admin.Check {
	var all []admin.Check
	if s.witness {
		return nil // it sees no settings
	}
	for _, w := range s.admin.SettingWarnings() {
		c := admin.Check{Name: "setting", Target: "policy", Layer: "policy", OK: w.Weight != policy.Open, Warning: w.Weight != policy.Open,
			Detail: w.Setting + ": " + w.Text, NextStep: "countersign policy set"}
		if w.Application != "" {
			c.Target, c.NextStep = "application "+w.Application, fmt.Sprintf("countersign application set %s", w.Application)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return []admin.Check{check("settings", "policy and applications", "policy", nil, "none is too open", "")}
	}
	return all
}

// settingMetrics counts the warnings by weight, and tells when unknown users stop passing.
type settingMetrics struct{ s *server }

var (
	warningsDesc = prometheus.NewDesc("countersign_setting_warnings",
		"Settings that are more open than they may look: note, care (wants somebody's care), open (somebody may get in without being asked).", []string{"weight"}, nil)
	unknownDesc = prometheus.NewDesc("countersign_unknown_users_pass_until_seconds",
		"When unknown users stop passing on the first factor, seconds since 1970.", []string{"application"}, nil)
)

// Describe implements prometheus.Collector.
func (settingMetrics) Describe(to chan<- *prometheus.Desc) { to <- warningsDesc; to <- unknownDesc }

// Collect implements prometheus.Collector.
func (m settingMetrics) Collect(to chan<- prometheus.Metric) {
	count := map[policy.Weight]int{policy.Note: 0, policy.Care: 0, policy.Open: 0}
	for _, w := range m.s.admin.SettingWarnings() {
		count[w.Weight]++
	}
	for weight, n := range count {
		to <- prometheus.MustNewConstMetric(warningsDesc, prometheus.GaugeValue, float64(n), weight.String())
	}
	for _, a := range m.s.store.Applications() {
		if a.UnknownPass {
			to <- prometheus.MustNewConstMetric(unknownDesc, prometheus.GaugeValue, float64(a.UnknownUntil.Unix()), a.Name)
		}
	}
}
