package settlement

import (
	"testing"
	"time"
)

// Whatever two epochs have made of a user's record, joining them loses no floor, no spent
// handle and no lock.
func FuzzRejoin(f *testing.F) {
	base, here, there := split(func(p *play) { p.fail(); p.pass(3) })
	here.pass(5)
	here.fail()
	there.spend(2)
	there.password()
	encode := func(r Record) []byte {
		b, err := r.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(encode(base), encode(here.r), encode(there.r), t0.Unix())
	f.Add(encode(Record{}), encode(sample()), encode(there.r), t0.Unix())
	f.Fuzz(func(t *testing.T, b, h, o []byte, at int64) {
		var base, here, other Record
		if base.UnmarshalBinary(b) != nil || here.UnmarshalBinary(h) != nil || other.UnmarshalBinary(o) != nil || at < 0 || at > 1<<40 {
			return
		}
		if fails, first, err := Counts(string(h)); err != nil || fails != here.Fails || first != here.First {
			t.Fatalf("counts %+v %+v %v of %+v", fails, first, err, here)
		}
		now := time.Unix(at, 0).UTC()
		before := here.Clone()
		got, changed := here.Rejoin(base, other, second, first, now)
		if !here.equal(before) && here.size() <= MaxSize {
			t.Fatal("it changed what it was given")
		}
		for _, side := range []Record{here, other} {
			for id, f := range side.Floors.All() {
				if g := got.Floors.Of(id); g.Next < f.Next || g.Spent&f.Spent != f.Spent {
					t.Errorf("floor %+v became %+v", f, g)
				}
			}
			for _, n := range side.Nonces {
				if now.Before(n.Until) && !got.Spent(n.ID) {
					t.Errorf("handle %d is no longer spent", n.ID)
				}
			}
			if side.Fails.LockedAt(now) && !got.Fails.LockedAt(now) || side.First.LockedAt(now) && !got.First.LockedAt(now) {
				t.Errorf("a lock was lost: %+v and %+v, at %s", side.Fails, got.Fails, now)
			}
		}
		if enc, err := got.MarshalBinary(); err == nil {
			var again Record
			if err := again.UnmarshalBinary(enc); err != nil || !again.equal(got) {
				t.Errorf("%x is written and not read: %v", enc, err)
			}
		} else if len(got.Legs) > 1 {
			t.Errorf("it cannot be written, and has %d legs: %v", len(got.Legs), err)
		}
		if !changed && here.size() <= MaxSize && !got.equal(here) {
			t.Error("it changed and says that it did not")
		}
		UsedTwice(base, here, other, "aaaaaaaaaaaaaaaa", time.Minute)
	})
}
