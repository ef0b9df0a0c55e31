package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/parking"
)

// fork is a new epoch that an operator began in the middle of a round, on one server and
// apart from all others. Those go on in the old epoch, if they live, until they are together
// again.
type fork struct {
	Young   int               // the server that it began on
	Synced  time.Time         // whatever was acknowledged before, Young had
	Began   time.Time         // the operator confirmed it
	Done    time.Time         // Young decided again
	Killed  time.Time         // all other voters of several, at once; zero: they were not
	Healed  time.Time         // nothing stands between the servers any more
	Contact map[int]time.Time // the others: nothing of the old epoch may be acknowledged from then on
}

// lapse is how long ago a majority that is killed may have acknowledged what none of its
// copies shows when it is read without the others (decision 13).
const lapse = time.Second

// lapsed reports whether a change of the old epoch may be gone with its majority.
func (k *fork) lapsed(c change) bool {
	return k.parted(c) && c.To.After(k.Killed.Add(-lapse)) && c.From.Before(k.Killed)
}

// contactBound is within what time servers that nothing keeps apart must have stopped deciding
// in the lower epoch. They ask each other each second.
func contactBound() time.Duration {
	if raced { // minutes for what takes seconds, on a busy machine
		return time.Minute
	}
	return 20 * time.Second
}

// epoch is the one in which a server answered between two moments: 1, 2, or 0 for either.
func (k *fork) epoch(server int, from, to time.Time) int {
	before, since := k.Began, k.Done
	if server != k.Young {
		before, since = k.Healed, k.Contact[server]
	}
	switch {
	case to.Before(before):
		return 1
	case from.After(since):
		return 2
	}
	return 0
}

// parted reports whether a change was acknowledged where it may be missing in the new epoch:
// in the old one, by another server, after Young had last been in step.
func (k *fork) parted(c change) bool {
	return c.Server != k.Young && c.To.After(k.Synced) && k.epoch(c.Server, c.From, c.To) != 2
}

// histories are those that one database each must explain: that of the old epoch, and that
// of the new one with what it was made from. What may have become part of either is open in both.
func (k *fork) histories(changes []change) (all [2][]change) {
	for _, c := range changes {
		open := c
		if open.Fate == "done" {
			open.Fate = "open"
		}
		switch epoch := k.epoch(c.Server, c.From, c.To); {
		case c.Kind == "look":
			all[1] = append(all[1], c)
		case epoch == 0:
			all[0], all[1] = append(all[0], open), append(all[1], open)
		case epoch == 2:
			all[1] = append(all[1], c)
		case !k.parted(c):
			all[0], all[1] = append(all[0], c), append(all[1], c)
		case c.From.After(k.Began): // the new epoch's copy was made before
			all[0] = append(all[0], c)
		default:
			all[0], all[1] = append(all[0], c), append(all[1], open)
		}
	}
	return all
}

// twice says why a code must not have been accepted by the group in two epochs; "": it may,
// once in each, if both lived side by side by then.
func (k *fork) twice(all []leg) string {
	count := [3]int{}
	early := false
	for _, l := range all {
		if l.Degraded {
			continue
		}
		epoch := k.epoch(l.Server, l.From, l.To)
		count[epoch]++
		early = early || epoch == 1 && l.To.Before(k.Began) && !l.Skewed
	}
	switch {
	case max(count[1], count[2]) > 1, count[0]+count[1]+count[2] > 2:
		return fmt.Sprintf("%d times in the old epoch, %d times in the new one, %d times in either", count[1], count[2], count[0])
	case early && count[0]+count[1]+count[2] > 1:
		return "before the new epoch began, and again in it"
	}
	return ""
}

// disaster parts a server from all others, which are cut off or killed, and begins a new
// epoch on it as an operator would. nil: it cannot be done now.
func (f *field) disaster(n int, m mishap) (undo func()) {
	young := m.Servers[0]
	if len(f.all) == 2 {
		f.sole(f.all[0])
		young = 3 - f.voter
	}
	if f.fork != nil || young > f.size.servers {
		return nil
	}
	k := &fork{Young: young, Synced: time.Now(), Contact: map[int]time.Time{}}
	f.caughtUp(young)
	f.lone = true // who may decide is not a matter of numbers any more
	var old []int
	for i := range f.all {
		if i+1 != young {
			old = append(old, i+1)
		}
	}
	f.parted[n] = []int{young}
	f.connect()
	s := f.all[young-1]
	s.lost()
	dead := m.Value == 1
	if dead {
		for _, i := range old {
			f.kill(i)
		}
		if len(old) > 1 {
			k.Killed = time.Now()
		}
	}
	f.afflict(young, "begins an epoch")
	k.Began = time.Now()
	r := s.try("", "group", "promote", "--disaster", "--confirm", "test/1")
	if r.code != 0 {
		f.fault("a new epoch was refused though it was not a moment before: %s", r.stderr)
	} else {
		s.of(2)
	}
	s.ready()
	k.Done = time.Now()
	f.recover(young)
	f.fork = k
	f.tryUsed(young, k.Synced, k.Began, true)
	f.note("epoch 2 began on server %d after %s", young, k.Done.Sub(k.Synced).Round(time.Millisecond))
	return func() { f.reunite(n, m, old, dead) }
}

