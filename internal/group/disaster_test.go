package group

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// stage is a pair whose master n1 was lost a minute ago, seen from its replica n2, with a
// second replica n3 that answers.
func stage() Scene {
	last := func(name, role string, rev int64, ago time.Duration) *Seen {
		return &Seen{Name: name, Last: midday.Add(-ago), Report: Report{Name: name, Role: role, Quorum: true, Master: "n1", Epoch: 4, ClusterID: "a", Revision: rev}}
	}
	return Scene{Group: "corp", Self: mfa.Member{Name: "n2", Role: mfa.RoleServer}, Own: Report{Name: "n2", Role: "replica", Epoch: 4, ClusterID: "a", Revision: 100},
		Highest: 4, Master: "n1", Started: midday.Add(-time.Hour), Now: midday, Silence: DestroyedAfter,
		Others: []Witnessed{
			{Member: mfa.Member{Name: "n1", Peer: "n1:7443"}, Voter: true, Err: errors.New("connection refused"), Last: last("n1", "master", 103, time.Minute)},
			{Member: mfa.Member{Name: "n3", Peer: "n3:7443"}, Last: last("n3", "replica", 100, time.Second),
				Answer: &Report{Name: "n3", Role: "replica", Epoch: 4, ClusterID: "a", Revision: 100}, Epoch: &Epoch{Epoch: 4, ClusterID: "a", Highest: 4}},
		}}
}

// three makes voters of all; who is silent has been for so long.
func three(s *Scene, silent time.Duration) {
	s.Voter, s.Master = true, ""
	for i := range s.Others {
		o := &s.Others[i]
		o.Voter = true
		if o.Answer == nil {
			o.Last.Last = midday.Add(-silent)
		}
	}
}

func gone(o *Witnessed) { o.Answer, o.Epoch, o.Err = nil, nil, errors.New("timeout") }

func TestDisasterJudged(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Scene)
		refuse string // in the error; "": promoted
		forced bool   // --force helps
	}{
		{"the master of a pair is gone", func(*Scene) {}, "", true},
		{"a witness", func(s *Scene) { s.Self.Role = mfa.RoleWitness }, "is a witness", false},
		{"still joining", func(s *Scene) { s.Own.Role = "joining" }, "no copy of the database", false},
		{"it hears the master", func(s *Scene) { s.Own.Quorum, s.Own.Master = true, "n1" }, "hears the master n1", false},
		{"it is the master", func(s *Scene) { s.Own.Role, s.Own.Quorum = "master", true }, "is the master of epoch 4 already", false},
		{"the master answers", func(s *Scene) {
			s.Others[0].Answer = &Report{Name: "n1", Role: "master", Master: "n1", Quorum: true, Epoch: 4, ClusterID: "a", Revision: 103}
		}, "n1 at n1:7443 answers as the master", false},
		{"the master answers and its database does not", func(s *Scene) {
			s.Others[0].Answer = &Report{Name: "n1", Role: "master", Epoch: 4, ClusterID: "a", Revision: 103}
		}, "n1 at n1:7443 answers as the master", false},
		{"another replica hears the master", func(s *Scene) { s.Others[1].Answer.Quorum, s.Others[1].Answer.Master = true, "n1" }, "n3 at n3:7443 hears it (n1)", false},
		{"another replica is fresher", func(s *Scene) { s.Others[1].Answer.Revision = 102 }, "n3 at n3:7443 is fresher: its copy is at revision 102", true},
		{"a fresher witness", func(s *Scene) { s.Others[1].Answer.Revision, s.Others[1].Member.Role = 102, mfa.RoleWitness }, "", true},
		{"another replica begins an epoch", func(s *Scene) { s.Others[1].Answer.Begins = 5 }, "n3 at n3:7443 begins epoch 5 at this moment", false},
		{"another replica is silent", func(s *Scene) { gone(&s.Others[1]) }, "", true},
		{"a later epoch lives", func(s *Scene) { s.Others[1].Epoch = &Epoch{Epoch: 5, ClusterID: "b", Highest: 5, Master: "n3"} }, "epoch 5 lives", false},
		{"a later epoch's copy", func(s *Scene) { s.Others[1].Epoch = &Epoch{Epoch: 5, ClusterID: "b", Highest: 5} }, "has a copy of epoch 5", true},
		{"a later epoch was heard of and is gone", func(s *Scene) { s.Highest = 5 }, "", true},
		{"a replica of an earlier epoch", func(s *Scene) { s.Others[1].Answer.Epoch = 3; s.Others[1].Epoch.Epoch = 3 }, "", true},
		{"two of three gone, just now", func(s *Scene) { gone(&s.Others[1]); three(s, 149*time.Second) }, "silent for 2m29s only", false},
		{"two of three gone for good", func(s *Scene) { gone(&s.Others[1]); three(s, 150*time.Second) }, "", true},
		{"two of three gone, and this server just started", func(s *Scene) {
			gone(&s.Others[1])
			three(s, time.Hour)
			s.Others[0].Last, s.Started = nil, midday.Add(-time.Minute)
		}, "ask again in 1m30s", false},
		{"two of three live", func(s *Scene) { three(s, time.Hour) }, "2 of 3 voters answer, which is a majority", false},
		{"the other side of this epoch, met first now", func(s *Scene) { s.Others[1].Answer.ClusterID = "b" }, "another database of epoch 4", false},
		{"the chosen side of an epoch with two", func(s *Scene) {
			s.Rival, s.Own.Role, s.Own.Quorum, s.Own.Master = true, "master", true, "n2"
			s.Others[1].Answer = &Report{Name: "n3", Role: "master", Quorum: true, Master: "n3", Epoch: 4, ClusterID: "b", Revision: 900}
		}, "", true},
		{"a replica of a side that has its master", func(s *Scene) { s.Rival, s.Own.Quorum, s.Own.Master = true, true, "n7" }, "promote that one", false},
	} {
		for _, force := range []bool{false, true} {
			s := stage()
			c.change(&s)
			p, err := s.Judge(force)
			want := c.refuse
			if force && c.forced {
				want = ""
			}
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, force %v: %v; want %q", c.name, force, err, want)
			}
			if err != nil && !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("%s: %v is not told as a refusal", c.name, err)
			}
			if p.NewEpoch != p.Epoch+1 || p.Epoch < s.Own.Epoch {
				t.Errorf("%s: epoch %d after %d", c.name, p.NewEpoch, p.Epoch)
			}
		}
	}
}

