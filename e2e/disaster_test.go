package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

// quick gives a user a time-based token of ten seconds.
func (s *server) quick(login string) *token {
	s.t.Helper()
	var made struct{ Secret string }
	s.json(&made, "credential", "add", login, "--method", "totp", "--period", "10")
	seed, err := oath.ParseSecret(secret.FromString(made.Secret))
	if err != nil {
		s.t.Fatal(err)
	}
	k := &token{period: 10}
	if k.key, err = oath.NewTOTP(seed, oath.DefaultAlgorithm, oath.DefaultDigits, 10); err != nil {
		s.t.Fatal(err)
	}
	return k
}

// lost waits until a new epoch can begin on s, and returns the receipt.
func (s *server) lost(flags ...string) (p mfa.DisasterPromotion) {
	s.t.Helper()
	var last result
	defer func() {
		if s.t.Failed() {
			s.t.Logf("last refusal: %s", last.stderr)
		}
	}()
	await(s.t, "the master is taken for lost", func() bool {
		last = s.try("", append([]string{"group", "promote", "--disaster", "--dry-run", "--json"}, flags...)...)
		return last.code == 0 && document(last.stdout, &p) == nil
	})
	return p
}

// refusesPromotion checks that no new epoch begins on s, forced or not, and why.
func (s *server) refusesPromotion(confirm, why string) {
	s.t.Helper()
	for _, force := range [][]string{nil, {"--force"}} {
		r := s.try("", append([]string{"group", "promote", "--disaster", "--confirm", confirm}, force...)...)
		if r.code != 1 || !strings.Contains(r.stderr, why) {
			s.t.Errorf("promote --disaster %v: exit %d: %s; want %q", force, r.code, r.stderr, why)
		}
	}
}

func (s *server) status() (st admin.Status) { s.t.Helper(); s.answer(&st, "status"); return st }

// inEpoch waits until s serves an epoch in a role, in contact.
func (s *server) inEpoch(epoch uint64, role string) {
	s.t.Helper()
	var st admin.Status
	defer func() {
		if s.t.Failed() {
			s.t.Logf("last status: %+v", st)
		}
	}()
	await(s.t, "the epoch", func() bool {
		st = admin.Status{}
		r := s.try("", "status", "--json")
		return r.code == 0 && document(r.stdout, &st) == nil && st.Epoch == epoch && st.Role == role && st.Master != ""
	})
}

// reason is why the last sign-in of a user was refused or not.
func (s *server) reason(login string) string {
	s.t.Helper()
	if all := s.attempts("--user", login); len(all) > 0 {
		return all[0].Reason
	}
	return ""
}

// frozen checks that changes are refused because the epoch has two sides.
func (s *server) frozen() {
	s.t.Helper()
	if r := s.try("", "user", "add", "nobody"); r.code != 1 || !strings.Contains(r.stderr, "has two databases") {
		s.t.Errorf("a change on one of two sides: exit %d %s", r.code, r.stderr)
	}
	s.cli("user", "block", "hank", "--for", "1s") // what takes something away goes on
}

// parked lists the databases that were set aside.
func (s *server) parked() []string {
	s.t.Helper()
	all, err := filepath.Glob(filepath.Join(s.data, "db", "*.parked"))
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// recorded reports whether the trail has an act of that verb.
func (s *server) recorded(verb string) bool {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.data, "trail", "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), `"`+verb+`"`) {
			return true
		}
	}
	return false
}

