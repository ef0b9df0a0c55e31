package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"countersign/internal/group"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/store/storetest"
)

// A code admits one coordinator, with its record and its keyset in one commit; who is
// removed loses both.
func TestColleagues(t *testing.T) {
	kv := &storetest.Memory{}
	keys, err := keyring.New(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &Colleagues{KV: kv, Ring: keyring.NewRing(keys), Keyset: func(name, recipient string) (string, []byte, error) {
		if recipient == "bad" {
			return "", nil, errors.New("no key")
		}
		return "k/keyset/" + name, []byte("for " + recipient), nil
	}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	code := group.Code{ID: "0123456789abcdef", Role: mfa.RoleCoordinator, Expires: time.Now(), By: "root", Secret: secret.FromString("hush")}
	if err := c.CreateJoinCode(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	if yes, err := c.Invites(t.Context(), code.ID); !yes || err != nil {
		t.Errorf("invites: %v, %v", yes, err)
	}
	no := errors.New("no")
	if err := c.Admit(t.Context(), code.ID, mfa.Member{Name: "c2", Wrap: "r"}, func(group.Code, *mfa.Member) error { return no }); !errors.Is(err, no) {
		t.Errorf("against the check: %v", err)
	}
	if err := c.Admit(t.Context(), code.ID, mfa.Member{Name: "c2", Wrap: "bad"}, func(group.Code, *mfa.Member) error { return nil }); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a key that nothing can be wrapped to: %v", err)
	}
	m := mfa.Member{Name: "c2", Wrap: "r2", Peer: "c2:7443"}
	err = c.Admit(t.Context(), code.ID, m, func(got group.Code, before *mfa.Member) error {
		if before != nil || string(got.Secret.Expose()) != "hush" || got.Role != mfa.RoleCoordinator {
			t.Errorf("check sees %+v, %+v", got, before)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.JoinCode(t.Context(), code.ID); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("the code once more: %v", err)
	}
	if used, err := c.UsedCode(t.Context(), code.ID); err != nil || string(used.Secret.Expose()) != "hush" {
		t.Errorf("the code that was used: %v", err)
	}
	if b, rev, _ := kv.Get(t.Context(), "k/keyset/c2"); rev == 0 || string(b) != "for r2" {
		t.Errorf("keyset %q", b)
	}
	if err := c.UpdateMember(t.Context(), "c2", func(m *mfa.Member) error { m.MemberID = "1"; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := c.UpdateMember(t.Context(), "c1", func(m *mfa.Member) error { m.Peer = "c1:7443"; return nil }); err != nil {
		t.Fatal(err)
	}
	until(t, c, "[{c1 c1:7443 } {c2 c2:7443 1}]")
	if err := c.RemoveMember(t.Context(), "c2"); err != nil {
		t.Fatal(err)
	}
	until(t, c, "[{c1 c1:7443 }]")
	if _, rev, _ := kv.Get(t.Context(), "k/keyset/c2"); rev != 0 {
		t.Error("the keyset of a coordinator that was removed is still there")
	}
}

// until waits for Members to be want.
func until(t *testing.T, c *Colleagues, want string) {
	t.Helper()
	type short struct{ Name, Peer, ID string }
	got := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		all := []short{}
		for _, m := range c.Members() {
			all = append(all, short{m.Name, m.Peer, m.MemberID})
		}
		if got = fmt.Sprint(all); got == want {
			return
		}
	}
	t.Fatalf("members are %s, want %s", got, want)
}

// The machine whose answer was lost is admitted once more by the same code, with the same keys, as
// long as it is in no database; nobody else is.
func TestColleagueOnceMore(t *testing.T) {
	keys, err := keyring.New(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	kv := &storetest.Memory{}
	c := &Colleagues{KV: kv, Ring: keyring.NewRing(keys), Keyset: func(name, recipient string) (string, []byte, error) {
		return "k/keyset/" + name, []byte("for " + recipient), nil
	}}
	ctx := t.Context()
	code := group.Code{ID: "0123456789abcdef", Role: mfa.RoleCoordinator, Expires: time.Now(), By: "root", Secret: secret.FromString("hush")}
	if err := c.CreateJoinCode(ctx, code); err != nil {
		t.Fatal(err)
	}
	yes := func(group.Code, *mfa.Member) error { return nil }
	m := mfa.Member{Name: "c2", Role: mfa.RoleCoordinator, Wrap: "r2", Key: "key", Peer: "c2:7443", By: "activation " + code.ID}
	if err := c.Admit(ctx, code.ID, m, yes); err != nil {
		t.Fatal(err)
	}
	other := m
	other.Key = "another key"
	stranger := m
	stranger.Name = "c3"
	for name, x := range map[string]mfa.Member{"other keys": other, "another name": stranger} {
		if err := c.Admit(ctx, code.ID, x, yes); !errors.Is(err, mfa.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Admit(ctx, code.ID, m, yes); err != nil {
		t.Errorf("the same machine once more: %v", err)
	}
	if err := c.UpdateMember(ctx, "c2", func(m *mfa.Member) error { m.MemberID = "1"; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := c.Admit(ctx, code.ID, m, yes); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("once it is in the database: %v", err)
	}
}
