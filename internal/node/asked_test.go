package node

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/trail"
)

// Challenges that nobody has answered when the server stops, by itself or not, are found by
// the next start, though the mark has passed them; answered ones and those of long ago are not.
func TestOpenChallengesAreFound(t *testing.T) {
	for name, clean := range map[string]bool{"killed": false, "stopped": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				b := newBench()
				if _, err := b.recover(ctx); err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() { done <- b.run(ctx) }()
				lasts := b.settings().Handle.Duration()
				var want []mfa.AttemptID
				const seconds = 400
				for n := range seconds {
					now := time.Now()
					a := mfa.Attempt{ID: mfa.AttemptID{1, byte(n >> 8), byte(n)}, Time: now, User: "u1"}
					b.Append(ctx, mfa.Record{Asked: &mfa.Asked{Nonce: uint64(n + 1), Until: now.Add(lasts), Attempt: a}})
					over := seconds-n > int(lasts/time.Second)
					if n%3 == 0 || over { // answered, or recorded as unanswered
						b.Append(ctx, mfa.Record{Attempt: &a})
					} else {
						want = append(want, a.ID)
					}
					time.Sleep(time.Second)
				}
				stop()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if clean {
					if err := b.close(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if b.mark.Position.Seq < b.trail.Head().Seq-50 || b.mark.Open.Seq == 0 || b.mark.Open.Seq < 300 {
					t.Errorf("mark at %d, challenges from %d, of %d: want both to have moved", b.mark.Position.Seq, b.mark.Open.Seq, b.trail.Head().Seq)
				}
				next := newBench()
				next.trail, next.ledger.trail, next.mark = b.trail, b.trail, b.mark
				if _, err := next.recover(t.Context()); err != nil {
					t.Fatal(err)
				}
				var got []mfa.AttemptID
				for _, a := range next.open {
					got = append(got, a.Attempt.ID)
				}
				if len(want) < 70 || !slices.Equal(got, want) {
					t.Errorf("found %d open challenges, want %d: the same in the order of their end", len(got), len(want))
				}
				time.Sleep(lasts + time.Minute) // all over; the mark needs to look back no more
				next.Append(t.Context(), mfa.Record{Attempt: &mfa.Attempt{}})
				if err := next.close(t.Context()); err != nil || next.mark.Open != (trail.Position{}) {
					t.Errorf("mark %+v, %v; want no open challenges before it", next.mark, err)
				}
			})
		})
	}
}
