package cli

import (
	"slices"
	"testing"

	"countersign/internal/admin"
)

// A table of attempts tells which were decided without a master, or are on one disk alone.
func TestAttemptColumns(t *testing.T) {
	for _, c := range []struct {
		name string
		all  []admin.Attempt
		want []string
	}{
		{"none", nil, []string{"attempt_id"}},
		{"all is well", []admin.Attempt{{}, {}}, []string{"attempt_id"}},
		{"one was alone", []admin.Attempt{{}, {Degraded: true}}, []string{"attempt_id", "degraded"}},
		{"one is on one disk", []admin.Attempt{{Unreplicated: true}, {Degraded: true}}, []string{"attempt_id", "degraded", "unreplicated"}},
	} {
		if got := attemptColumns(c.all); !slices.Equal(got[9:], c.want) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
