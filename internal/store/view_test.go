package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)

// bare is a store without a database: its view is fed by hand.
func bare(t testing.TB) *Store {
	t.Helper()
	k, err := keyring.New(nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), nil, keyring.NewRing(k), Options{Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// loaded is a store whose view is complete up to revision 1.
func loaded(t testing.TB) (*Store, func(key string, value []byte, rev int64) bool) {
	s := bare(t)
	feed := s.view.follow()
	feed("", nil, 0)
	feed("", nil, 1)
	return s, feed
}

const alice = mfa.UserID("aaaaaaaaaaaaaaaa")

// at returns the revision of the user's settlement record in the view.
func (v *view) at(id mfa.UserID) int64 {
	raw, _ := parseID(id)
	e, _ := v.entryOf(raw)
	return e.record.rev
}

func TestViewNeverGoesBackwards(t *testing.T) {
	key := recordKey(alice)
	put := func(rev int64) change { return change{key, []byte{1}, rev} }
	del := func(rev int64) change { return change{key, nil, rev} }
	type step struct {
		watch []change // then complete up to rev, if not 0
		rev   int64
		learn []change
		want  int64 // revision in the view; 0: absent
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"own write before its event", []step{{learn: []change{put(5)}, want: 5}, {watch: []change{put(5)}, rev: 5, want: 5}}},
		{"event before own write is applied", []step{{watch: []change{put(5)}, rev: 5, want: 5}, {learn: []change{put(5)}, want: 5}}},
		{"old event after own write", []step{{learn: []change{put(7)}, want: 7}, {watch: []change{put(5)}, rev: 5, want: 7}, {watch: []change{put(7)}, rev: 7, want: 7}}},
		{"own write applied late, deleted meanwhile", []step{{watch: []change{put(5), del(7)}, rev: 7, want: 0}, {learn: []change{put(5)}, want: 0}}},
		{"own deletion, late event of the put", []step{{learn: []change{put(5)}, want: 5}, {learn: []change{del(7)}, want: 0}, {watch: []change{put(5)}, rev: 5, want: 0},
			{watch: []change{put(6)}, rev: 6, want: 0}, {watch: []change{del(7)}, rev: 7, want: 0}, {learn: []change{put(6)}, want: 0}}},
		{"own deletion, then created again elsewhere", []step{{learn: []change{del(7)}, want: 0}, {watch: []change{put(9)}, rev: 9, want: 9}}},
		{"read through at the master sees it gone", []step{{watch: []change{put(5)}, rev: 5, want: 5}, {learn: []change{del(8)}, want: 0}, {watch: []change{put(6)}, rev: 6, want: 0},
			{rev: 8, want: 0}, {watch: []change{put(9)}, rev: 9, want: 9}}},
		{"own answers out of order", []step{{learn: []change{del(7)}, want: 0}, {learn: []change{put(6)}, want: 0}, {learn: []change{put(8)}, want: 8}, {learn: []change{put(7)}, want: 8}}},
		{"nothing before its revision is complete", []step{{watch: []change{put(5)}, want: 0}, {rev: 5, want: 5}}},
	}
	for _, tt := range tests {
		s, feed := loaded(t)
		for i, st := range tt.steps {
			for _, c := range st.watch {
				feed(c.key, c.value, c.rev)
			}
			if st.rev != 0 {
				feed("", nil, st.rev)
			}
			if st.learn != nil {
				s.view.learn(st.learn...)
			}
			if got := s.view.at(alice); got != st.want {
				t.Errorf("%s, step %d: revision %d, want %d", tt.name, i, got, st.want)
			}
		}
		if tt.steps[len(tt.steps)-1].rev != 0 && len(s.view.gone) != 0 {
			t.Errorf("%s: tombstones are left: %v", tt.name, s.view.gone)
		}
	}
}

// A read that comes late, while a new copy is being filled that was told of the deletion
// already, must not bring the key back.
func TestLateReadWhileStartingOver(t *testing.T) {
	s, feed := loaded(t)
	s.view.learn(change{recordKey("bbbbbbbbbbbbbbbb"), []byte{1}, 9})
	feed("", nil, 0)
	feed("", nil, 6)
	feed(recordKey(alice), []byte{1}, 7)
	feed("", nil, 7)
	feed(recordKey(alice), nil, 8)
	feed("", nil, 8)
	s.view.learn(change{recordKey(alice), []byte{1}, 7})
	feed(recordKey("bbbbbbbbbbbbbbbb"), []byte{1}, 9)
	feed("", nil, 9)
	if got := s.view.at(alice); got != 0 {
		t.Errorf("deleted at revision 8, and the view has it at %d", got)
	}
}

// A deletion that this server itself made while a new copy was being filled is told again
// by the watch, and takes the key out of the new copy too.
func TestOwnDeletionWhileStartingOver(t *testing.T) {
	s, feed := loaded(t)
	s.view.learn(change{recordKey("bbbbbbbbbbbbbbbb"), nil, 8})
	feed("", nil, 0)
	feed(recordKey(alice), []byte{1}, 7)
	feed("", nil, 7)
	s.view.learn(change{recordKey(alice), nil, 8})
	feed(recordKey(alice), nil, 8)
	feed("", nil, 8)
	if got := s.view.at(alice); got != 0 {
		t.Errorf("deleted at revision 8, and the view has it at %d", got)
	}
}

// Whatever comes in between, a view that has been told everything equals the database, and
// no key's revision ever falls on the way.
func TestViewConverges(t *testing.T) {
	users := []mfa.UserID{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"}
	rapid.Check(t, func(t *rapid.T) {
		s := bareFor(t)
		feed := s.view.follow()
		var history []change // the database: all that was ever done
		copyAt := func(rev int64) map[string]change {
			state := map[string]change{}
			for _, c := range history {
				if c.rev > rev {
					break
				}
				if state[c.key] = c; c.value == nil {
					delete(state, c.key)
				}
			}
			return state
		}
		rev, told := int64(1), int64(0)
		known := map[string]change{} // the newest that the view was told of each key
		tell := func(key string, rev int64) {
			if rev <= known[key].rev {
				return
			}
			c, ok := copyAt(rev)[key]
			if !ok {
				c = change{key, nil, rev}
			}
			known[key] = c
		}
		tellAll := func() {
			for _, u := range users {
				if s.view.next == nil { // what was told is visible
					tell(recordKey(u), told)
				}
			}
		}
		restart := func() {
			feed("", nil, 0)
			told = rapid.Int64Range(max(1, rev-3), rev).Draw(t, "copy at")
			state := copyAt(told)
			for _, key := range slices.Sorted(maps.Keys(state)) {
				feed(key, state[key].value, state[key].rev)
			}
			feed("", nil, told)
			tellAll()
		}
		restart()
		watched := func(v string) {
			for _, u := range users {
				at, k := s.view.at(u), known[recordKey(u)]
				if k.value != nil && at < k.rev || k.value == nil && at != 0 && at <= k.rev {
					t.Fatalf("after %s: %s is at revision %d, but the view was told %v at %d", v, k.key, at, k.value, k.rev)
				}
			}
		}
		var late []change // what own writes and reads will say
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				rev++
				c := change{recordKey(rapid.SampledFrom(users).Draw(t, "user")), []byte{1}, rev}
				if rapid.Bool().Draw(t, "delete") {
					c.value = nil
				}
				history = append(history, c)
				late = append(late, c)
			},
			"own answer": func(t *rapid.T) {
				if len(late) == 0 {
					t.Skip("none")
				}
				i := rapid.IntRange(0, len(late)-1).Draw(t, "which")
				s.view.learn(late[i])
				tell(late[i].key, late[i].rev)
				watched("an own answer")
			},
			"read through": func(t *rapid.T) {
				at := rapid.Int64Range(1, rev).Draw(t, "at")
				key := recordKey(rapid.SampledFrom(users).Draw(t, "user"))
				if c, ok := copyAt(at)[key]; ok {
					s.view.learn(c)
				} else {
					s.view.learn(change{key, nil, at})
				}
				tell(key, at)
				watched("a read through")
			},
			"event": func(t *rapid.T) {
				if told < rev {
					told++
					for _, c := range history {
						if c.rev == told {
							feed(c.key, c.value, c.rev)
						}
					}
					feed("", nil, told)
					tellAll()
				}
				watched("an event")
			},
			"start over": func(*rapid.T) { restart(); watched("starting over") },
		})
		for told < rev {
			told++
			for _, c := range history {
				if c.rev == told {
					feed(c.key, c.value, c.rev)
				}
			}
			feed("", nil, told)
		}
		want := copyAt(rev)
		for _, u := range users {
			if got := s.view.at(u); got != want[recordKey(u)].rev {
				t.Fatalf("in the end %s is at revision %d, want %d", recordKey(u), got, want[recordKey(u)].rev)
			}
		}
		if len(s.view.gone) != 0 {
			t.Fatalf("tombstones are left: %v", s.view.gone)
		}
	})
}