// A pair whose master is gone for good: the replica signs in at once, and a new epoch begins
// on it when the operator says so. Then the old master comes back all the same.
func TestDisasterPair(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	m, rep := all[0], all[1]
	rep.application("none", atNone, "--first-factor", "none")
	rep.user("tess", "")
	rep.user("hank", "")
	tess, hank := m.quick("tess"), m.hotp("hank")
	at := func(s *server) *nas { return newNAS(t, atNone, s.radius) }
	ask := func(s *server, login, code string, want radius.Code) {
		t.Helper()
		if r := at(s).ask(login, code, nil); r.code != want {
			t.Errorf("%s signs in: %v, want %s (%s)", login, r, want, s.reason(login))
		}
	}
	used := tess.now()
	ask(m, "tess", used, radius.AccessAccept)
	ask(m, "hank", hank.press(), radius.AccessAccept)
	rep.refusesPromotion("test/1", "hears the master n1")
	m.refusesPromotion("test/1", "is the master of epoch 1 already")

	await(t, "what the replica heard of the master is written down", func() bool {
		b, err := os.ReadFile(filepath.Join(rep.data, "heard.json"))
		return err == nil && strings.Contains(string(b), `"n1"`)
	})
	m.kill9()
	ask(rep, "hank", hank.press(), radius.AccessAccept)
	rep.stop()
	rep.start() // which forgets nothing that the receipt needs
	p := rep.lost()
	if p.Group != "test" || p.Epoch != 1 || p.NewEpoch != 2 || p.OldMaster != "n1" || p.NewMaster != "n2" || p.Confirm != "test/1" || !p.Unconfirmed || !p.DryRun ||
		p.LastRevisionHeard == nil || p.WritesAtRisk == nil || len(p.Awaits) != 1 || len(p.Destroyed) != 0 {
		t.Errorf("receipt: %+v", p)
	}
	rep.refusesPromotion("test/2", "what ends is test/1: nothing was changed")
	if st := rep.status(); st.Epoch != 1 || st.Role != "replica" {
		t.Errorf("after refusals: %+v", st)
	}
	var done mfa.DisasterPromotion
	rep.json(&done, "group", "promote", "--disaster", "--confirm", "test/1")
	if done.NewEpoch != 2 || done.DryRun {
		t.Errorf("promoted: %+v", done)
	}
	rep.ready()
	began := tess.step() // or the one after it
	if st := rep.status(); st.Epoch != 2 || st.Role != "master" || st.Master != "n2" || !strings.Contains(strings.Join(st.Warnings, " "), "--release") {
		t.Errorf("status of the new master: %+v", st)
	}
	rep.cli("user", "add", "afterwards")
	ask(rep, "tess", used, radius.AccessReject)
	ask(rep, "hank", hank.press(), radius.AccessReject)
	if why := rep.reason("hank"); why != mfa.HeldAfterPromotion.String() {
		t.Errorf("a counter-based code in the new epoch: %s", why)
	}
	rep.user("newt", "")
	ask(rep, "newt", rep.hotp("newt").press(), radius.AccessAccept)

	// The group grows: the CA and the codes work on the new master.
	third := newMember(t, "n3")
	third.activate(rep.code())
	third.start()
	third.inEpoch(2, "replica")
	ask(third, "hank", hank.press(), radius.AccessReject)
	rep.cli("group", "promote", "--release", "--yes")
	await(t, "a step that the old master cannot have accepted", func() bool { return tess.step() > began })
	ask(rep, "tess", tess.soon(), radius.AccessAccept)
	await(t, "the release at the replica", func() bool {
		return at(third).ask("hank", hank.press(), nil).code == radius.AccessAccept
	})
	if r := rep.try("", "group", "promote", "--release", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "nothing is held back") {
		t.Errorf("released twice: %s", r.stderr)
	}

	// The old master comes back and meets nobody whom it knows: who is left was admitted since.
	// What the new master had signed tells it, and it decides nothing.
	await(t, "what the new master says is kept at the replica", func() bool {
		b, err := os.ReadFile(filepath.Join(third.data, "epochs.json"))
		return err == nil && strings.Contains(string(b), "signature")
	})
	rep.kill9()
	m.launch()
	await(t, "the old master decides nothing", func() bool {
		r := m.try("", "status")
		return r.code == 0 && strings.Contains(r.stdout, "this server decides nothing: the group is at epoch 2") && strings.Contains(r.stdout, "of the later epoch") // it has started over
	})
	await(t, "the replica reaches the old master again", func() bool {
		return strings.Contains(third.try("", "doctor").stdout, "n1 is at epoch 1, this server at 2")
	})
	for s, says := range map[*server]string{m: "server n1 knows epoch 1, this group is at epoch 2", third: "n1 is at epoch 1, this server at 2"} {
		if r := s.try("", "doctor"); r.code != 1 || !strings.Contains(r.stdout, says) || strings.Contains(r.stdout, "x/trail") {
			t.Errorf("doctor while one is of an epoch that ended: exit %d\n%s", r.code, r.stdout)
		}
	}
	rep.start()
	m.inEpoch(2, "replica")
	if len(m.parked()) != 1 || len(rep.parked()) != 0 {
		t.Errorf("parked at the old master %v, at the new one %v", m.parked(), rep.parked())
	}
	ask(m, "tess", used, radius.AccessReject)
	rep.settled(3)
	m.cli("user", "add", "again")
	for _, s := range []*server{m, rep, third} {
		s.verify()
	}
	for _, verb := range []string{"group promote --disaster", "group promote --release"} {
		if !rep.recorded(verb) {
			t.Errorf("%s is not in the trail", verb)
		}
	}
}

