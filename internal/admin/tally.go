package admin

import (
	"cmp"
	"slices"

	"countersign/internal/mfa"
)

// Tally sums up counts: by span, without the application, and by everything but the span. So
// what one server answers does not grow with spans times applications. The zero value is
// empty.
type Tally map[TallyCount]int64

// Add counts. c has a span and an application.
func (t Tally) Add(c TallyCount) {
	n := c.N
	c.N = 0
	spans := c
	spans.Application, spans.Degraded = "", false
	kinds := c
	kinds.Span = AllSpans
	t[spans] += n
	t[kinds] += n
}

// Counts returns the sums in a fixed order.
func (t Tally) Counts() []TallyCount {
	all := make([]TallyCount, 0, len(t))
	for c, n := range t {
		c.N = n
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b TallyCount) int {
		return cmp.Or(cmp.Compare(a.Span, b.Span), cmp.Compare(a.Application, b.Application), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Reason, b.Reason),
			cmp.Compare(a.Verdict, b.Verdict), boolCompare(a.Degraded, b.Degraded))
	})
	return all
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// withoutSecond are the reasons for which somebody passes without a second factor.
var withoutSecond = []mfa.Reason{mfa.ExemptUser, mfa.ExemptNetwork, mfa.UnknownUserPassed, mfa.FirstFactorOnly, mfa.ExemptPolicy, mfa.Remembered}
