package store

import (
	"slices"
	"testing"
	"time"
)

// An epoch that ends before a server has merged its trail leaves that to the next one.
func TestHoldIsCarriedOver(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		before *EpochHold
		want   []string
	}{
		"nothing was held":         {nil, []string{"n1"}},
		"it was released":          {&EpochHold{Awaits: []string{"n3"}, ReleasedBy: "root", ReleasedAt: now}, []string{"n1"}},
		"n3 has not merged":        {&EpochHold{Awaits: []string{"n3", "n1"}, Merged: []string{"n2"}}, []string{"n1", "n3"}},
		"all that it awaits, here": {&EpochHold{Awaits: []string{"n1"}}, []string{"n1"}},
	} {
		h := EpochHold{Awaits: []string{"n1"}}
		if h.Carry(c.before); !slices.Equal(h.Awaits, c.want) {
			t.Errorf("%s: awaits %v, want %v", name, h.Awaits, c.want)
		}
	}
}
