package store_test

import (
	"context"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// Whatever is changed of a user, what is remembered of their sign-ins ends with that: it was
// proven with what was there before.
func TestEveryChangeForgetsSuccesses(t *testing.T) {
	type write func(ctx context.Context, s *store.Store, u mfa.User, creds []mfa.Credential) error
	change := func(f func(*mfa.User)) write {
		return func(ctx context.Context, s *store.Store, u mfa.User, _ []mfa.Credential) error {
			_, err := s.UpdateUser(ctx, u.ID, func(u *mfa.User) error { f(u); return nil })
			return err
		}
	}
	credential := func(f func(*mfa.Credential)) write {
		return func(ctx context.Context, s *store.Store, u mfa.User, creds []mfa.Credential) error {
			_, err := s.UpdateCredential(ctx, u.ID, creds[0].ID, func(c *mfa.Credential) error { f(c); return nil })
			return err
		}
	}
	for name, w := range map[string]write{
		"denied":         change(func(u *mfa.User) { u.State = mfa.StateDenied }),
		"blocked":        change(func(u *mfa.User) { u.Block = &mfa.Block{By: "root"} }),
		"a new password": credential(func(c *mfa.Credential) { c.Secret = secret.FromString("another") }),
		"disabled":       credential(func(c *mfa.Credential) { c.Disabled = true }),
		"must change":    credential(func(c *mfa.Credential) { c.MustChange = true }),
		"added": func(ctx context.Context, s *store.Store, u mfa.User, _ []mfa.Credential) error {
			return s.AddCredential(ctx, mfa.Credential{ID: "bbbbbbbbbbbbbbbb", User: u.ID, Method: mfa.MethodPIN, Secret: secret.FromString("hash")})
		},
		"removed": func(ctx context.Context, s *store.Store, u mfa.User, creds []mfa.Credential) error {
			return s.RemoveCredential(ctx, u.ID, creds[0].ID)
		},
		"with its record": func(ctx context.Context, s *store.Store, u mfa.User, creds []mfa.Credential) error {
			return s.UpdateRecord(ctx, u.ID, func(r *settlement.Record) error { *r = r.ForgetSuccesses(); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, &storetest.Memory{}, newRing(t))
			p := people(1)[0]
			u, err := s.CreateUser(t.Context(), p.User, p.Credentials)
			if err != nil {
				t.Fatal(err)
			}
			success := settlement.Success{Place: 7, Credential: "aaaaaaaaaaaaaaaa", Time: noon}
			if err := s.UpdateRecord(t.Context(), u.ID, func(r *settlement.Record) error {
				r.Fails.N, r.Fails.Last, r.Remembered = 1, noon, []settlement.Success{success}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			a, err := s.Account(t.Context(), u.ID, true)
			if err != nil || len(a.Record.Remembered) != 1 {
				t.Fatalf("not remembered to begin with: %+v, %v", a.Record, err)
			}
			if err := w(t.Context(), s, u, a.Credentials); err != nil {
				t.Fatal(err)
			}
			if a, err = s.Account(t.Context(), u.ID, true); err != nil || len(a.Record.Remembered) != 0 || a.Record.Fails.N != 1 {
				t.Errorf("remembered %+v, failures %+v, %v", a.Record.Remembered, a.Record.Fails, err)
			}
		})
	}
}
