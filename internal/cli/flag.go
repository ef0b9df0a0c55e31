package cli

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// span is a duration that a person writes: 15m, 36h, 7d, 2w.
type span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *span) UnmarshalText(b []byte) error {
	text := string(b)
	for unit, d := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, err := strconv.ParseUint(strings.TrimSuffix(text, unit), 10, 16); err == nil && strings.HasSuffix(text, unit) {
			*s = span(time.Duration(n) * d)
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no duration; write 15m, 36h, 7d or 2w", text)
	}
	*s = span(d)
	return nil
}

// seconds is how the API wants a span.
func (s span) seconds() int64 { return int64(time.Duration(s) / time.Second) }

// codeMax is how long an activation code lives at most; the API says so of its own field.
const codeMax = 24 * time.Hour

// codeLife is seconds of the flag --ttl of an activation code.
func (s span) codeLife() (int64, error) {
	if d := time.Duration(s); d < time.Second || d > codeMax {
		return 0, usage("--ttl %s: a code lives a second at least and 24h at most", d)
	}
	return s.seconds(), nil
}

// instant is a time that a person writes: RFC 3339, a date, or a span before now.
type instant string

// in returns the time; zero for "".
func (i instant) in(now time.Time, loc *time.Location) (time.Time, error) {
	if i == "" {
		return time.Time{}, nil
	}
	t, s, ok := parseTime(string(i), loc)
	if !ok {
		return time.Time{}, usage("%q is no time; write 2026-11-24, 2026-11-24T08:00:00Z, or 2h for two hours ago", string(i))
	}
	if t.IsZero() {
		t = now.Add(-s)
	}
	return t, nil
}

// query is the time as the API takes it; "" for "".
func (i instant) query(e *env) (string, error) {
	t, err := i.in(e.Now(), e.Location)
	if err != nil || t.IsZero() {
		return "", err
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}

// deadline is the same ahead: a span is one from now.
type deadline string

// in returns the time; nil for "".
func (d deadline) in(now time.Time, loc *time.Location) (*time.Time, error) {
	if d == "" {
		return nil, nil
	}
	t, s, ok := parseTime(string(d), loc)
	if !ok {
		return nil, usage("%q is no time; write 2026-11-24, 2026-11-24T08:00:00Z, or 30d for thirty days from now", string(d))
	}
	if t.IsZero() {
		t = now.Add(s)
	}
	return &t, nil
}

// parseTime reads a time or, with a zero time, a span.
func parseTime(text string, loc *time.Location) (time.Time, time.Duration, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, loc); err == nil {
			return t, 0, true
		}
	}
	var s span
	err := s.UnmarshalText([]byte(text))
	return time.Time{}, time.Duration(s), err == nil
}

// many is a list that was given, or nil: not given. An empty item clears the list.
func many(s []string) *[]string {
	if s == nil {
		return nil
	}
	out := []string{}
	for _, v := range s {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return &out
}

// query makes a query of the pairs whose value is not empty.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}
