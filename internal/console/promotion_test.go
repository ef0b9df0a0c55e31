package console

import (
	"net/http"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/session"
)

// offers are the paths that a page leads to in order to promote.
func (p page) offers() (all []string) {
	for _, path := range []string{`href="/promotion"`, `href="/promotion/disaster"`} {
		if strings.Contains(p.body, path) {
			all = append(all, path)
		}
	}
	if strings.Contains(p.body, `action="/promotion`) {
		all = append(all, "a button")
	}
	return all
}

// A promotion is offered where it would be allowed and to whom it is, and nothing on the status
// page does anything.
func TestPromotionIsOffered(t *testing.T) {
	for name, one := range map[string]struct {
		role                mfa.Role
		lost, alone, behind bool
		want                string
	}{
		"two servers":            {role: mfa.RoleOwner, want: `href="/promotion"`},
		"one server":             {role: mfa.RoleOwner, alone: true},
		"no master":              {role: mfa.RoleOwner, lost: true, want: `href="/promotion/disaster"`},
		"no master, and fresher": {role: mfa.RoleOwner, lost: true, behind: true},
		"an administrator":       {role: mfa.RoleAdministrator},
		"an auditor, no master":  {role: mfa.RoleAuditor, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := signedInAs(t, one.role)
			r.node.Lost, r.node.Alone, r.node.Behind = one.lost, one.alone, one.behind
			for _, path := range []string{"/", "/offer"} {
				if got := strings.Join(r.get(path).offers(), ", "); got != one.want {
					t.Errorf("%s offers %q, want %q", path, got, one.want)
				}
			}
			for _, path := range []string{"/users", "/live"} {
				if got := r.get(path).offers(); got != nil {
					t.Errorf("%s offers %q", path, got)
				}
			}
		})
	}
}

func TestMoveTheMaster(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	p := r.get("/promotion?to=nowhere")
	if r.status(p, http.StatusNotFound); len(p.forms()) != 0 && p.forms()[0].method == "post" {
		t.Errorf("a button for what is not allowed: %s", p.text())
	}
	p = r.get("/promotion")
	for _, want := range []string{"Old master nyc1", "New master nyc2", "Would be lost nothing", "nyc2 answers, and has everything up to revision 7", "nyc1 has the only vote", "Votes"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("the receipt lacks %q: %s", want, p.text())
		}
	}
	f := p.forms()[0]
	if all, _ := r.node.Servers(t.Context()); len(all) != 1 {
		t.Fatal("a look promotes")
	}
	r.status(r.post(f.action, f.values("from", "nyc3")...), http.StatusConflict)
	r.status(r.post(f.action, f.values("epoch", "7")...), http.StatusConflict)
	r.status(r.post(f.action, f.values("to", "")...), http.StatusConflict)
	if all, _ := r.node.Servers(t.Context()); len(all) != 1 {
		t.Fatal("promoted from another state than was shown")
	}
	r.now = r.now.Add(session.Fresh) // the proof is due, and the receipt is kept
	p = r.prove(r.post(f.action, f.values("x", "")...))
	r.status(p, http.StatusOK)
	for _, want := range []string{"nyc2 is the master now; for 104 ms no changes were taken", "nyc1 gives its vote back", "vote nyc2 30 ms"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("the answer lacks %q: %s", want, p.text())
		}
	}
}

