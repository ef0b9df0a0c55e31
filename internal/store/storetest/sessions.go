package storetest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func sessions(t *testing.T, r *rig) {
	ctx := t.Context()
	in := mfa.Session{ID: mfa.SessionID(strings.Repeat("a", 52)), User: "abcdefghijklmnop", Application: "console", Server: "n1", Setup: true, Epoch: 3,
		Created: noon, Seen: noon, Proven: noon, Expires: noon.Add(time.Hour)}
	is(t, "create", r.CreateSession(ctx, in), nil)
	is(t, "create again", r.CreateSession(ctx, in), mfa.ErrExists)
	is(t, "a bad id", r.CreateSession(ctx, mfa.Session{ID: "../u/x"}), mfa.ErrInvalid)
	got, err := r.Session(in.ID)
	is(t, "read", err, nil)
	same(t, "read", got, in)
	_, err = r.Session(mfa.SessionID(strings.Repeat("b", 52)))
	is(t, "another id", err, mfa.ErrNotFound)
	seen := func(n *mfa.Session) error { n.Seen = n.Seen.Add(time.Minute); return nil }
	is(t, "change", r.UpdateSession(ctx, in.ID, seen), nil)
	in.Seen = noon.Add(time.Minute)
	same(t, "list", r.Sessions(), []mfa.Session{in})

	// However a change and the end fall together: it has ended.
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := r.UpdateSession(ctx, in.ID, seen); err != nil && !errors.Is(err, mfa.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	is(t, "end", r.RemoveSessions(ctx, in.ID), nil)
	all.Wait()
	_, err = r.Session(in.ID)
	is(t, "what has ended", err, mfa.ErrNotFound)
	is(t, "change what has ended", r.UpdateSession(ctx, in.ID, seen), mfa.ErrNotFound)
	is(t, "end again", r.RemoveSessions(ctx, in.ID), nil)
	ends(t, r, in)
}

// ends ends all sessions of a user: those that begin after that know it.
func ends(t *testing.T, r *rig, in mfa.Session) {
	ctx := t.Context()
	u, err := r.CreateUser(ctx, mfa.User{ID: "bbbbbbbbbbbbbbbb", Login: "signed-out", State: mfa.StateProtected, Created: noon, Changed: noon}, nil)
	is(t, "user", err, nil)
	in.User = u.ID
	before, err := r.SessionsEnd(u.ID)
	is(t, "no end", err, nil)
	same(t, "no end", before, mfa.SessionsEnd{})
	is(t, "begin", r.CreateSession(ctx, in), nil)
	end := mfa.SessionsEnd{User: u.ID, ID: "cccccccccccccccc", But: "x", Time: noon}
	is(t, "end all", r.EndSessions(ctx, end, in.ID), nil)
	_, err = r.Session(in.ID)
	is(t, "one of them", err, mfa.ErrNotFound)
	got, err := r.SessionsEnd(u.ID)
	is(t, "end", err, nil)
	same(t, "end", got, end)
	is(t, "begin again", r.CreateSession(ctx, in), nil)
	again, err := r.Session(in.ID)
	is(t, "begun again", err, nil)
	same(t, "begun after", again.After, end.ID)
	is(t, "forget none", r.ForgetSessionsEnds(ctx, noon), nil)
	got, _ = r.SessionsEnd(u.ID)
	same(t, "not forgotten", got, end)
	is(t, "forget", r.ForgetSessionsEnds(ctx, noon.Add(time.Second)), nil)
	got, _ = r.SessionsEnd(u.ID)
	same(t, "forgotten", got, mfa.SessionsEnd{})
	is(t, "of nobody", r.EndSessions(ctx, mfa.SessionsEnd{User: "dddddddddddddddd", ID: "x", Time: noon}), nil)
	got, _ = r.SessionsEnd("dddddddddddddddd")
	same(t, "of nobody", got, mfa.SessionsEnd{})
	is(t, "remove", r.RemoveSessions(ctx, in.ID), nil)
	is(t, "remove the user", r.RemoveUser(ctx, u.ID), nil)
}
