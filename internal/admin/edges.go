package admin

import (
	"time"
)

const (
	quarter     = 15 * time.Minute
	day         = 24 * time.Hour
	maxReported = 800 * day
)

// edges are where the spans of a report begin, in UTC, and the last one's end.
func (s *Service) edges(q ReportQuery) (edges []time.Time, zone string, err error) {
	loc := time.UTC
	if q.Zone != "" {
		if loc, err = time.LoadLocation(q.Zone); err != nil || q.Zone == "Local" {
			return nil, "", invalid("zone %q is not known: want a name like Europe/Berlin", clip(q.Zone))
		}
	}
	until := q.Until
	if until.IsZero() {
		until = s.Now().Add(1) // what happens now is in
	}
	if up := until.Truncate(quarter); !up.Equal(until) {
		until = up.Add(quarter)
	}
	since := q.Since
	if since.IsZero() {
		since = until.Add(-7 * day)
	}
	since = since.Truncate(quarter)
	switch long := until.Sub(since); {
	case long < quarter:
		return nil, "", invalid("a report from %s to %s is about no time", since.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339))
	case long > maxReported:
		return nil, "", invalid("a report is about at most %d days", int(maxReported/day))
	}
	edges = []time.Time{since.UTC()}
	for at := following(since.In(loc), until.Sub(since)); at.Before(until); at = following(at, until.Sub(since)) {
		edges = append(edges, at.UTC())
	}
	return append(edges, until.UTC()), loc.String(), nil
}

// following is where the span ends that at lies in: quarter-hours, hours, days, weeks or months
// by the length of the whole.
func following(at time.Time, long time.Duration) time.Time {
	y, m, d := at.Date()
	midnight := time.Date(y, m, d, 0, 0, 0, 0, at.Location())
	var next time.Time
	switch {
	case long <= 12*time.Hour:
		return at.Truncate(quarter).Add(quarter)
	case long <= 4*day:
		next = at.Truncate(quarter).Add(time.Hour - time.Duration(at.Minute()-at.Minute()%15)*time.Minute)
	case long <= 93*day:
		next = midnight.AddDate(0, 0, 1)
	case long <= 400*day:
		next = midnight.AddDate(0, 0, 7-(int(at.Weekday())+6)%7) // weeks begin on Monday
	default:
		next = time.Date(y, m+1, 1, 0, 0, 0, 0, at.Location())
	}
	if rest := next.Sub(next.Truncate(quarter)); rest != 0 { // zones of long ago
		next = next.Add(quarter - rest)
	}
	if !next.After(at) {
		return at.Truncate(quarter).Add(quarter)
	}
	return next
}
