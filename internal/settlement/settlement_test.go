package settlement

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/mfa"
)

var (
	t0     = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	second = Limits{Tries: 5, Lock: 15 * time.Minute}
	first  = Limits{Tries: 10, Lock: 15 * time.Minute}
)

func leg(n byte) mfa.LegID { return mfa.LegID{0: 1, 15: n} }

func sample() Record {
	return Record{
		Fails:  Count{N: 3, Last: t0},
		First:  Count{N: 10, Last: t0, Until: t0.Add(time.Hour)},
		Floors: Floors{{"aaaaaaaaaaaaaaaa", mfa.Floor{Next: 58_000_001, Drift: -2}}, {"bbbbbbbbbbbbbbbb", mfa.Floor{Spent: 5}}},
		Nonces: []Nonce{{ID: 1 << 63, Until: t0.Add(2 * time.Minute)}},
		Legs:   []Leg{{ID: leg(1), Attempt: mfa.AttemptID{9}, Reason: mfa.OK, Time: t0, Server: TagOf("one")}, {ID: leg(2), Reason: mfa.WrongCode, Time: t0}},
	}
}

func TestCodecRoundTrip(t *testing.T) {
	for name, r := range map[string]Record{"zero": {}, "sample": sample()} {
		b, err := r.MarshalBinary()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got Record
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, want %+v", name, got, r)
		}
	}
}

