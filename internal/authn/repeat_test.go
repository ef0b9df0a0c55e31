package authn_test

import (
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// An answer that was wrong at one application is looked at where it is compared with
// something else: there it may be right.
func TestWrongAnswerElsewhereMayBeRight(t *testing.T) {
	other := mfa.Credential{ID: "other", User: "alice", Method: mfa.MethodTOTP, Digits: 6}
	var added mfa.Credential
	tests := []struct {
		name   string
		set    func(*rig)
		first  mfa.Request
		change func(*rig)
		second mfa.Request
	}{
		{"code of a token that does not serve there", func(g *rig) {
			g.store.change("alice", func(a *settlement.Account) { a.Credentials = append(a.Credentials, other) })
			app("vpn", func(a *mfa.Application) {
				a.FirstFactor, a.Methods = mfa.FirstFactorNone, []mfa.MethodID{mfa.MethodTOTP}
			})(g)
		}, firstLeg("vpn", "alice", code(0)), nil, firstLeg("plain", "alice", code(0))},
		{"code of a token that came later", func(g *rig) {
			g.store.change("alice", func(a *settlement.Account) {
				added, a.Credentials[0] = a.Credentials[0], other
			})
		}, firstLeg("plain", "alice", code(0)), func(g *rig) {
			g.store.change("alice", func(a *settlement.Account) { a.Credentials = append(a.Credentials, added) })
		}, firstLeg("plain", "alice", code(0))},
		{"password with the code behind it", func(g *rig) {
			app("vpn", func(a *mfa.Application) { a.Passcode = mfa.PasscodePrompt })(g)
			app("plain", func(a *mfa.Application) { a.FirstFactor, a.Passcode = "corp", mfa.PasscodeAppend })(g)
		}, firstLeg("vpn", "alice", "right"+code(0)), nil, firstLeg("plain", "alice", "right"+code(0))},
		{"password of another directory", func(g *rig) {
			g.dir.of = map[string]string{"corp": "wrong", "other": "right"}
			app("plain", func(a *mfa.Application) { a.FirstFactor = "other" })(g)
			g.store.change("alice", func(a *settlement.Account) { a.User.State = mfa.StateExempt })
		}, firstLeg("vpn", "alice", "right"), nil, firstLeg("plain", "alice", "right")},
		{"password of another directory, stranger", func(g *rig) {
			g.dir.of = map[string]string{"corp": "wrong", "other": "right"}
			app("vpn", passUnknownUntil(t0.AddDate(0, 0, 1)))(g)
			app("plain", passUnknownUntil(t0.AddDate(0, 0, 1)))(g)
			app("plain", func(a *mfa.Application) { a.FirstFactor = "other" })(g)
		}, firstLeg("vpn", "eve", "right"), nil, firstLeg("plain", "eve", "right")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			tt.set(g)
			e := g.engine()
			if d := ask(t, e, tt.first); d.Reason != mfa.WrongCode && d.Reason != mfa.WrongPassword {
				t.Fatalf("where it is wrong: %s", d.Reason)
			}
			if d := ask(t, e, tt.first); d.Reason != mfa.RepeatedWrongCode && d.Reason != mfa.RepeatedWrongPassword {
				t.Errorf("there once more: %s", d.Reason)
			}
			if tt.change != nil {
				tt.change(g)
			}
			if d := ask(t, e, tt.second); d.Verdict != mfa.Accept {
				t.Errorf("where it is right: %s %s", d.Verdict, d.Reason)
			}
		})
	}
}
