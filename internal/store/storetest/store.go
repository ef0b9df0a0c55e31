package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	syncatomic "sync/atomic"
	"testing"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/store"
)

// Run runs RunKV, and package store on the KVs that open opens, empty ones.
func Run(t *testing.T, open func(t *testing.T) store.KV) {
	t.Run("KV", func(t *testing.T) { RunKV(t, open) })
	for name, test := range map[string]func(*testing.T, *rig){
		"a user comes, changes and goes":            userLife,
		"users that cannot be are refused":          userRefused,
		"one of many users with one login wins":     userRace,
		"no parallel change is lost":                userChanges,
		"a removed user leaves nothing":             userRemoveRace,
		"many users at once":                        bulk,
		"an attempt is settled once":                settleOnce,
		"of two credentials one stays":              oneStays,
		"a settlement holds on to what it was made": settleConditions,
		"a settlement record changes conditionally": recordChanges,
		"credentials come, change and go":           credentials,
		"a seed that was used stays used":           usedSeeds,
		"applications":                              applications,
		"directories that are named stay":           directories,
		"quotas are the whole group's":              quota,
		"one wait for one intent":                   waits,
		"a code makes one device":                   devices,
		"a block voids enrolments":                  voided,
		"a notice is claimed once":                  noticesAreClaimed,
		"the address before is told":                addressBefore,
		"gateways":                                  gateways,
		"recordings":                                recordings,
		"what became of messages":                   deliveries,
		"a directory is removed or named, not both": directoryRace,
		"API tokens":                                tokens,
		"administrators":                            administrators,
		"requests with a key":                       requests,
		"users are found by a part of a name":       search,
		"a session that ended stays ended":          sessions,
		"settings":                                  settings,
		"what is learnt of a RADIUS client stays":   nases,
		"sealed blobs":                              blobs,
		"keys rotate under load":                    rotation,
		"records are resealed by others meanwhile":  resealedMeanwhile,
		"members and their codes":                   members,
		"a planned promotion is recorded once":      swaps,
		"how an epoch began":                        epoch,
		"a server is admitted while keys rotate":    admitWhileRotating,
		"another server sees it all":                otherServer,
	} {
		t.Run(name, func(t *testing.T) {
			kv := &Watched{KV: open(t), Report: func(key string) { t.Errorf("%s was changed and the settlement record not touched", key) }}
			kv.Same = slices.Contains([]string{"keys rotate under load", "records are resealed by others meanwhile", "a server is admitted while keys rotate"}, name)
			test(t, found(t, kv))
		})
	}
}

// noon is the time in all tests.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)

// rig is a group's database and one server's store on it.
type rig struct {
	*store.Store
	kv   store.KV
	ring *keyring.Ring
	id   keyring.Identity
	told chan mfa.Delivery
	late syncatomic.Int64 // ns that it is after noon
}

// found makes the keyset of a group with one server, and opens its store.
func found(t *testing.T, kv store.KV) *rig {
	t.Helper()
	k, err := keyring.New(nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	return join(t, kv, "one", k)
}

// join admits a server and opens its store.
func join(t *testing.T, kv store.KV, server string, k keyring.Keyset) *rig {
	t.Helper()
	id, err := keyring.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutKeyset(t.Context(), kv, server, id.Recipient(), k); err != nil {
		t.Fatal(err)
	}
	return reopen(t, kv, server, id)
}

// reopen opens the store of a server as a start does.
func reopen(t *testing.T, kv store.KV, server string, id keyring.Identity) *rig {
	t.Helper()
	k, err := store.LoadKeyset(t.Context(), kv, server, id)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{kv: kv, ring: keyring.NewRing(k), id: id, told: make(chan mfa.Delivery, 10)}
	r.Store, err = store.Open(t.Context(), kv, r.ring, store.Options{Epoch: 1, Server: server, Identity: id,
		Now: func() time.Time { return noon.Add(time.Duration(r.late.Load())) }, Log: slog.New(slog.DiscardHandler),
		Delivery: func(d mfa.Delivery) {
			select {
			case r.told <- d:
			default:
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	if err := r.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// user creates a user with that login and a TOTP credential.
func (r *rig) user(t *testing.T, login string) mfa.User {
	t.Helper()
	u, err := r.CreateUser(t.Context(), mfa.User{Login: login, State: mfa.StateProtected}, []mfa.Credential{totp()})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func totp() mfa.Credential {
	return mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), Method: mfa.MethodTOTP, Secret: secret.FromString("12345678901234567890"),
		Algorithm: "SHA1", Digits: 6, Period: 30, Drawn: true, Created: noon, Confirmed: noon, By: "test"}
}

// is checks that err is what was wanted.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// same checks that two values are equal, secrets by what they hold.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := plain(reflect.ValueOf(got)), plain(reflect.ValueOf(want)); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// plain prints v with the secrets in it, and without the difference between nil and empty.
func plain(v reflect.Value) string {
	if v.IsValid() && v.CanInterface() {
		switch x := v.Interface().(type) {
		case secret.Text:
			return fmt.Sprintf("%q", x.Expose())
		case time.Time:
			return x.Format(time.RFC3339Nano)
		case fmt.Stringer:
			return x.String()
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		s := v.Type().Name() + "{"
		for i := range v.NumField() {
			s += v.Type().Field(i).Name + ":" + plain(v.Field(i)) + " "
		}
		return s + "}"
	case reflect.Slice:
		s := "["
		for i := range v.Len() {
			s += plain(v.Index(i)) + " "
		}
		return s + "]"
	case reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return plain(v.Elem())
	}
	return fmt.Sprintf("%+v", v)
}
