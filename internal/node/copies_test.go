package node

import (
	"context"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// A user of whose passkey there may be a copy is told, once an hour however often it is tried.
func TestCopiedPasskeyIsToldItsUser(t *testing.T) {
	t.Parallel()
	o := options(folder(t))
	must(t, Init(t.Context(), o, "corp"))
	inside(t, o, func(ctx context.Context, s *server) {
		for _, a := range []mfa.Attempt{
			{Reason: mfa.OK, User: "aaaaaaaaaaaaaaaa", Credential: "one", Application: "portal"},
			{Reason: mfa.PasskeyCounterBack, Application: "portal"}, // of nobody who is known
			{Reason: mfa.PasskeyCounterBack, User: "aaaaaaaaaaaaaaaa", Credential: "one", Application: "portal"},
			{Reason: mfa.PasskeyCounterBack, User: "aaaaaaaaaaaaaaaa", Credential: "one", Application: "portal"},
			{Reason: mfa.PasskeyCounterBack, User: "aaaaaaaaaaaaaaaa", Credential: "two", Application: "portal"},
		} {
			s.observe(&a)
		}
		var notices []mfa.Notice
		for end := time.Now().Add(time.Minute); len(notices) < 2 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			var err error
			notices, err = s.store.Notices(ctx, 10)
			must(t, err)
		}
		if len(notices) != 2 || notices[0].User != "aaaaaaaaaaaaaaaa" || notices[0].What != copiedNotice || notices[0].By != "sign-in at portal" {
			t.Errorf("notices %+v", notices)
		}
	})
}
