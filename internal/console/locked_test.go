package console

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web/webtest"
)

// begin uses a link up and returns the page with the token.
func (r *rig) begin(login string) page {
	r.t.Helper()
	p := r.post("/setup", "link", r.link(), "login", login, "password", longPassword, "again", longPassword)
	r.status(p, http.StatusOK)
	return p
}

// Who has typed too many wrong codes reads that right ones are refused too, and for how long.
func TestLockedWhileSettingUp(t *testing.T) {
	for language, want := range map[string]string{"en": "right ones are refused too, for another 15 min", "de": "auch richtige werden deshalb abgelehnt, noch 15 min"} {
		r := newRig(t)
		prove := func(code string) page {
			req := webtest.Post(t, "/setup/code", "code", code)
			req.Header.Set("Accept-Language", language)
			return r.send(req)
		}
		p := r.begin("alice")
		var wrong page
		for range r.Admin.Settings.Settings().Second().Tries {
			if strings.Contains(wrong.text(), want) {
				t.Fatal("locked too early")
			}
			wrong = prove("000000")
			r.status(wrong, http.StatusUnprocessableEntity)
		}
		for _, p := range []page{wrong, prove(r.code(p))} {
			if r.status(p, http.StatusUnprocessableEntity); !strings.Contains(p.text(), want) || !strings.Contains(p.text(), "countersign user unlock") {
				t.Errorf("%s: %s", language, p.text())
			}
		}
		if _, err := r.Admin.UnlockUser(t.Context(), "root", "alice"); err != nil {
			t.Fatal(err)
		}
		r.now = r.now.Add(time.Minute)
		r.leads(r.post("/setup/code", "code", r.code(p)), "/")
	}
}

func TestLockedWhileProvingAToken(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	id := string(r.person("bob", mfa.RoleNone))
	p := r.post("/users/"+id+"/token", "label", "phone")
	credential := p.field(t, "credential")
	for range r.Admin.Settings.Settings().Second().Tries {
		r.post("/users/"+id+"/prove", "credential", credential, "code", "000000")
	}
	p = r.post("/users/"+id+"/prove", "credential", credential, "code", r.code(p))
	if r.status(p, http.StatusUnprocessableEntity); !strings.Contains(p.text(), "right ones are refused too, for another 15 min") {
		t.Error(p.text())
	}
}

// A newer link ends what an older one began, and of two who finish at once one is the owner.
func TestOneOwnerComesOfSettingUp(t *testing.T) {
	r := newRig(t)
	first := r.begin("alice")
	older := r.cookie
	r.cookie = ""
	second := r.begin("bob")
	newer := r.cookie
	r.cookie = older
	r.status(r.post("/setup/code", "code", r.code(first)), http.StatusForbidden)
	r.status(r.post("/setup/again"), http.StatusForbidden)

	alice, _ := r.Admin.User(t.Context(), "alice")
	bob, _ := r.Admin.User(t.Context(), "bob")
	var all sync.WaitGroup
	won := make(chan error, 16)
	for i := range 16 {
		all.Go(func() { won <- r.Admin.FinishSetup(t.Context(), []admin.User{alice, bob}[i%2]) })
	}
	all.Wait()
	close(won)
	good := 0
	for err := range won {
		if err == nil {
			good++
		}
	}
	if good != 1 {
		t.Errorf("%d have finished", good)
	}
	owners, err := r.Admin.ListAdministrators(t.Context())
	if err != nil || len(owners.Administrators) != 1 || owners.Administrators[0].Login != "bob" {
		t.Errorf("%+v, %v", owners, err)
	}
	r.cookie = newer
	r.status(r.post("/setup/code", "code", r.code(second)), http.StatusForbidden) // somebody was faster
}
