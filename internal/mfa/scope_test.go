package mfa

import (
	"slices"
	"testing"
)

// A scope follows its application, and not its name; what was kept before is a name.
func TestScope(t *testing.T) {
	shop := Application{ID: "aaaaaaaaaaaaaaaa", Name: "shop"}
	renamed, taken := Application{ID: shop.ID, Name: "shop9"}, Application{ID: "bbbbbbbbbbbbbbbb", Name: "shop"}
	posing := Application{ID: taken.ID, Name: ScopeOf(shop.ID)}
	for _, tt := range []struct {
		name  string
		scope []string
		app   Application
		in    bool
	}{
		{"everywhere", nil, shop, true},
		{"its own", []string{ScopeOf(shop.ID)}, shop, true},
		{"renamed", []string{ScopeOf(shop.ID)}, renamed, true},
		{"the name is another's", []string{ScopeOf(shop.ID)}, taken, false},
		{"named like an entry", []string{ScopeOf(shop.ID)}, posing, false},
		{"by name", []string{"mail", "shop"}, shop, true},
		{"by name, renamed", []string{"shop"}, renamed, false},
		{"by a name that is an id", []string{string(shop.ID)}, shop, false},
	} {
		if got := InScope(tt.scope, tt.app); got != tt.in {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.in)
		}
	}
	got := ScopeNames([]string{ScopeOf(shop.ID), "mail", ScopeOf("gone")}, []Application{taken, renamed})
	if want := []string{"shop9", "mail", "id:gone"}; !slices.Equal(got, want) {
		t.Errorf("shown as %q, want %q", got, want)
	}
}