func TestDisasterReceipt(t *testing.T) {
	s := stage()
	p, err := s.Judge(false)
	if err != nil {
		t.Fatal(err)
	}
	if p.Epoch != 4 || p.NewEpoch != 5 || p.Confirm != "corp/4" || p.OldMaster != "n1" || p.NewMaster != "n2" || p.Revision != 100 || !p.Unconfirmed {
		t.Errorf("%+v", p)
	}
	if *p.LastRevisionHeard != 103 || *p.WritesAtRisk != 3 || p.UsersAtRisk != nil || !p.LastHeard.Equal(midday.Add(-time.Minute)) {
		t.Errorf("at risk: %d of %d, users %v, heard %s", *p.WritesAtRisk, *p.LastRevisionHeard, p.UsersAtRisk, p.LastHeard)
	}
	if !slices.Equal(p.Awaits, []string{"n1"}) || len(p.Destroyed) != 0 {
		t.Errorf("awaits %v, destroyed %v", p.Awaits, p.Destroyed)
	}
	if text := strings.Join(p.NotKnown, "\n"); !strings.Contains(text, "what n1 wrote after 2026-11-28T11:59:00Z") || !strings.Contains(text, "n1:7443 does not answer (last heard 1m0s ago; connection refused)") {
		t.Errorf("not known:\n%s", text)
	}

	s.Others[0].Last = nil // as after a restart of n2
	if p, _ = s.Judge(false); p.LastRevisionHeard != nil || p.WritesAtRisk != nil || p.UsersAtRisk != nil || p.OldMaster != "n1" {
		t.Errorf("never heard: %+v", p)
	}
	s = stage()
	s.Others[0].Last.Report.Revision = 100
	if p, _ = s.Judge(false); *p.WritesAtRisk != 0 || *p.UsersAtRisk != 0 {
		t.Errorf("nothing is known to be missing: %+v", p)
	}
	s = stage()
	gone(&s.Others[1])
	three(&s, time.Hour)
	if p, err = s.Judge(false); err != nil || !slices.Equal(p.Destroyed, []string{"n1", "n3"}) || !slices.Equal(p.Awaits, []string{"n1", "n3"}) || p.OldMaster != "n1" {
		t.Errorf("two of three: %+v, %v", p, err)
	}
	s.Others[1].Member.Role = mfa.RoleWitness
	if p, err = s.Judge(false); err != nil || !slices.Equal(p.Destroyed, []string{"n1", "n3"}) || !slices.Equal(p.Awaits, []string{"n1"}) {
		t.Errorf("a server and a witness of three: %+v, %v", p, err)
	}
	s = stage()
	s.Highest = 1007
	if p, _ = s.Judge(false); p.NewEpoch != 1008 || p.Confirm != "corp/1007" {
		t.Errorf("a later epoch was heard of: %+v", p)
	}
}

