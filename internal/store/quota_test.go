package store

import (
	"testing"
	"time"

	"countersign/internal/mfa"
)

func TestQuotaWindowSlides(t *testing.T) {
	q := mfa.Quota{Name: "x", Window: time.Hour, Most: 4, N: 1}
	at := time.Date(2026, 11, 29, 12, 50, 0, 0, time.UTC)
	var r quotaRecord
	for i := range 5 {
		var ok bool
		if r, ok = r.take(q, at); ok != (i < 4) {
			t.Fatalf("%d: %v", i, ok)
		}
	}
	for _, tt := range []struct {
		after time.Duration
		want  bool
	}{{11 * time.Minute, false}, {24 * time.Minute, false}, {26 * time.Minute, true}, {70 * time.Minute, true}, {48 * time.Hour, true}} {
		if _, ok := r.take(q, at.Add(tt.after)); ok != tt.want {
			t.Errorf("after %s: %v, want %v", tt.after, ok, tt.want)
		}
	}
}
