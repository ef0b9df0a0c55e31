package admin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/mfa"
	"countersign/internal/parking"
)

// What the trail gets of a parked change shows nothing that is sealed in the database.
func TestParkedActs(t *testing.T) {
	u := mfa.User{ID: "u", Login: "carol", State: mfa.StateProtected, Phone: "+15550100", Email: "carol@corp.example"}
	was := u
	was.Phone, was.State = "+15550199", mfa.StateDenied
	trail := admintest.NewTrail()
	s := &admin.Service{Server: "nyc1", Trail: trail, Now: time.Now, Parked: &admintest.Parked{Changes: []parking.Change{
		{ID: "a", Epoch: 4, Server: "nyc2", Kind: parking.User, What: parking.Added, After: parking.Object{User: &u}},
		{ID: "b", Epoch: 4, Server: "nyc2", Kind: parking.User, What: parking.Changed, Before: parking.Object{User: &was}, After: parking.Object{User: &u}, Standing: parking.Conflict},
		{ID: "c", Epoch: 4, Server: "nyc2", Kind: parking.User, What: parking.Removed, Before: parking.Object{User: &was}},
	}}}
	if _, err := s.ApplyParked(t.Context(), "root", "b", admin.ParkedRequest{}); !errors.Is(err, mfa.ErrConflict) {
		t.Errorf("a conflict was applied: %v", err)
	}
	_, errA := s.ApplyParked(t.Context(), "root", "a", admin.ParkedRequest{})
	_, errB := s.ApplyParked(t.Context(), "root", "b", admin.ParkedRequest{Force: true})
	_, errC := s.DiscardParked(t.Context(), "root", "c")
	if err := errors.Join(errA, errB, errC); err != nil {
		t.Fatal(err)
	}
	var verbs []string
	for _, a := range trail.Recorded() {
		verbs = append(verbs, a.Verb)
		if a.By != "root" || a.Object != "carol" || !strings.Contains(a.Detail, "in epoch 4 of nyc2") || strings.Contains(a.Detail, "+1555") || strings.Contains(a.Detail, "corp.example") {
			t.Errorf("act %+v", a)
		}
	}
	if got := strings.Join(verbs, ", "); got != "group parked apply, group parked apply --force, group parked discard" {
		t.Errorf("verbs %s", got)
	}
	if d := trail.Recorded()[1].Detail; !strings.Contains(d, `state "denied" -> "protected"`) || !strings.Contains(d, "phone changed") {
		t.Errorf("detail %q", d)
	}
}