// A new epoch holds codes without a time until all is merged that its copy may lack, and waits
// for nobody who has nothing to merge.
func TestDisasterAwaits(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(n3 *Witnessed)
		want   []string
	}{
		{"a replica that has no more", func(*Witnessed) {}, []string{"n1"}},
		{"a replica that settled something alone", func(n3 *Witnessed) { n3.Answer.Unmerged = 1 }, []string{"n1", "n3"}},
		{"a fresher replica", func(n3 *Witnessed) { n3.Answer.Revision = 102 }, []string{"n1", "n3"}},
		{"a silent replica", gone, []string{"n1", "n3"}},
		{"a silent witness", func(n3 *Witnessed) { gone(n3); n3.Member.Role = mfa.RoleWitness }, []string{"n1"}},
		{"a server that never came to this epoch", func(n3 *Witnessed) { n3.Answer.Epoch, n3.Epoch.Epoch = 3, 3 }, []string{"n1", "n3"}},
		{"a server of a later epoch", func(n3 *Witnessed) { n3.Answer.Epoch, n3.Epoch.Epoch, n3.Epoch.Highest = 5, 5, 5 }, []string{"n1", "n3"}},
	} {
		s := stage()
		c.change(&s.Others[1])
		if p, err := s.Judge(true); err != nil || !slices.Equal(p.Awaits, c.want) {
			t.Errorf("%s: awaits %v, want %v (%v)", c.name, p.Awaits, c.want, err)
		}
	}
}

// What the others say once this server has stepped aside is what holds.
func TestDisasterStill(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Scene)
		refuse string
		awaits []string
	}{
		{"nothing has changed", func(*Scene) {}, "", []string{"n1"}},
		{"it has stepped aside", func(s *Scene) { s.Own.Aside, s.Own.Begins, s.Own.Revision = "epoch 5 begins", 5, 101 }, "", []string{"n1"}},
		{"the master is back", func(s *Scene) {
			s.Others[0].Answer = &Report{Name: "n1", Role: "master", Master: "n1", Quorum: true, Epoch: 4, ClusterID: "a", Revision: 103}
		}, "n1 at n1:7443 answers as the master", nil},
		{"another server begins an epoch", func(s *Scene) { s.Others[1].Answer.Begins = 5 }, "begins epoch 5", nil},
		{"a later epoch is heard of", func(s *Scene) { s.Highest = 7 }, "epoch 7 was heard of meanwhile", nil},
		{"a replica has gone silent", func(s *Scene) { gone(&s.Others[1]) }, "", []string{"n1", "n3"}},
	} {
		before, now := stage(), stage()
		p, err := before.Judge(false)
		if err != nil {
			t.Fatal(err)
		}
		c.change(&now)
		err = before.Still(now, &p, false)
		if c.refuse == "" && err != nil || c.refuse != "" && (err == nil || !strings.Contains(err.Error(), c.refuse)) {
			t.Errorf("%s: %v; want %q", c.name, err, c.refuse)
		}
		if err == nil && (!slices.Equal(p.Awaits, c.awaits) || p.Revision != now.Own.Revision || p.NewEpoch != 5) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
	chosen := func() Scene { // one of two sides, which leads and has a replica
		s := stage()
		s.Rival, s.Own.Role, s.Own.Quorum, s.Own.Master = true, "master", true, "n2"
		s.Others[1].Answer.Quorum, s.Others[1].Answer.Master = true, "n2"
		return s
	}
	before, now := chosen(), chosen()
	now.Own.Quorum = false // behind the fence
	p, err := before.Judge(false)
	if err == nil {
		err = before.Still(now, &p, false)
	}
	if err != nil {
		t.Errorf("the chosen side of two: %v", err)
	}
}

// After a restart the receipt tells what was heard before it, and that this is so.
func TestReceiptAfterARestart(t *testing.T) {
	at := midday.Add(-time.Minute)
	for _, c := range []struct {
		name         string
		kept         *Kept
		master       string
		rev          int64 // -1: not known
		users        int64 // -1: not known
		known, other string
	}{
		{"nothing is kept", nil, "n1", -1, -1, "", "has never heard it in this epoch"},
		{"of another epoch", &Kept{Name: "n1", At: at, Epoch: 3, ClusterID: "z", Revision: 103, Led: true}, "n1", -1, -1, "", "has never heard it in this epoch"},
		{"as far as this copy", &Kept{Name: "n1", At: at, Epoch: 4, ClusterID: "a", Revision: 100, Led: true}, "n1", 100, 0, "before this server was restarted", "wrote after"},
		{"further", &Kept{Name: "n1", At: at, Epoch: 4, ClusterID: "a", Revision: 103, Led: true}, "n1", 103, -1, "before this server was restarted", "which users these 3 writes touch"},
	} {
		s := stage()
		if c.name == "further" { // then nobody knows by votes who led
			s.Others[1].Answer, s.Others[1].Epoch = nil, nil
			three(&s, time.Hour)
		}
		s.Master, s.Others[0].Last, s.Others[0].Before = "", nil, c.kept
		p, err := s.Judge(false)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		rev, users := int64(-1), int64(-1)
		if p.LastRevisionHeard != nil {
			rev = *p.LastRevisionHeard
		}
		if p.UsersAtRisk != nil {
			users = *p.UsersAtRisk
		}
		if p.OldMaster != c.master || rev != c.rev || users != c.users || !strings.Contains(strings.Join(p.Known, "\n"), c.known) || !strings.Contains(strings.Join(p.NotKnown, "\n"), c.other) {
			t.Errorf("%s: %+v, revision %d, users %d", c.name, p, rev, users)
		}
	}
}
