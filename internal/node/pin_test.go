package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// newPins is a group of two servers whose alice has the PIN 2468, and who judges it at each.
func newPins(t *testing.T) (*sides, [2]pinned) {
	t.Helper()
	g := newSides(t)
	t.Cleanup(g.close)
	if err := g.all[0].store.AddCredential(t.Context(), mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: g.user.ID, Method: mfa.MethodPIN, Secret: secret.FromString("2468")}); err != nil {
		t.Fatal(err)
	}
	var all [2]pinned
	for i, s := range g.all {
		s.meet()
		all[i] = pinned{server: s.name, store: s.store, trail: s.ledger, now: g.now,
			match: func(_ context.Context, _ mfa.UserID, hash, typed secret.Text) (bool, error) {
				return hash.Equal(typed), nil
			}}
	}
	return g, all
}

func (p pinned) try(t *testing.T, user mfa.UserID, typed string, want error) {
	t.Helper()
	if err := p.CheckPIN(t.Context(), user, secret.FromString(typed)); !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", typed, err, want)
	}
}

// The right PIN at the last try is right, and one behind the lock is not told from a wrong one.
func TestRightPINAtTheLastTry(t *testing.T) {
	g, all := newPins(t)
	p, user := all[0], g.user.ID
	tries := p.store.Settings().Tries
	for range tries - 1 {
		p.try(t, user, "1111", mfa.WrongPIN)
	}
	for range 3 {
		p.try(t, user, "2468", nil)
	}
	a, err := p.store.Account(t.Context(), user, true)
	if err != nil || a.Record.Fails.LockedAt(g.now()) || int(a.Record.Fails.N) != tries-1 {
		t.Errorf("%+v, %v", a.Record.Fails, err)
	}
	p.try(t, user, "1111", mfa.WrongPIN)
	p.try(t, user, "2468", mfa.Locked)
	g.advance(time.Hour)
	p.try(t, user, "2468", nil)
}

// Guesses at once, on both servers, are told no more often than the limit is.
func TestPINGuessesAtOnce(t *testing.T) {
	g, all := newPins(t)
	var told atomic.Int64
	var wg sync.WaitGroup
	for n := range 24 {
		wg.Go(func() {
			typed := "1111"
			if n%8 == 7 {
				typed = "2468"
			}
			err := all[n%2].CheckPIN(t.Context(), g.user.ID, secret.FromString(typed))
			switch {
			case errors.Is(err, mfa.WrongPIN):
				told.Add(1)
			case err != nil && !errors.Is(err, mfa.Locked) && !errors.Is(err, mfa.ErrConflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, most := told.Load(), int64(all[0].store.Settings().Tries); got > most {
		t.Errorf("%d wrong ones were told, at most %d", got, most)
	}
}

// Without a master a PIN is judged all the same, each server counts by itself, and the counts come
// together.
func TestPINWithoutMaster(t *testing.T) {
	g, all := newPins(t)
	two, p, user := g.all[1], all[1], g.user.ID
	two.cut()
	p.try(t, user, "2468", nil)
	for range p.store.Settings().Tries {
		p.try(t, user, "1111", mfa.WrongPIN)
	}
	p.try(t, user, "2468", mfa.Locked)
	all[0].try(t, user, "2468", nil) // that is not known there yet
	two.meet()
	if a, err := all[0].store.Account(t.Context(), user, true); err != nil || !a.Record.Fails.LockedAt(g.now()) {
		t.Errorf("merged: %+v, %v", a.Record.Fails, err)
	}
	all[0].try(t, user, "2468", mfa.Locked)
}
