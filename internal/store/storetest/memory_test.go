package storetest

import (
	"errors"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/store"
)

func TestOnMemory(t *testing.T) {
	Run(t, func(*testing.T) store.KV { return &Memory{} })
}

func TestMemoryFaults(t *testing.T) {
	next := None
	m := &Memory{Fault: func(map[string][]byte, []string) Fault { return next }}
	for _, tt := range []struct {
		name  string
		fault Fault
		want  error
		done  bool
	}{
		{"refused", Refused, mfa.ErrUnavailable, false},
		{"lost before", LostBefore, mfa.ErrUnknownOutcome, false},
		{"lost after", LostAfter, mfa.ErrUnknownOutcome, true},
	} {
		next = tt.fault
		_, _, err := m.Commit(t.Context(), nil, map[string][]byte{tt.name: []byte("x")}, nil)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if _, rev, _ := m.Get(t.Context(), tt.name); (rev != 0) != tt.done {
			t.Errorf("%s: written %v, want %v", tt.name, rev != 0, tt.done)
		}
	}
}

func TestMemoryCompactionStartsOver(t *testing.T) {
	m := &Memory{}
	c := follow(t, m, "")
	if got := <-c; got.rev != 0 || got.key != "" {
		t.Fatalf("first %+v", got)
	}
	<-c
	m.Hold()
	must(t, m, map[string]string{"a": "1"})
	m.Compact()
	m.Release()
	if got := <-c; got != (told{gone: true}) {
		t.Errorf("after a missed compaction it says %+v, want forget everything", got)
	}
	if got := <-c; got.key != "a" {
		t.Errorf("then %+v, want a", got)
	}
}
