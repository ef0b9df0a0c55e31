package adminapi

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// example is one good request. In this order they tell a story that a test executes.
type example struct {
	operation string // METHOD and path as registered
	path      string // as asked, with parameters; "": as registered
	body      string // JSON, or the text of another kind; "": none
}

// examples has one at least for every operation; the first of each goes into the document.
// Codes are those of the secret GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ at 2026-11-25T12:00:00Z.
// HANDLE stands for the handle of the challenge before.
var examples = []example{
	{"POST /users", "", `{"login":"alice","name":"Alice Adams","email":"alice@corp.example","phone":"+491701234567","aliases":["CORP\\alice"],"tags":["staff"],"password":"correct horse"}`},
	{"GET /users", "/users?search=ali&state=protected&limit=50", ""},
	{"GET /users/{login}", "/users/alice", ""},
	{"PATCH /users/{login}", "/users/alice", `{"name":"Alice Archer"}`},
	{"POST /users/{login}/block", "/users/alice/block", `{"reason":"phone lost","seconds":3600}`},
	{"POST /users/{login}/unblock", "/users/alice/unblock", ""},
	{"POST /users/{login}/unlock", "/users/alice/unlock", ""},
	{"POST /import/users", "/import/users?dry_run=true", "login,name,email\nbob,Bob Brown,bob@corp.example\n"},
	{"POST /users/{login}/credentials", "/users/alice/credentials", `{"method":"totp","label":"phone","secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}`},
	{"GET /users/{login}/credentials", "/users/alice/credentials", ""},
	{"POST /users/{login}/credentials", "/users/alice/credentials", `{"method":"sms","to":"+491701234567"}`},
	{"POST /users/{login}/credentials/{id}/send", "/users/alice/credentials/sms/send", ""},
	{"POST /users/{login}/credentials/{id}/confirm", "/users/alice/credentials/totp/confirm", `{"codes":["419551"]}`},

	{"PATCH /users/{login}/pin", "/users/alice/pin", `{"pin":"135790","must_change":true}`},
	{"GET /users/{login}/pin", "/users/alice/pin", ""},
	{"DELETE /users/{login}/pin", "/users/alice/pin", ""},
	{"POST /users/{login}/credentials", "/users/alice/credentials", `{"method":"email","to":"alice@corp.example","trusted":true}`},
	{"POST /users/{login}/verify", "/users/alice/verify", `{"method":"email"}`},
	{"POST /users/{login}/verify/answer", "/users/alice/verify/answer", `{"id":"email","challenge":"sent","code":"123456"}`},

	{"POST /users/{login}/invitation", "/users/alice/invitation", `{"seconds":86400,"why":"first day"}`},
	{"GET /passes", "", ""},
	{"POST /users/{login}/credentials/{id}/approve", "/users/alice/credentials/tap/approve", ""},

	{"POST /applications", "", `{"name":"shop","kind":"api","first_factor":"local","methods":["totp"]}`},
	{"GET /applications", "/applications?limit=50", ""},
	{"GET /applications/{name}", "/applications/shop", ""},
	{"PATCH /applications/{name}", "/applications/shop", `{"retries":2}`},
	{"POST /api-tokens", "", `{"name":"till","scopes":["authenticate"],"application":"shop","seconds":7776000}`},
	{"GET /api-tokens", "/api-tokens?limit=50", ""},
	{"POST /authenticate", "", `{"login":"alice","password":"correct horse","source":"203.0.113.7"}`},
	{"POST /challenge", "", `{"login":"alice","handle":"HANDLE","answer":"834822"}`},
	{"POST /test", "", `{"login":"alice","application":"shop","password":"correct horse"}`},
	{"GET /policy/explain", "/policy/explain?login=alice&application=shop&source=203.0.113.7&at=2026-11-25T23:00:00Z", ""},
	{"GET /audit/attempts", "/audit/attempts?user=alice&since=2026-11-25T00:00:00Z&limit=50", ""},
	{"GET /audit/attempts/{id}", "/audit/attempts/mfrggzdfmztwq2lk", ""},
	{"GET /audit/acts", "/audit/acts?since=2026-11-25T00:00:00Z&limit=50", ""},
	{"GET /audit/tail", "", ""},
	{"POST /audit/verify", "", ""},

	{"POST /users/{login}/credentials/{id}/resync", "/users/alice/credentials/totp/resync", `{"codes":["109707","563086"]}`},
	{"POST /users/{login}/credentials/{id}/disable", "/users/alice/credentials/totp/disable", ""},
	{"POST /users/{login}/credentials/{id}/enable", "/users/alice/credentials/totp/enable", ""},
	{"DELETE /users/{login}/credentials/{id}", "/users/alice/credentials/totp", ""},

	{"POST /directories", "", `{"name":"corp","kind":"ldap","urls":["ldaps://dc1.corp.example"],"bind_dn":"CN=mfa,DC=corp,DC=example","bind_password":"bind word","base_dn":"DC=corp,DC=example","user_filter":"(sAMAccountName={user})"}`},
	{"GET /directories", "/directories?limit=50", ""},
	{"GET /directories/{name}", "/directories/corp", ""},
	{"PATCH /directories/{name}", "/directories/corp", `{"timeout_seconds":3}`},
	{"POST /directories/{name}/test", "/directories/corp/test", `{"login":"alice"}`},
	{"DELETE /directories/{name}", "/directories/corp", ""},

	{"GET /gateway-profiles", "", ""},
	{"POST /gateways", "", `{"name":"provider","kind":"sms","profile":"twilio","login":"AC0123","password":"auth token","from":"+15005550006","countries":["US","CA"],"cap_day":5000}`},
	{"GET /gateways", "/gateways?limit=50", ""},
	{"GET /gateways/{name}", "/gateways/provider", ""},
	{"PATCH /gateways/{name}", "/gateways/provider", `{"order":1,"timeout_seconds":3}`},
	{"POST /gateways/{name}/test", "/gateways/provider/test", `{"to":"+12125550100"}`},
	{"DELETE /gateways/{name}", "/gateways/provider", ""},

	{"GET /recordings", "", ""},
	{"PATCH /recordings/{name}", "/recordings/press.de", `{"wav":"` + aTenth + `"}`},
	{"DELETE /recordings/{name}", "/recordings/press.de", ""},

	{"POST /administrators", "", `{"login":"alice","role":"help-desk","permissions":["user.block","token.manage"],"tags":["staff"]}`},
	{"GET /administrators", "/administrators?limit=50", ""},
	{"GET /administrators/{login}", "/administrators/alice", ""},
	{"PATCH /administrators/{login}", "/administrators/alice", `{"role":"auditor"}`},
	{"DELETE /administrators/{login}", "/administrators/alice", ""},

	{"POST /console/links", "", ""},

	{"GET /policy", "", ""},
	{"PATCH /policy", "", `{"tries":7}`},
	{"POST /policy/rules", "", `{"name":"night","applications":["shop"],"hours":"mon-sun 22:00-06:00","zone":"Europe/Berlin","access":"deny"}`},
	{"GET /policy/rules", "/policy/rules?limit=50", ""},
	{"GET /policy/rules/{name}", "/policy/rules/night", ""},
	{"PATCH /policy/rules/{name}", "/policy/rules/night", `{"access":"both","remember_seconds":300}`},
	{"POST /policy/rules/{name}/move", "/policy/rules/night/move", `{"position":1}`},
	{"DELETE /policy/rules/{name}", "/policy/rules/night", ""},
	{"GET /keys", "", ""},
	{"POST /keys/rotate", "", ""},
	{"GET /blastradius", "", ""},
	{"GET /reports/{name}", "/reports/sign-ins?since=2026-11-24T00:00:00Z&until=2026-11-25T12:00:00Z&zone=Europe/Berlin", ""},
	{"GET /status", "", ""},
	{"GET /coordinator/status", "", ""},
	{"GET /openapi.json", "", ""},
	{"POST /doctor", "", ""},
	{"POST /log-level", "", `{"component":"radius","level":"debug","seconds":900}`},
	{"POST /backup", "", `{"passphrase":"correct horse battery"}`},
	{"POST /backups/verified", "", `{"group":"acme","server":"nyc1","epoch":1,"revision":7,"created":"2026-11-25T00:00:00Z","records":9,"users":3}`},
	{"GET /backups", "", ""},
	{"GET /group/members", "", ""},
	{"POST /group/activations", "", `{"role":"server","seconds":600}`},
	{"POST /group/promote", "", `{"to":"nyc2","dry_run":true}`},
	{"POST /group/disaster", "", `{"confirm":"acme/1"}`},
	{"POST /group/release", "", ""},
	{"POST /group/forget", "", `{"name":"nyc2"}`},
	{"GET /group/parked", "", ""},
	{"POST /group/parked/{id}/apply", "/group/parked/aaaaaaaaaaaaaaaa/apply", `{"force":false}`},
	{"POST /group/parked/{id}/discard", "/group/parked/bbbbbbbbbbbbbbbb/discard", ""},
	{"POST /group/leave", "", `{"force":false}`},

	{"DELETE /api-tokens/{name}", "/api-tokens/till", ""},
	{"DELETE /applications/{name}", "/applications/shop", ""},
	{"DELETE /users/{login}", "/users/alice", ""},
}

