package adminapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// What lies in the database of FuzzOperations and is nobody's to see: secrets; and what a help
// desk that takes care of others may not see.
var (
	kept = []string{"KRUGKIDROVUWG2ZAMJZG653OEBTG66BA", "cGFzc3dvcmQtb2YtYWxpY2Utb3JzbGlrZS1pdC4u", "shared-word-of-vpn", "bind-word-of-corp", "auth-word-of-provider"}
	afar = []string{"zoe-afar", "Zoe Zimmermann", "zoe@afar.example", "+4930999999"}
)

// populated is the API with a little of everything.
func populated(t *testing.T) *real {
	t.Helper()
	r := newReal(t)
	for _, x := range []example{
		{"POST /import/users", "", "login,name,email,phone,password_hash\nalice,Alice Adams,alice@corp.example,+491701234567,\"$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IG9mIG91cnM$" + kept[1] + "\"\n" +
			afar[0] + "," + afar[1] + "," + afar[2] + "," + afar[3] + ",\n"},
		{"PATCH /users/{login}", "/users/alice", `{"tags":["staff"]}`},
		{"POST /users/{login}/credentials", "/users/alice/credentials", `{"method":"totp","secret":"` + kept[0] + `"}`},
		{"POST /users/{login}/credentials", "/users/" + afar[0] + "/credentials", `{"method":"totp","secret":"` + kept[0] + `"}`},
		{"POST /applications", "", `{"name":"shop","kind":"api","first_factor":"none","methods":["totp"]}`},
		{"POST /applications", "", `{"name":"vpn","kind":"radius","addresses":["192.0.2.1/32"],"secret":"` + kept[2] + `"}`},
		{"POST /directories", "", `{"name":"corp","kind":"ldap","urls":["ldap://127.0.0.1:1"],"bind_dn":"cn=x","bind_password":"` + kept[3] + `","base_dn":"dc=x","user_filter":"(uid={user})"}`},
		{"POST /gateways", "", `{"name":"provider","kind":"sms","profile":"twilio","login":"AC0123","password":"` + kept[4] + `","from":"+15005550006","countries":["US"]}`},
		{"POST /administrators", "", `{"login":"alice","role":"auditor"}`},
		{"POST /policy/rules", "", `{"name":"night","applications":["shop"],"hours":"mon-sun 22:00-06:00","zone":"Europe/Berlin","access":"deny"}`},
	} {
		if w := r.ask(t, x, "", mfa.Owner("root")); w.Code != http.StatusOK || strings.Contains(w.Body.String(), `"failed":1`) {
			t.Fatalf("%s %s: %d %s", x.operation, x.body, w.Code, w.Body)
		}
	}
	return r
}

// somebody is one of those who may ask: an administrator of each role, and a token of each scope.
func (r *real) somebody(t *testing.T, who uint8) admin.Caller {
	t.Helper()
	people := []mfa.Administrator{{Role: mfa.RoleOwner}, {Role: mfa.RoleAdministrator}, {Role: mfa.RoleAuditor},
		{Role: mfa.RoleHelpDesk, Permissions: mfa.SetOf(mfa.HelpDeskPermissions()...), Reach: mfa.Reach{Tags: []string{"staff"}}}}
	n := int(who) % (len(people) + len(admin.Scopes()))
	if n < len(people) {
		return people[n].Caller("adam (console)")
	}
	scope := admin.Scopes()[n-len(people)]
	want := admin.APITokenRequest{Name: "till", Scopes: []string{scope}, Seconds: 3600}
	if scope == admin.ScopeAuthenticate {
		want.Application = "shop"
	}
	made, err := r.api.admin.CreateAPIToken(t.Context(), "root", want)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := r.api.admin.TokenCaller(secret.FromString(string(made.Token.Expose())))
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

// FuzzOperations sends bodies and parameters that the schema may or may not allow to every
// operation, as everybody who may ask. Whatever comes, it is answered as described, by a problem if
// it cannot be done; it is no fault of the server's, and tells no secret.
func FuzzOperations(f *testing.F) {
	for i, x := range examples {
		if strings.Contains(x.target(), "tail") { // has no end
			continue
		}
		f.Add(uint8(i), uint8(0), x.target(), x.body, "")
		f.Add(uint8(i), uint8(i), x.target(), strings.Replace(x.body, `":"`, `":[{"`, 1), "key")
		if !strings.Contains(x.target(), "alice") {
			continue
		}
		f.Add(uint8(i), uint8(3), strings.ReplaceAll(x.target(), "alice", afar[0]), strings.ReplaceAll(x.body, "alice", afar[0]), "")
	}
	f.Add(uint8(0), uint8(0), "/users", `{"login":"\u0000"}`, "\t")
	f.Add(uint8(1), uint8(2), "/users?limit=-1&after=%00", "", "")
	f.Add(uint8(26), uint8(11), "/authenticate", `{"login":"`+strings.Repeat("a", 300)+`"}`, "")
	outside := newOutsider(f, Document)
	f.Fuzz(func(t *testing.T, which, who uint8, target, body, key string) {
		x := example{operation: examples[int(which)%len(examples)].operation, body: body}
		method, path, _ := strings.Cut(x.operation, " ")
		u, err := url.Parse(target)
		if err != nil || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || path == "/audit/tail" || strings.Contains(target, "tail") {
			t.Skip()
		}
		x.path = u.EscapedPath() + "?" + u.RawQuery
		if _, err := http.NewRequestWithContext(t.Context(), method, "https://nyc1"+Prefix+x.path, nil); err != nil {
			t.Skip()
		}
		r := populated(t)
		caller := r.somebody(t, who)
		for range 1 + min(len(key), 1) { // what is named is sent twice
			r.probe(t, outside, caller, x, key)
		}
	})
}

// probe sends one request, and looks at the answer.
func (r *real) probe(t *testing.T, outside outsider, caller admin.Caller, x example, key string) {
	t.Helper()
	req := as(x.request(""), caller)
	if key != "" && httpguts.ValidHeaderFieldValue(key) {
		req.Header.Set(onceKey, key)
	}
	w := httptest.NewRecorder()
	r.api.mux.ServeHTTP(w, req)
	said := w.Body.String()
	wrong := func(what string, more ...any) {
		t.Helper()
		t.Errorf("%s (%s) as %s with %s: %s: %d %s %v", x.operation, x.path, caller.By, x.body, what, w.Code, said, more)
	}
	if w.Code >= 500 {
		wrong("a fault of the server's")
	}
	if kind := w.Header().Get("Content-Type"); w.Code >= 400 && kind != "application/problem+json" {
		wrong("no problem", kind)
	}
	if odd := outside.answer(x.request(""), w.Result()); odd != "" && !strings.Contains(said, "no operation ") && w.Code/100 != 3 {
		wrong("not as described", odd)
	}
	for _, word := range kept {
		if strings.Contains(said, word) && !strings.Contains(x.path+x.body, word) {
			wrong("tells a secret", word)
		}
	}
	for _, of := range afar {
		if caller.Role == mfa.RoleHelpDesk && strings.Contains(said, of) && !strings.Contains(x.path+x.body, of) {
			wrong("tells a help desk of somebody else's users", of)
		}
	}
}