// caughtUp waits until a server has all that anybody has now.
func (f *field) caughtUp(i int) {
	want := int64(0)
	for _, s := range f.serving() {
		want = max(want, s.status().Revision)
	}
	await(f.t, "the copy of the server that is to begin an epoch", func() bool { return f.all[i-1].status().Revision >= want })
}

// reunite puts the servers of both epochs together again, and kills one of them meanwhile
// if the mishap says so.
func (f *field) reunite(n int, m mishap, old []int, dead bool) {
	k := f.fork
	f.mu.Lock()
	for _, i := range old { // what they had acknowledged in the old epoch need not be seen
		f.runs[i]++
	}
	f.mu.Unlock()
	for _, i := range old {
		if !dead {
			f.afflict(i, "joins the new epoch")
		}
		f.gone[i] = false
	}
	k.Healed = time.Now()
	delete(f.parted, n)
	f.connect()
	if dead {
		for _, i := range old {
			f.launch(i)
		}
	}
	if i := m.Then; i != 0 {
		time.Sleep(m.Pause) // when it happens is part of the schedule
		f.note("kill[%d] in between", i)
		if i == k.Young {
			f.afflict(i, "killed")
		}
		f.all[i-1].kill9()
		f.launch(i)
		if i == k.Young {
			f.all[i-1].ready()
			f.recover(i)
		}
	}
	for _, i := range old {
		f.all[i-1].of(2)
		k.Contact[i] = time.Now()
		if most := k.Healed.Add(contactBound()); m.Then == 0 && !dead && k.Contact[i].After(most) {
			k.Contact[i] = most
		}
		if i <= f.size.servers {
			f.all[i-1].ready()
		}
		f.recover(i)
	}
	if len(f.all) == 2 {
		f.sole(f.all[k.Young-1])
	}
	f.note("one epoch again after %s", time.Since(k.Healed).Round(time.Millisecond))
}

// of waits until a server is in an epoch and hears its master.
func (s *server) of(epoch uint64) {
	s.t.Helper()
	last := result{}
	defer func() {
		if s.t.Failed() {
			s.t.Logf("last status: %+v", last)
		}
	}()
	await(s.t, "the epoch", func() bool {
		var st admin.Status
		last = s.try("", "status", "--json")
		return last.code == 0 && document(last.stdout, &st) == nil && st.Epoch == epoch && st.Master != ""
	})
}

// merges waits until what the old epoch has left is taken over, and returns what is
// left to an administrator.
func (f *field) merges() (parked map[string]bool) {
	s := f.all[f.fork.Young-1]
	parked = map[string]bool{}
	await(f.t, "the copies of the old epoch are read", func() bool {
		var doc admin.ParkedList
		s.answer(&doc, "group", "parked")
		for _, c := range doc.Parked {
			parked[c.Object] = true
		}
		read := slices.ContainsFunc(doc.Reports, func(r parking.Report) bool { return r.Epoch == 1 && !r.Finished.IsZero() })
		return read && !strings.Contains(strings.Join(s.status().Warnings, " "), "promote --release")
	})
	return parked
}

// gone reports whether an acknowledged change must be seen and is not. What may be parked
// is not its matter. k is nil if there was one epoch.
func (k *fork) gone(c change, there, blocked map[string]bool) bool {
	switch c.Kind {
	case "add":
		return !there[c.Key] && (k == nil || !k.parted(c))
	case "block":
		return !blocked[c.Key] && (k == nil || !k.lapsed(c))
	}
	return false
}

// lostChanges finds changes that the old epoch acknowledged, and that are neither in the
// new one nor parked. there and blocked are the users of the new one by login.
func (k *fork) lostChanges(changes []change, there, parked map[string]bool) (faults []string) {
	for _, c := range changes {
		if c.Fate != "done" || k.lapsed(c) || !k.parted(c) {
			continue
		}
		late := k.epoch(c.Server, c.From, c.To) == 1 && c.From.After(k.Began) // the new epoch's copy lacks it
		if c.Kind == "add" && !there[c.Key] && !parked[c.Key] || c.Kind == "write" && late && !parked[c.Key] {
			faults = append(faults, fmt.Sprintf("acknowledged in the old epoch, and neither there nor parked: %+v", c))
		}
	}
	return faults
}