// coordinatorExamples are those of an independent coordinator's operations.
var coordinatorExamples = []example{
	{"GET /status", "", ""},
	{"GET /coordinator/status", "", ""},
	{"POST /coordinator/activations", "", `{"group":"acme","seconds":600}`},
	{"POST /coordinator/retire", "", `{"group":"acme","server":"nyc2"}`},
	{"POST /coordinator/forget", "", `{"name":"coordinator2"}`},
	{"POST /coordinator/leave", "", ""},
	{"POST /doctor", "", ""},
	{"POST /log-level", "", `{"component":"coordinator","level":"debug","seconds":900}`},
	{"GET /audit/acts", "/audit/acts?since=2026-11-25T00:00:00Z&limit=50", ""},
	{"POST /audit/verify", "", ""},
	{"POST /backup", "", `{"passphrase":"correct horse battery"}`},
}

// examplesUnder returns those of examples whose paths begin with one of some, in order; of PINs,
// callers and passes that take two an independent coordinator knows nothing.
func examplesUnder(some ...string) (all []example) {
	for _, x := range examples {
		_, path, _ := strings.Cut(x.operation, " ")
		if slices.ContainsFunc(some, func(one string) bool { return strings.HasPrefix(path, one) }) && !strings.Contains(path, "/pin") && !strings.Contains(path, "/verify") && !strings.Contains(path, "/approve") {
			all = append(all, x)
		}
	}
	return all
}

