package enroll_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// person is the desk of a help desk's member, or, with no id, of a program or of root.
func (r *rig) person(by string, id mfa.UserID, ps ...mfa.Permission) enroll.Desk {
	c := mfa.Caller{By: by, User: id, Permissions: mfa.SetOf(append(ps, mfa.MayIssuePass)...), Reach: mfa.Reach{All: true}}
	return r.As(c, func(ctx context.Context, login string, anyOf ...mfa.Permission) (mfa.User, error) {
		for _, p := range anyOf {
			if c.Can(p) {
				return r.Resolve(ctx, login)
			}
		}
		return mfa.User{}, c.Lacks(anyOf[0])
	})
}

func (r *rig) approving(t *testing.T) {
	t.Helper()
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error { s.PassApproval = true; return nil }); err != nil {
		t.Fatal(err)
	}
}

// serves says whether a pass of alice serves now.
func (r *rig) serves(t *testing.T, id mfa.CredentialID) mfa.Reason {
	t.Helper()
	a, err := r.db.Account(t.Context(), r.user, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range a.Credentials {
		if c.ID == id {
			vpn, err := r.db.ApplicationByName("VPN")
			if err != nil {
				t.Fatal(err)
			}
			_, why := policy.Usable(vpn, []mfa.Credential{c}, noon)
			return why
		}
	}
	return mfa.NoCredential
}

// With pass_approval a pass, and an invitation, takes two people: nobody approves what they have
// issued or what is for themselves, whatever they are called in the trail, and no program does.
func TestPassTakesTwo(t *testing.T) {
	r := newRig(t)
	r.approving(t)
	ctx := t.Context()
	helen, again, ida := r.person("helen (console)", "helenhelenhelenh"), r.person("somebody else (console)", "helenhelenhelenh"), r.person("helen (console)", "idaidaidaidaidai")
	alice, root, token := r.person("alice (console)", r.user), r.person("root (unix socket)", "", mfa.MayOwn), r.person("token:tickets", "")
	r.Portal = door{"https://nyc1.example/portal", "VPN"}
	for name, issue := range map[string]func(d enroll.Desk) mfa.CredentialID{
		"pass": func(d enroll.Desk) mfa.CredentialID {
			made, err := d.Add(ctx, "alice", enroll.Request{Method: mfa.MethodTAP, Why: "lost phone"})
			if err != nil || !made.Awaits || made.Approver != "" {
				t.Fatalf("issued %+v, %v", made, err)
			}
			return made.ID
		},
		"invitation": func(d enroll.Desk) mfa.CredentialID {
			if made, err := d.Invite(ctx, "alice", enroll.InviteRequest{}); err != nil || !made.Awaits {
				t.Fatalf("invited %+v, %v", made, err)
			}
			all, err := r.List(ctx, "alice")
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range all.Credentials {
				if c.Awaits {
					return c.ID
				}
			}
			t.Fatal("no invitation")
			return ""
		},
	} {
		for by, tt := range map[string]struct {
			issuer   enroll.Desk
			refused  []enroll.Desk
			approver enroll.Desk
		}{
			"a person":  {helen, []enroll.Desk{helen, again, alice, token}, ida},
			"herself":   {alice, []enroll.Desk{alice, token}, helen},
			"root":      {root, []enroll.Desk{root, alice, token}, ida},
			"a program": {token, []enroll.Desk{token, root, alice}, ida},
			"of root":   {helen, []enroll.Desk{helen}, root},
		} {
			id := issue(tt.issuer)
			if why := r.serves(t, id); why != mfa.PassNotApproved {
				t.Errorf("%s by %s: %s before it is approved", name, by, why)
			}
			for i, d := range tt.refused {
				if _, err := d.ApprovePass(ctx, "alice", string(id)); !errors.Is(err, mfa.ErrForbidden) {
					t.Errorf("%s by %s, approved by the wrong one (%d): %v", name, by, i, err)
				}
				list, err := d.WaitingPasses(ctx)
				if err != nil || len(list.Passes) != 1 || !list.Passes[0].Own || list.Passes[0].Login != "alice" {
					t.Errorf("%s by %s, shown to the wrong one (%d): %+v, %v", name, by, i, list, err)
				}
			}
			for verb, err := range map[string]error{
				"enable":  second(tt.issuer.Disable(ctx, "alice", string(id), false)),
				"confirm": second(tt.issuer.Confirm(ctx, "alice", string(id), enroll.Codes{Codes: make([]secret.Wire, 1)})),
			} {
				if err == nil && verb == "confirm" {
					t.Errorf("%s by %s: %s is done", name, by, verb)
				}
			}
			if why := r.serves(t, id); why != mfa.PassNotApproved {
				t.Errorf("%s by %s: %s after what its issuer tried", name, by, why)
			}
			if list, err := tt.approver.WaitingPasses(ctx); err != nil || len(list.Passes) != 1 || list.Passes[0].Own {
				t.Errorf("%s by %s, shown to the approver: %+v, %v", name, by, list, err)
			}
			c, err := tt.approver.ApprovePass(ctx, "alice", string(id))
			if err != nil || c.Awaits || c.Approver == "" {
				t.Errorf("%s by %s, approved: %+v, %v", name, by, c, err)
			}
			if why := r.serves(t, id); why != mfa.ReasonNone {
				t.Errorf("%s by %s: %s after it is approved", name, by, why)
			}
			if _, err := tt.approver.ApprovePass(ctx, "alice", string(id)); !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("%s by %s, approved twice: %v", name, by, err)
			}
			if err := r.Remove(ctx, "test", "alice", string(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := acts(r); !strings.Contains(got, ", issued by helen (console), approved by root (unix socket): lost phone") {
		t.Errorf("the trail:\n%s", got)
	}
}

// What has expired is approved no more, and not shown; what nobody has to approve names its issuer.
func TestPassesThatNobodyApproves(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	made, err := r.person("helen (console)", "helenhelenhelenh").Add(ctx, "alice", enroll.Request{Method: mfa.MethodTAP, Why: "lost phone"})
	if err != nil || made.Awaits || made.Approver != "helen (console)" || r.serves(t, made.ID) != mfa.ReasonNone {
		t.Errorf("without pass_approval: %+v, %v", made, err)
	}
	if got := acts(r); !strings.Contains(got, ", issued by helen (console), approved by helen (console): lost phone") {
		t.Errorf("the trail:\n%s", got)
	}
	r.approving(t)
	ida := r.person("ida (console)", "idaidaidaidaidai")
	if _, err := ida.ApprovePass(ctx, "alice", string(made.ID)); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a pass from before: %v", err)
	}
	late, err := r.person("helen (console)", "helenhelenhelenh").Add(ctx, "alice", enroll.Request{Method: mfa.MethodTAP, Why: "lost phone"})
	if err != nil {
		t.Fatal(err)
	}
	r.Now = func() time.Time { return noon.Add(time.Hour) }
	if _, err := ida.ApprovePass(ctx, "alice", string(late.ID)); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("expired: %v", err)
	}
	if list, err := ida.WaitingPasses(ctx); err != nil || len(list.Passes) != 0 {
		t.Errorf("expired, shown: %+v, %v", list, err)
	}
}
