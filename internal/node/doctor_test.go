package node

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/admin"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/reach"
)

// What another server answers is judged: each case breaks one thing.
func TestWhatAServerAnswers(t *testing.T) {
	good := group.Report{Name: "n2", Role: "replica", Epoch: 4, Revision: 100, Quorum: true, Master: "n1"}
	with := func(change func(*group.Report)) group.Report { r := good; change(&r); return r }
	for _, c := range []struct {
		name        string
		err         error
		report      group.Report
		layer, says string
		ok          bool
	}{
		{"all is well", nil, good, reach.Lag, "replica, epoch 4, revision 100 (+0)", true},
		{"it does not know our key", group.ErrNotMember, group.Report{}, reach.Authorisation, "no server of the group", false},
		{"our epoch has ended", fmt.Errorf("epoch 4: %w", group.ErrEpochEnded), group.Report{}, reach.Epoch, "epoch 4", false},
		{"it starts", fmt.Errorf("this server is starting: %w", mfa.ErrUnavailable), group.Report{}, reach.HTTP, "is starting", false},
		{"it has a fault", fmt.Errorf("a fault"), group.Report{}, reach.HTTP, "a fault", false},
		{"it is another one", nil, with(func(r *group.Report) { r.Name = "n3" }), reach.Authorisation, "is n3, not n2", false},
		{"its epoch is lower", nil, with(func(r *group.Report) { r.Epoch = 3 }), reach.Epoch, "n2 is at epoch 3, this server at 4", false},
		{"its epoch is higher", nil, with(func(r *group.Report) { r.Epoch = 5 }), reach.Epoch, "n2 is at epoch 5", false},
		{"it joins", nil, with(func(r *group.Report) { r.Epoch, r.Role, r.Revision = 0, "joining", 90 }), reach.Lag, "joining", true},
		{"it is behind", nil, with(func(r *group.Report) { r.Revision = 100 - 5001 }), reach.Lag, "5001 revisions behind the one here", false},
		{"we are behind", nil, with(func(r *group.Report) { r.Revision = 5101 }), reach.Lag, "5001 revisions behind that of n2", false},
	} {
		r := reach.Result{OK: true, Layer: reach.HTTP}
		judgeReport(&r, mfa.Member{Name: "n2"}, c.err, c.report, 4, 100)
		if r.OK != c.ok || r.Layer != c.layer || !strings.Contains(r.Detail, c.says) || (r.NextStep == "") != c.ok {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

func TestWhatTheCoordinatorAnswers(t *testing.T) {
	id, err := makeIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := func(server string) ed25519.PublicKey {
		if server == "n1" {
			return id.public()
		}
		return nil
	}
	for _, c := range []struct {
		name        string
		err         error
		by          string
		epoch       uint64
		layer, says string
		ok          bool
	}{
		{"all is well", nil, "n1", 4, reach.Epoch, "master n1 in epoch 4", true},
		{"nobody known has signed", nil, "n9", 4, reach.Authorisation, "not signed by", false},
		{"it knows no master", fmt.Errorf("no master: %w", mfa.ErrUnavailable), "n1", 4, reach.HTTP, "no master", false},
		{"another epoch", nil, "n1", 5, reach.Epoch, "in epoch 5, this server is at 4", false},
	} {
		signed, err := coordinator.Sign(coordinator.Standing{Group: "corp", Epoch: c.epoch, Name: "n1", By: c.by}, id.signMessage)
		if err != nil {
			t.Fatal(err)
		}
		r := reach.Result{OK: true, Layer: reach.HTTP}
		judgeStanding(&r, mfa.Member{Name: "n1"}, c.err, signed, key, 4)
		if r.OK != c.ok || r.Layer != c.layer || !strings.Contains(r.Detail, c.says) || (r.NextStep == "") != c.ok {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// A coordinator that is not reached is looked for where the node file here says, and is no
// server that could be started as one.
func TestNextStepForTheCoordinator(t *testing.T) {
	closed := free(t)
	for _, c := range []struct{ address, layer, says string }{
		{closed, reach.TCP, "countersign coordinator --config"},
		{"coordinator.invalid:443", reach.Lookup, "coordinator.urls in the node file here"},
	} {
		r := reach.Try(t.Context(), reach.Target{Server: "the coordinator", Address: c.address, Setting: "listen.coordinator", Path: "/", Now: time.Now})
		outsideNext(&r, c.address)
		if r.OK || r.Layer != c.layer || !strings.Contains(r.NextStep, c.says) || strings.Contains(r.NextStep, "start the server") {
			t.Errorf("%s: %+v", c.address, r)
		}
	}
}

// Trials run at the same time, and one that does not end holds nothing up.
func TestDoctorEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ok := func(name string, after time.Duration) trial {
			return trial{name, func(context.Context) []admin.Check { time.Sleep(after); return []admin.Check{{Name: name, OK: true}} }}
		}
		stuck := trial{"stuck", func(context.Context) []admin.Check { <-release; return nil }}
		ctx, cancel := context.WithTimeout(t.Context(), doctorTimeout)
		defer cancel()
		began := time.Now()
		list := atOnce(ctx, []trial{ok("slow", 5*time.Second), stuck, ok("slow too", 6*time.Second), ok("quick", 0)})
		var names []string
		for _, c := range list {
			names = append(names, fmt.Sprintf("%s %v", c.Name, c.OK))
		}
		if want := []string{"slow true", "stuck false", "slow too true", "quick true"}; !slices.Equal(names, want) || list[1].NextStep == "" {
			t.Errorf("got %v", list)
		}
		if took := time.Since(began); took > doctorTimeout+doctorGrace {
			t.Errorf("it took %s", took)
		}
		close(release)
	})
}