// Two of three are gone: the third begins a new epoch once they have been silent for long
// enough. One of them was only frozen, and is told the same by its operator: then the epoch
// has two sides, until one is chosen.
func TestDisasterThree(t *testing.T) {
	t.Parallel()
	program, err := shifting()
	if err != nil {
		t.Fatal(err)
	}
	var all []*server
	for i := range 3 {
		s := newMember(t, fmt.Sprintf("n%d", i+1))
		s.binary, s.env = program, []string{"COUNTERSIGN_SILENCE=8s"}
		if i == 0 {
			s.found()
		} else {
			s.activate(all[0].code())
		}
		s.start()
		all = append(all, s)
	}
	all[0].settled(3)
	m, others := master(t, all)
	one, two := others[0], others[1]
	one.application("none", atNone, "--first-factor", "none")
	one.user("hank", "")
	hank := one.hotp("hank")
	signal := func(s *server, how syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(-s.proc.cmd.Process.Pid, how); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, s := range all {
			if s.proc.alive() {
				_ = syscall.Kill(-s.proc.cmd.Process.Pid, syscall.SIGCONT)
			}
		}
	})
	promote := func(s *server, confirm string) (p mfa.DisasterPromotion) {
		t.Helper()
		s.json(&p, "group", "promote", "--disaster", "--confirm", confirm)
		s.ready()
		return p
	}

	one.refusesPromotion("test/1", "hears the master")
	signal(two, syscall.SIGSTOP)
	m.kill9()
	await(t, "the refusal while the majority has just been heard", func() bool {
		r := one.try("", "group", "promote", "--disaster", "--confirm", "test/1", "--force")
		return r.code == 1 && strings.Contains(r.stderr, "taken for destroyed after 8s")
	})
	if p := one.lost(); len(p.Destroyed) != 2 || p.NewEpoch != 2 || len(p.Awaits) != 2 {
		t.Errorf("receipt: %+v", p)
	}
	promote(one, "test/1")
	one.cli("user", "add", "at-one")

	// The other operator cannot know.
	signal(one, syscall.SIGSTOP)
	signal(two, syscall.SIGCONT)
	two.lost()
	promote(two, "test/1")
	two.cli("user", "add", "at-two")
	signal(one, syscall.SIGCONT)
	for _, s := range []*server{one, two} {
		await(t, "the two sides see each other", func() bool {
			return strings.Contains(strings.Join(s.status().Warnings, " "), "has two databases")
		})
		s.frozen()
	}
	two.stop()
	two.start()
	two.frozen()
	if p := one.lost(); p.Epoch != 2 || p.NewEpoch != 3 {
		t.Errorf("receipt: %+v", p)
	}
	promote(one, "test/2")
	two.inEpoch(3, "replica")
	m.start()
	m.inEpoch(3, "replica")
	one.settled(3)
	list := two.cli("user", "list", "--limit", "0")
	if !strings.Contains(list, "at-one") {
		t.Errorf("users of the side that was chosen:\n%s", list)
	}
	if strings.Contains(list, "at-two") {
		t.Errorf("users of the other side without anybody's word:\n%s", list)
	}
	if len(two.parked()) == 0 || len(m.parked()) == 0 || len(one.parked()) != 0 {
		t.Errorf("parked: %v, %v, %v", one.parked(), two.parked(), m.parked())
	}
	one.try("", "group", "promote", "--release", "--yes") // unless the merge of all trails has done it
	if r := newNAS(t, atNone, one.radius).ask("hank", hank.press(), nil); r.code != radius.AccessAccept {
		t.Errorf("sign-in after all that: %v (%s)", r, one.reason("hank"))
	}
	for _, s := range all {
		s.verify()
	}
}