func bareFor(t *rapid.T) *Store {
	k, err := keyring.New(nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), nil, keyring.NewRing(k), Options{Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestViewAnswersWhileItStartsOver(t *testing.T) {
	s, feed := loaded(t)
	feed(recordKey(alice), []byte{1}, 5)
	feed("", nil, 5)
	s.view.learn(change{recordKey(alice), []byte{2}, 9}) // an own write that the watch has not told
	feed("", nil, 0)
	if got := s.view.at(alice); got != 9 {
		t.Errorf("while starting over: revision %d, want 9", got)
	}
	feed(recordKey(alice), []byte{1}, 5)
	feed("", nil, 7)
	if got := s.view.at(alice); got != 9 {
		t.Errorf("a copy from before what was answered took over: revision %d, want 9", got)
	}
	feed("", nil, 8)
	feed(recordKey(alice), []byte{2}, 9)
	feed("", nil, 9)
	if got := s.view.at(alice); got != 9 || s.view.seen != 9 || s.view.next != nil {
		t.Errorf("in step again: revision %d, seen %d", got, s.view.seen)
	}
}

func TestViewIsNotReadBeforeItIsLoaded(t *testing.T) {
	s := bare(t)
	feed := s.view.follow()
	feed("", nil, 0)
	feed(recordKey(alice), []byte{1}, 1)
	_, byForm := s.UserByForm(t.Context(), "alice")
	_, account := s.Account(t.Context(), alice, false)
	_, app := s.Application("aaaaaaaaaaaaaaaa")
	for name, err := range map[string]error{"UserByForm": byForm, "Account": account, "Application": app,
		"ListUsers": s.ListUsers(t.Context(), "", nil), "RecentLegs": s.RecentLegs(noon, nil)} {
		if !errors.Is(err, mfa.ErrUnavailable) {
			t.Errorf("%s before loading: %v, want ErrUnavailable", name, err)
		}
	}
}

func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, feed := loaded(t)
		if err := s.Ready(t.Context(), 1); err != nil {
			t.Error(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Ready(t.Context(), 3) }()
		feed("", nil, 2)
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("ready for revision 3 at 2: %v", err)
		default:
		}
		feed("", nil, 4)
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := s.Ready(ctx, 9); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("never ready: %v", err)
		}
	})
}

