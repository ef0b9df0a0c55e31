package smpp

import (
	"strings"
	"testing"
)

func TestParts(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int
	}{
		{"", 1}, {strings.Repeat("a", 160), 1}, {strings.Repeat("a", 161), 2}, {strings.Repeat("a", 306), 2}, {strings.Repeat("a", 307), 3},
		{strings.Repeat("€", 80), 1}, {strings.Repeat("€", 81), 2}, {"a" + strings.Repeat("€", 80), 2}, {strings.Repeat("ß", 160), 1},
		{strings.Repeat("я", 70), 1}, {strings.Repeat("я", 71), 2}, {strings.Repeat("я", 134), 2}, {strings.Repeat("я", 135), 3},
		{strings.Repeat("😀", 35), 1}, {strings.Repeat("😀", 36), 2}, {strings.Repeat("😀", 66), 2}, {strings.Repeat("😀", 67), 3},
	} {
		if got := Parts(tt.text); got != tt.want {
			t.Errorf("%d bytes beginning with %.3q: %d parts, want %d", len(tt.text), tt.text, got, tt.want)
		}
	}
}