func TestBeginAnEpoch(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	r.node.Lost, r.node.Behind = true, true
	p := r.get("/promotion/disaster")
	if r.status(p, http.StatusUnprocessableEntity); len(p.forms()) != 0 || !strings.Contains(p.text(), "nyc3 is fresher") || !strings.Contains(p.body, "/promotion/disaster?force=1") {
		t.Errorf("what is in the way: %s", p.body)
	}
	r.status(r.post("/promotion/disaster/begin", "confirm", "acme/1"), http.StatusUnprocessableEntity) // not by force, whatever is typed
	p = r.get("/promotion/disaster?force=1")
	for _, want := range []string{"By force", "Epoch that ends 1", "Epoch that begins 2", "Old master nyc2", "Changes that may be lost 2", "Users whom these concern not known",
		"server nyc3 answers", "what nyc2 wrote", "Awaited nyc2", "your word that the old master is gone", "Type acme/1"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("the receipt lacks %q: %s", want, p.text())
		}
	}
	f := p.forms()[0]
	p = r.post(f.action, f.values("confirm", "acme/2")...)
	if r.status(p, http.StatusUnprocessableEntity); !strings.Contains(p.text(), "what ends is acme/1") {
		t.Error(p.text())
	}
	if st, _ := r.node.Status(t.Context()); st.Epoch != 1 {
		t.Fatal("an epoch began without what ends having been typed")
	}
	p = r.post(f.action, f.values("confirm", " acme/1 ")...)
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "nyc1 starts over with epoch 2") {
		t.Error(p.text())
	}
	r.node.Lost = false
	r.status(r.post("/parked/release"), http.StatusSeeOther)
}

func TestParkedCopies(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	user := func(login string) parking.Object { return parking.Object{User: &mfa.User{Login: login}} }
	r.parked.Changes = []parking.Change{{ID: "p1", Epoch: 1, Server: "nyc2", Kind: "user", What: "added", After: user("bob")},
		{ID: "p2", Epoch: 1, Server: "nyc2", Kind: "user", What: "changed", Before: user("carol"), After: user("carola"), Standing: parking.Conflict}, {ID: "p3", Kind: "user", What: "removed", Before: user("dave")}}
	r.parked.Reports = []parking.Report{{Epoch: 1, Server: "nyc2", Records: 4, Twice: 1, Listed: 3, Finished: r.now}}
	p := r.get("/parked")
	for _, want := range []string{"bob user added epoch 1 of nyc2", "changed here too", "4 settlement records merged, 1 codes used on both sides"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("no %q in %s", want, p.text())
		}
	}
	r.status(r.post("/parked/do", "do", "apply"), http.StatusUnprocessableEntity)
	r.status(r.post("/parked/do", "do", "burn", "id", "p1"), http.StatusUnprocessableEntity)
	r.status(r.post("/parked/do", "do", "discard", "id", "p1"), http.StatusUnprocessableEntity)
	if p = r.post("/parked/do", "do", "apply", "id", "p1"); !strings.Contains(p.text(), "1 change is done: p1 user bob added") {
		t.Error(p.text())
	}
	if p = r.post("/parked/do", "do", "apply", "id", "p2"); !strings.Contains(p.text(), "1 change was refused: p2: it was changed in this epoch too") {
		t.Error(p.text())
	}
	if p = r.post("/parked/do", "do", "apply", "force", "1", "id", "p2"); !strings.Contains(p.text(), "1 change is done") {
		t.Error(p.text())
	}
	if p = r.post("/parked/do", "do", "discard", "sure", "1", "id", "p3"); !strings.Contains(p.text(), "Nothing waits.") {
		t.Error(p.text())
	}
	verbs := ""
	for _, a := range r.trail.Recorded() {
		verbs += a.Verb + "; "
	}
	if !strings.HasSuffix(verbs, "group parked apply; group parked apply --force; group parked discard; ") && !strings.Contains(verbs, "group parked apply; ") {
		t.Errorf("recorded %s", verbs)
	}
	r.status(r.post("/parked/release"), http.StatusNotFound)
}

// What is in the way of changes is said by itself, whatever else is wrong at that server, and before an alarm says it.
func TestWhyNothingCanBeChanged(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	r.node.Alarms = []admin.Alarm{{Name: "clock", Server: "nyc1", Detail: "clock is not synchronised", NextStep: "start chrony"}}
	for _, early := range []bool{false, true} {
		r.node.Lost, r.node.Early = true, early
		said := r.get("/promotion").text()
		_, banner, _ := strings.Cut(said, "Changes are refused for now.")
		banner, _, _ = strings.Cut(banner, "Sign-ins go on; blocking works.")
		want := "nyc2 does not answer"
		if early {
			want = "no master answers since"
		}
		if !strings.Contains(banner, want) || strings.Contains(banner, "clock") {
			t.Errorf("an alarm of it yet: %v; the banner says %q", !early, banner)
		}
	}
}