func TestTypicalRecordIsSmall(t *testing.T) {
	r := Record{}
	for i := range byte(20) {
		at := t0.Add(time.Duration(i) * time.Hour)
		var err error
		r, err = r.Apply(Change{Leg: leg(i), Attempt: mfa.AttemptID{i}, Reason: mfa.OK, Time: at, Credential: "aaaaaaaaaaaaaaaa",
			Floor: mfa.Floor{Next: uint64(at.Unix() / 30)}, Nonce: Nonce{ID: uint64(i) + 1, Until: at.Add(2 * time.Minute)}, Clear: true}, second, first)
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := r.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 220 {
		t.Errorf("a record after 20 hourly sign-ins has %d bytes, want at most 220", len(b))
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	good, err := sample().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"empty":         {},
		"other version": append([]byte{3}, good[1:]...),
		"rest":          append(bytes.Clone(good), 0),
		"cut":           good[:len(good)-1],
		"oversized":     make([]byte, MaxSize+1),
		"huge count":    {version, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
	}
	for name, b := range tests {
		r := sample()
		if err := r.UnmarshalBinary(b); err == nil {
			t.Errorf("%s: decoded", name)
		} else if !reflect.DeepEqual(r, sample()) {
			t.Errorf("%s: the record was changed by a refused decoding", name)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	good, _ := sample().MarshalBinary()
	f.Add(good)
	f.Add([]byte{versionPlain, 0, 0, 0, 0, 0, 0, 0, 0, 1, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 9})
	f.Add([]byte{version, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if r.UnmarshalBinary(b) != nil {
			return
		}
		again, err := r.MarshalBinary()
		if len(b) > 0 && b[0] == versionPlain { // read and not written: the rest must come back
			if err != nil {
				return // a tag for each leg no longer fits
			}
			var n Record
			if err := n.UnmarshalBinary(again); err != nil || !reflect.DeepEqual(n, r) {
				t.Errorf("%x decodes and encodes to %x (%v)", b, again, err)
			}
			return
		}
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes and encodes to %x (%v)", b, again, err)
		}
	})
}

func TestLockAfterTries(t *testing.T) {
	r := Record{}
	now := t0
	for i := range 5 {
		if r.Fails.LockedAt(now) {
			t.Fatalf("locked after %d failures", i)
		}
		r, _ = r.Apply(Change{Leg: leg(byte(i)), Time: now, Reason: mfa.WrongCode, Fail: true}, second, first)
		now = now.Add(time.Second)
	}
	if !r.Fails.LockedAt(now) {
		t.Fatal("not locked after 5 failures")
	}
	if r.First.LockedAt(now) {
		t.Error("second-factor failures locked the first factor")
	}
	end := r.Fails.Until
	if !r.Fails.LockedAt(end.Add(-time.Second)) || r.Fails.LockedAt(end) {
		t.Errorf("the lock ends at %v in neither sense", end)
	}
	r, _ = r.Apply(Change{Leg: leg(9), Time: end, Reason: mfa.WrongCode, Fail: true}, second, first)
	if r.Fails.N != 1 || r.Fails.LockedAt(end) {
		t.Errorf("the first failure after a lock: count %d locked %v, want 1 and false", r.Fails.N, r.Fails.LockedAt(end))
	}
}

func TestOldFailuresExpireAndSuccessClears(t *testing.T) {
	r, _ := Record{}.Apply(Change{Leg: leg(1), Time: t0, Fail: true, FirstFail: true}, second, first)
	later, _ := r.Apply(Change{Leg: leg(2), Time: t0.Add(15 * time.Minute), Fail: true}, second, first)
	if later.Fails.N != 1 {
		t.Errorf("a failure 15 minutes later: count %d, want 1", later.Fails.N)
	}
	code, _ := r.Apply(Change{Leg: leg(3), Time: t0, Reason: mfa.OK, Clear: true}, second, first)
	if code.Fails != (Count{}) || code.First != r.First {
		t.Errorf("after a right code: %+v %+v, want none and what there was", code.Fails, code.First)
	}
	password, _ := r.Apply(Change{Leg: leg(3), Time: t0, Reason: mfa.ExemptUser, FirstClear: true}, second, first)
	if password.Fails != r.Fails || password.First != (Count{}) {
		t.Errorf("after a right password: %+v %+v, want what there was and none", password.Fails, password.First)
	}
}

func TestFullRecordRefuses(t *testing.T) {
	r := Record{}
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		id := mfa.LegID{0: 1, 1: byte(n >> 8), 2: byte(n)}
		r, err = r.Apply(Change{Leg: id, Time: t0, Nonce: Nonce{ID: uint64(n) + 1, Until: t0.Add(time.Minute)}}, second, first)
	}
	if !errors.Is(err, mfa.TooManyAttempts) {
		t.Fatalf("after %d legs in one second: %v, want too_many_attempts", n, err)
	}
	for i := range n - 1 {
		if !r.Spent(uint64(i) + 1) {
			t.Fatalf("nonce %d was evicted before it expired", i+1)
		}
	}
	if room, err := r.Apply(Change{Leg: leg(200), Time: t0.Add(legLeast + time.Second)}, second, first); err != nil || !room.Spent(1) {
		t.Errorf("half a minute later: %v, first nonce spent %v; want room, and every nonce", err, room.Spent(1))
	}
	unlocked := r.Unlock()
	if next, err := unlocked.Apply(Change{Leg: leg(200), Time: t0}, second, first); err != nil || !next.Spent(1) || len(unlocked.Legs) != legMin {
		t.Errorf("unlocked: %v, first nonce spent %v, %d legs; want room, every nonce and the last legs", err, next.Spent(1), len(unlocked.Legs))
	}
	r, err = r.Apply(Change{Leg: leg(200), Time: t0.Add(time.Hour)}, second, first)
	if err != nil || len(r.Nonces) != 0 || len(r.Legs) > legMin {
		t.Errorf("an hour later: %v, %d nonces, %d legs; want room", err, len(r.Nonces), len(r.Legs))
	}
}

// Whatever is applied or merged in whatever order, no floor falls, no spent code
// returns, and merging twice is merging once.
func TestFloorsOnlyRise(t *testing.T) {
	creds := []mfa.CredentialID{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		r := Record{}
		now := t0
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(-30, 600).Draw(t, "seconds")) * time.Second)
			before := slices.Clone(r.Floors)
			cred := rapid.SampledFrom(creds).Draw(t, "credential")
			floor := mfa.Floor{Next: rapid.Uint64Range(0, 50).Draw(t, "next"), Spent: rapid.Uint64Range(0, 15).Draw(t, "spent"), Drift: rapid.IntRange(-3, 3).Draw(t, "drift")}
			id := leg(byte(i))
			if rapid.Bool().Draw(t, "merge") {
				s := mfa.Settled{Leg: id, Time: now, Credential: cred, Floor: floor, Failures: rapid.IntRange(0, 1).Draw(t, "failed")}
				once, _ := r.Merge(s, second, first, now)
				twice, changed := once.Merge(s, second, first, now)
				if changed || !reflect.DeepEqual(once, twice) {
					t.Fatalf("merging twice: %+v, then %+v", once, twice)
				}
				r = once
			} else {
				n, err := r.Apply(Change{Leg: id, Time: now, Credential: cred, Floor: floor, Fail: rapid.Bool().Draw(t, "fail")}, second, first)
				if err != nil {
					t.Fatal(err)
				}
				r = n
			}
			for c, b := range before.All() {
				if f := r.Floors.Of(c); f.Next < b.Next || f.Spent&b.Spent != b.Spent {
					t.Fatalf("floor of %s fell from %+v to %+v", c, b, f)
				}
			}
		}
	})
}

// The clock ran a day ahead and was set back: what was settled meanwhile must not fill the record.
func TestClockSetBackDoesNotFillTheRecord(t *testing.T) {
	var r Record
	settle := func(n int, now time.Time) {
		t.Helper()
		next, err := r.Apply(Change{Leg: mfa.LegID{byte(n >> 8), byte(n)}, Reason: mfa.OK, Time: now}, second, first)
		if err != nil {
			t.Fatalf("leg %d at %v: %v", n, now, err)
		}
		r = next
	}
	for n := range 5 {
		settle(n, t0.Add(24*time.Hour))
	}
	for n := 5; n < 500; n++ {
		settle(n, t0.Add(time.Duration(n)*time.Minute))
	}
}
