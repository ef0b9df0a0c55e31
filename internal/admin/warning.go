package admin

import (
	"cmp"
	"slices"

	"countersign/internal/policy"
)

// SettingWarning is a warning about a setting, and where the setting is.
type SettingWarning struct {
	Application string // its name; "": the group's defaults
	policy.Warning
}

// SettingWarnings returns what is too open about the group's settings now, what weighs most
// first. Applications that are switched off are passed over.
func (s *Service) SettingWarnings() (all []SettingWarning) {
	for _, w := range s.Settings.Settings().Warnings() {
		all = append(all, SettingWarning{"", w})
	}
	now := s.Now()
	for _, a := range s.Applications.Applications() {
		if a.Disabled {
			continue
		}
		for _, w := range policy.ApplicationWarnings(a, now) {
			all = append(all, SettingWarning{a.Name, w})
		}
	}
	slices.SortStableFunc(all, func(a, b SettingWarning) int { return cmp.Compare(b.Weight, a.Weight) })
	return all
}

// String says it in one line.
func (w SettingWarning) String() string {
	if w.Application == "" {
		return "policy: " + w.Setting + ": " + w.Text
	}
	return "application " + w.Application + ": " + w.Setting + ": " + w.Text
}

// sentences returns warnings about one thing as the API shows them.
func sentences(ws []policy.Warning) []string {
	out := make([]string, len(ws))
	for i, w := range ws {
		out[i] = w.Setting + ": " + w.Text
	}
	return out
}