// target is the path that the example asks for.
func (x example) target() string {
	if x.path != "" {
		return x.path
	}
	_, path, _ := strings.Cut(x.operation, " ")
	return path
}

// exampleOf returns the first example of an operation.
func (a *API) exampleOf(method, path string) (x example, ok bool) {
	for _, x := range a.examples {
		if x.operation == method+" "+path {
			return x, true
		}
	}
	return x, false
}

// illustrate puts the examples into the document.
func (a *API) illustrate() {
	for path, item := range a.huma.OpenAPI().Paths {
		for method, op := range methodsOf(item) {
			if x, ok := a.exampleOf(method, path); ok {
				x.illustrate(op, path)
			}
		}
	}
}

// methodsOf returns the operations of one path.
func methodsOf(item *huma.PathItem) map[string]*huma.Operation {
	ops := map[string]*huma.Operation{}
	for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PATCH": item.Patch, "DELETE": item.Delete, "PUT": item.Put} {
		if op != nil {
			ops[method] = op
		}
	}
	return ops
}

func (x example) illustrate(op *huma.Operation, path string) {
	u, err := url.Parse(x.target())
	if err != nil {
		panic("adminapi: example of " + x.operation + ": " + err.Error())
	}
	values := u.Query()
	given := strings.Split(u.Path, "/")
	for i, part := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			values.Set(strings.TrimSuffix(name, "}"), given[i])
		}
	}
	for _, p := range op.Parameters {
		if !values.Has(p.Name) {
			continue
		}
		p.Example = values.Get(p.Name)
		if p.Schema != nil && p.Schema.Type != huma.TypeString {
			p.Example = json.RawMessage(values.Get(p.Name))
		}
	}
	if op.RequestBody == nil || x.body == "" {
		return
	}
	for kind, media := range op.RequestBody.Content {
		if media.Example = any(x.body); kind == "application/json" {
			media.Example = json.RawMessage(strings.ReplaceAll(x.body, "HANDLE", "AAECAwQFBgcICQoLDA0ODw=="))
		}
	}
}