func TestPackedRoundTrip(t *testing.T) {
	times := []time.Time{{}, noon, time.Unix(0, 0).UTC(), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(1, 1, 2, 0, 0, 0, 1, time.UTC)}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		at := func() time.Time { return times[r.IntN(len(times))] }
		u := userRecord{V: schema, State: []string{"denied", "protected", "exempt"}[i%3], Created: at(), Changed: at(), Sealed: []byte{byte(i)}}
		if i%2 == 0 {
			u.Tags, u.Directory = []string{"a", "", "tag"}, "corp"
		}
		if i%5 == 0 {
			u.Block = &block{Until: at(), By: "x", Since: at()}
		}
		got, err := unpackUser(packUser(u))
		if err != nil || fmt.Sprintf("%+v %+v", got, got.Block) != fmt.Sprintf("%+v %+v", u, u.Block) && (u.Block == nil || *got.Block != *u.Block) {
			t.Fatalf("user %+v came back as %+v, %v", u, got, err)
		}
		c := credRecord{V: schema, Method: "totp", Algorithm: "SHA1", Digits: i, Period: 30, Counter: r.Uint64(), Uses: -i, Disabled: i%2 == 0,
			Created: at(), Confirmed: at(), Expires: at(), By: "root", Sealed: []byte("x")}
		if i%3 == 0 {
			c.Scope = []string{"vpn"}
		}
		if i%4 == 0 {
			c.Awaits, c.Issuer, c.Approver = i%8 == 0, "helen", "ida (console)"
		}
		gotC, err := unpackCred(packCred(c))
		if err != nil || fmt.Sprintf("%+v", gotC) != fmt.Sprintf("%+v", c) {
			t.Fatalf("credential %+v came back as %+v, %v", c, gotC, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(packUser(userRecord{State: "protected", Tags: []string{"a"}, Block: &block{}, Created: noon}))
	f.Add(packCred(credRecord{Method: "totp", Scope: []string{"a"}, Created: noon}))
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := unpackUser(s); err == nil {
			again, err := unpackUser(packUser(r))
			if err != nil || fmt.Sprintf("%+v", again.Tags) != fmt.Sprintf("%+v", r.Tags) || again.State != r.State || string(again.Sealed) != string(r.Sealed) {
				t.Errorf("user %+v came back as %+v, %v", r, again, err)
			}
		}
		if r, err := unpackCred(s); err == nil {
			again, err := unpackCred(packCred(r))
			if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", r) {
				t.Errorf("credential %+v came back as %+v, %v", r, again, err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"v":1,"state":"protected","sealed":"AAAA"}`))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`{"v":1,"method":"totp","digits":6,"sealed":""}`))
	f.Add([]byte(`{"v":1,"id":"aaaaaaaaaaaaaaaa"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseUser("u/x", b); err == nil {
			if r.V != schema {
				t.Errorf("%s was read as schema %d", b, r.V)
			}
			if again, err := parseUser("u/x", format(r)); err != nil || string(format(again)) != string(format(r)) {
				t.Errorf("%s is written as %s, %v", b, format(r), err)
			}
		}
		if r, err := parseCred("c/x/y", b); err == nil {
			if again, err := parseCred("c/x/y", format(r)); err != nil || string(format(again)) != string(format(r)) {
				t.Errorf("%s is written as %s, %v", b, format(r), err)
			}
		}
	})
}

func TestUnknownSchemaIsRefused(t *testing.T) {
	const newer = Schema + 1
	for name, tt := range map[string]struct{ json, want string }{
		"newer":             {fmt.Sprintf(`{"v":%d,"state":"protected","sealed":"","new":1}`, newer), fmt.Sprintf("schema version %d, this server knows %d", newer, Schema)},
		"newer, no v first": {fmt.Sprintf(`{"state":"protected","v":%d}`, newer), fmt.Sprintf("schema version %d", newer)},
		"no version":        {`{"state":"protected"}`, "schema version 0"},
		"unknown field":     {`{"v":1,"state":"protected","sealed":"","new":1}`, "new"},
		"two values":        {`{"v":1,"sealed":""}{}`, "more than one"},
		"not JSON":          {`nonsense`, "u/x"},
		"two versions":      {fmt.Sprintf(`{"v":1,"v":%d,"sealed":""}`, newer), fmt.Sprintf("schema version %d", newer)},
	} {
		_, err := parseUser("u/x", []byte(tt.json))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, tt.want)
		}
	}
}