// The rules for two epochs find what they should, and only that.
func TestForkHistory(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	k := &fork{Young: 2, Synced: at(10), Began: at(12), Done: at(14), Healed: at(20), Contact: map[int]time.Time{1: at(24)}}
	op := func(server int, kind, value string, from, to int) change {
		return change{Key: "k", Kind: kind, Value: value, Server: server, From: at(from), To: at(to), Fate: "done"}
	}
	for _, c := range []struct {
		name string
		ops  []change
		want string
	}{
		{"two lines", []change{op(1, "write", "a", 1, 2), op(1, "write", "old", 15, 16), op(2, "read", "a", 17, 18), op(2, "write", "new", 18, 19),
			op(1, "read", "old", 18, 19), op(1, "read", "new", 25, 26)}, ""},
		{"lost at the fork", []change{op(1, "write", "a", 1, 2), op(1, "write", "b", 3, 4), op(2, "read", "a", 17, 18)}, "no order"},
		{"written before the cut, not arrived", []change{op(1, "write", "a", 1, 2), op(1, "write", "b", 10, 11), op(2, "read", "a", 17, 18)}, ""},
		{"its own before the fork, lost", []change{op(1, "write", "a", 1, 2), op(2, "write", "b", 10, 11), op(2, "read", "a", 17, 18)}, "no order"},
		{"the other line shows", []change{op(1, "write", "a", 1, 2), op(2, "write", "new", 15, 16), op(1, "read", "new", 17, 18)}, "no order"},
		{"lost in the old line", []change{op(1, "write", "a", 15, 16), op(1, "read", "", 17, 18)}, "no order"},
		{"lost in the new line", []change{op(2, "write", "a", 15, 16), op(1, "read", "", 26, 27)}, "no order"},
		{"acknowledged in the old epoch after contact", []change{op(1, "write", "late", 25, 26), op(2, "read", "", 27, 28)}, "no order"},
		{"acknowledged between the cable and contact", []change{op(1, "write", "late", 21, 22), op(2, "read", "", 27, 28)}, ""},
	} {
		lines := k.histories(c.ops)
		check(t, c.name, append(registers(lines[0]), registers(lines[1])...), c.want)
	}
	accept := func(server, from int, skewed bool) leg {
		return leg{User: "u", Code: "1", Server: server, From: at(from), To: at(from), Skewed: skewed, Verdict: "accept", Reason: "ok"}
	}
	for _, c := range []struct {
		name string
		legs []leg
		want string
	}{
		{"once", []leg{accept(1, 1, false)}, ""},
		{"in both, side by side", []leg{accept(1, 16, false), accept(2, 17, false)}, ""},
		{"twice in the old one", []leg{accept(1, 16, false), accept(1, 17, false)}, "2 times in the old"},
		{"twice in the new one", []leg{accept(2, 16, false), accept(1, 27, false)}, "2 times in the new"},
		{"before the fork and after", []leg{accept(1, 11, false), accept(2, 17, false)}, "before the new epoch began"},
		{"the same by a wrong clock", []leg{accept(1, 11, true), accept(2, 17, true)}, ""},
		{"three times", []leg{accept(1, 16, false), accept(2, 17, false), accept(1, 22, false)}, "1 times in either"},
	} {
		var faults []string
		if why := k.twice(c.legs); why != "" {
			faults = []string{why}
		}
		check(t, c.name, faults, c.want)
	}
	add := func(server, from int) change { c := op(server, "add", "", from, from); c.Key = "who"; return c }
	none, listed := map[string]bool{}, map[string]bool{"who": true}
	check(t, "an addition that is nowhere", k.lostChanges([]change{add(1, 16)}, none, none), "nor parked")
	check(t, "an addition that is parked", k.lostChanges([]change{add(1, 16)}, none, listed), "")
	check(t, "an addition that had arrived", k.lostChanges([]change{add(1, 11)}, listed, none), "")
	check(t, "an addition in the new epoch", k.lostChanges([]change{add(2, 16)}, none, none), "")
	for _, c := range []struct {
		name string
		c    change
		k    *fork
		want bool
	}{
		{"acknowledged in the old epoch after contact", add(1, 25), k, true},
		{"acknowledged in the old epoch", add(1, 16), k, false},
		{"acknowledged before the cut", add(1, 9), k, true},
		{"acknowledged in the only epoch", add(1, 16), nil, true},
		{"a block in the old epoch", op(1, "block", "", 16, 17), k, true},
	} {
		if got := c.k.gone(c.c, none, none); got != c.want {
			t.Errorf("%s: gone %v, want %v", c.name, got, c.want)
		}
	}
	last := op(1, "write", "a", 16, 17)
	check(t, "a change that is not parked", k.lostChanges([]change{last}, none, none), "nor parked")
	k.Killed = at(17)
	check(t, "a majority was killed just then", k.lostChanges([]change{op(1, "add", "", 16, 17)}, none, none), "")
	check(t, "a majority was killed later", k.lostChanges([]change{op(1, "add", "", 15, 16)}, none, none), "nor parked")
}
