package console

import (
	"slices"
	"strings"
	"testing"
)

// What changes who gets in, or with what, asks for both factors anew. The rest is named here, so
// that a new form is a decision: it looks, tries, takes something away from whoever is in, or ends
// what such a form has begun.
func TestWhatChangesWhoGetsInIsProvenAnew(t *testing.T) {
	harmless := []string{
		"/users/bulk/look", "/users/import/look", "/users/{id}/verify", "/users/{id}/block", "/users/{id}/sign-out", "/users/{id}/test",
		"/users/{id}/prove", "/users/{id}/number/send", "/users/{id}/number/prove", "/account/passkey/prove", // what was added by a proof
		"/directories/{name}/test", "/gateways/{name}/test", "/texts/{name}/preview",
	}
	for _, one := range append(new(Console).routes(), new(Console).groupRoutes()...) {
		path, post := strings.CutPrefix(one.pattern, "POST ")
		if post && !one.danger && !slices.Contains(harmless, path) {
			t.Errorf("POST %s asks for no new proof", path)
		}
		if one.danger && slices.Contains(harmless, path) {
			t.Errorf("POST %s asks for one and is named here", path)
		}
	}
}
