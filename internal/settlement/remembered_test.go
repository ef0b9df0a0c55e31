package settlement

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func at(sec int) time.Time { return t0.Add(time.Duration(sec) * time.Second) }

// remembering applies one success to r.
func remembering(t *testing.T, r Record, place uint64, sec int) Record {
	t.Helper()
	n, err := r.Apply(Change{Leg: mfa.LegID{byte(place), byte(sec), 1}, Reason: mfa.OK, Time: at(sec), Remember: Success{Place: place, Credential: "token", Time: at(sec)}}, second, first)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRememberedSuccesses(t *testing.T) {
	var r Record
	for n := range 10 {
		r = remembering(t, r, uint64(n), n)
	}
	if len(r.Remembered) != RememberedMost || r.Remembered[0].Place != 2 {
		t.Errorf("kept %+v", r.Remembered)
	}
	r = remembering(t, r, 9, 20)
	if s, ok := r.Since(9, time.Minute, at(79)); !ok || !s.Time.Equal(at(20)) {
		t.Errorf("the newer one of a place: %+v %t", s, ok)
	}
	for what, found := range map[string]bool{
		"too old":             func() bool { _, ok := r.Since(9, time.Minute, at(80)); return ok }(),
		"another place":       func() bool { _, ok := r.Since(1, time.Hour, at(21)); return ok }(),
		"before it was":       func() bool { _, ok := r.Since(9, time.Hour, at(19)); return ok }(),
		"longer than is kept": func() bool { _, ok := r.Since(9, time.Hour, at(620)); return ok }(),
		"no age":              func() bool { _, ok := r.Since(9, 0, at(20)); return ok }(),
		"forgotten":           func() bool { _, ok := r.ForgetSuccesses().Since(9, time.Minute, at(21)); return ok }(),
	} {
		if found {
			t.Errorf("%s: found", what)
		}
	}
	b, err := r.MarshalBinary()
	if err != nil || b[0] != versionRemembering {
		t.Fatalf("written as version %d, %v", b[0], err)
	}
	var got Record
	if err := got.UnmarshalBinary(b); err != nil || !slices.EqualFunc(got.Remembered, r.Remembered, func(a, b Success) bool {
		return a.Place == b.Place && a.Credential == b.Credential && a.Time.Equal(b.Time)
	}) {
		t.Errorf("read back %+v, %v", got.Remembered, err)
	}
	if plain, err := r.ForgetSuccesses().MarshalBinary(); err != nil || !bytes.Equal(Forgotten(b), plain) || !bytes.Equal(Forgotten(plain), plain) {
		t.Errorf("forgotten as it is written: %x, %v", Forgotten(b), err)
	}
	for _, odd := range [][]byte{nil, {versionRemembering}, b[:len(b)-1]} {
		if !bytes.Equal(Forgotten(odd), odd) {
			t.Errorf("%x became %x", odd, Forgotten(odd))
		}
	}
	if b, err = r.ForgetSuccesses().MarshalBinary(); err != nil || b[0] != version {
		t.Errorf("without them it is of version %d: programs that know none read it; %v", b[0], err)
	}
}

// What is remembered makes room for what must be kept, and no merge brings it elsewhere.
func TestRememberedIsAComfort(t *testing.T) {
	var r Record
	for n := range 4 {
		r = remembering(t, r, uint64(n), 0)
	}
	for n := 0; r.size() < MaxSize-200; n++ {
		r.Nonces = append(r.Nonces, Nonce{ID: uint64(n + 1), Until: at(3600)})
	}
	for n := 0; n < 20 && len(r.Remembered) > 1; n++ {
		var err error
		if r, err = r.Apply(Change{Leg: mfa.LegID{9, byte(n)}, Reason: mfa.WrongCode, Time: at(1), Fail: true}, second, first); err != nil {
			t.Fatalf("settlement %d was refused for what is remembered: %v", n, err)
		}
	}
	if len(r.Remembered) > 1 {
		t.Error("it was kept, and the record is full")
	}
	other := remembering(t, Record{}, 7, 0)
	if n, _ := (Record{}).Rejoin(Record{}, other, second, first, at(1)); len(n.Remembered) != 0 {
		t.Errorf("another epoch's is taken over: %+v", n.Remembered)
	}
	if n, _ := (Record{}).Merge(mfa.Settled{Leg: mfa.LegID{1}, Reason: mfa.OK, Time: at(0)}, second, first, at(1)); len(n.Remembered) != 0 {
		t.Errorf("a side's alone is taken over: %+v", n.Remembered)
	}
}
