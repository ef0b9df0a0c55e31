package admin_test

import (
	"errors"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// Nobody locks everybody out of the console, themselves included, without a word.
func TestConsoleStaysOpen(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	if _, err := r.BuiltIn(ctx, admin.ConsoleApplication); err != nil {
		t.Fatal(err)
	}
	if _, err := r.BuiltIn(ctx, admin.PortalApplication); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), "nobody could sign in to the console any more") {
			t.Errorf("%s: %v", what, err)
		}
	}
	allowed := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	set := func(name string) error {
		_, err := r.SetApplication(ctx, "root", name, admin.ApplicationChange{Disabled: ptr(true)})
		return err
	}
	refused("console switched off", set("console"))
	allowed("portal switched off", set("portal"))
	if a, err := r.Application(ctx, "console"); err != nil || a.Disabled {
		t.Errorf("console is %+v, %v", a, err)
	}
	add := func(name string, c admin.PolicyRuleChange) error {
		c.Name = &name
		_, err := r.AddRule(ctx, "root", c)
		return err
	}
	at := func(names ...string) *[]string { return &names }
	refused("deny everybody", add("shut", admin.PolicyRuleChange{Access: ptr("deny")}))
	refused("deny everybody there", add("shut", admin.PolicyRuleChange{Access: ptr("deny"), Applications: at("portal", "console")}))
	refused("one factor there", add("easy", admin.PolicyRuleChange{Access: ptr("first-factor"), Applications: at("console")}))
	allowed("deny elsewhere", add("other", admin.PolicyRuleChange{Access: ptr("deny"), Applications: at("portal")}))
	allowed("deny some", add("night", admin.PolicyRuleChange{Access: ptr("deny"), Hours: ptr("22:00-06:00"), Zone: ptr("UTC")}))
	allowed("deny, switched off", add("shut", admin.PolicyRuleChange{Access: ptr("deny"), Disabled: ptr(true)}))
	_, err := r.SetRule(ctx, "root", "shut", admin.PolicyRuleChange{Disabled: ptr(false)})
	refused("switched on", err)
	allowed("some may", add("staff", admin.PolicyRuleChange{Access: ptr("both"), Tags: at("staff"), Position: ptr(1)}))
	_, err = r.SetRule(ctx, "root", "shut", admin.PolicyRuleChange{Disabled: ptr(false)})
	allowed("deny the others", err)
	refused("who may is taken away", r.RemoveRule(ctx, "root", "staff"))
	_, err = r.MoveRule(ctx, "root", "shut", admin.PolicyRuleMove{Position: 1})
	refused("deny comes first", err)
}
