package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/admin"
)

// field is one round: a group, its load and what befalls it.
type field struct {
	t     testing.TB
	seed  uint64
	size  size
	w     *network
	all   []*server // the witness last
	began time.Time
	ids   atomic.Int64

	mu      sync.Mutex
	legs    []leg
	changes []change
	wrongs  []string          // what must not be
	events  []string          // what was done, for failures
	ill     map[int]string    // server: what befalls it now, so that it may not answer
	unwell  map[int][]span    // server: when that was
	acks    chan struct{}     // gets something when a change is acknowledged and there is room
	shifted map[int][]span    // server: when its clock was wrong
	cut     map[int][]span    // server: when it had no contact with most of the votes
	runs    map[int]int       // server: how often it was started
	starts  map[int]time.Time // server: when it was started last; zero: before the load began
	callers []*caller
	calls   sync.WaitGroup // of callers

	// Of the schedule alone.
	parted   map[int][]int // number of the mishap: one side of a split
	deaf     map[int]int   // server: mishaps that keep it from hearing the others
	loss     map[int]int   // server: percent
	cable    map[int]int   // server: mishaps that hold its cable
	gone     map[int]bool  // server: not running, or stopped
	free     func()
	voter    int // of two servers the one that votes; 0: not known
	sinceCut map[int]time.Time
	lone     bool            // a new epoch begins or has begun
	fork     *fork           // nil: none has begun
	parked   map[string]bool // what of the old epoch is left to an administrator
}

func (f *field) fault(format string, a ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrongs = append(f.wrongs, fmt.Sprintf(format, a...))
}

func (f *field) note(format string, a ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, fmt.Sprintf("%7.3f s: ", time.Since(f.began).Seconds())+fmt.Sprintf(format, a...))
}

// serving are the servers that sign people in.
func (f *field) serving() []*server { return f.all[:f.size.servers] }

func (f *field) keep(l leg)          { f.mu.Lock(); f.legs = append(f.legs, l); f.mu.Unlock() }
func (f *field) keepChange(c change) { f.mu.Lock(); f.changes = append(f.changes, c); f.mu.Unlock() }

// sick tells what befalls a server now; "": nothing that keeps it from answering.
func (f *field) sick(i int) string { f.mu.Lock(); defer f.mu.Unlock(); return f.ill[i] }
func (f *field) run(i int) int     { f.mu.Lock(); defer f.mu.Unlock(); return f.runs[i] }

// afflict and recover mark the time in which a server may not answer.
func (f *field) afflict(i int, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ill[i] = what
	f.unwell[i] = append(f.unwell[i], span{From: time.Now()})
}

func (f *field) recover(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.ill, i)
	last := &f.unwell[i][len(f.unwell[i])-1]
	last.To = time.Now().Add(200 * time.Millisecond) // what waited meanwhile is worked on
}

// connect tells the network what holds now, and notes who is without most of the votes.
// What is noted lies
// within the time in which it was so.
func (f *field) connect() {
	now := time.Now()
	apart := map[int]bool{}
	for i := range f.all {
		apart[i+1] = f.reach(i+1) < len(f.all)/2+1
		if len(f.all) == 2 { // one has the only vote
			apart[i+1] = f.voter != 0 && f.voter != i+1 && f.reach(i+1) < 2
		}
		apart[i+1] = apart[i+1] && !f.lone
	}
	f.mu.Lock()
	for i, from := range f.sinceCut {
		if !apart[i] {
			f.cut[i] = append(f.cut[i], span{from, now})
			delete(f.sinceCut, i)
		}
	}
	f.mu.Unlock()
	for i := range f.all {
		var not []int
		for j := range f.all {
			if j != i && f.split(i+1, j+1) {
				not = append(not, j+1)
			}
		}
		percent := f.loss[i+1]
		if f.deaf[i+1] > 0 {
			percent = 100
		}
		f.w.deaf(i+1, not, percent)
		if f.cable[i+1] > 0 {
			f.w.down(i + 1)
		} else {
			f.w.up(i + 1)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, is := range apart {
		if _, noted := f.sinceCut[i]; is && !noted {
			f.sinceCut[i] = time.Now()
		}
	}
}

// split reports whether a split stands between two servers.
func (f *field) split(i, j int) bool {
	for _, side := range f.parted {
		if slices.Contains(side, i) != slices.Contains(side, j) {
			return true
		}
	}
	return false
}

// reach counts the servers that a server can talk to, both ways, itself included.
func (f *field) reach(i int) int {
	n := 1
	for k := range f.all {
		j := k + 1
		if j != i && !f.gone[j] && f.cable[i]+f.cable[j]+f.deaf[i]+f.deaf[j] == 0 && !f.split(i, j) {
			n++
		}
	}
	return n
}

// sole finds out which of two servers votes: 0 if that is not one, or not known.
func (f *field) sole(by *server) {
	var doc admin.MemberList
	f.voter = 0
	if r := by.try("", "group", "members", "--json"); r.code != 0 || document(r.stdout, &doc) != nil {
		return
	}
	for i, m := range doc.Members {
		switch {
		case m.Voter && f.voter != 0:
			f.voter = 0
			return
		case m.Voter:
			f.voter = i + 1
		}
	}
}

func (f *field) kill(i int) {
	f.afflict(i, "killed")
	f.all[i-1].kill9()
	f.gone[i] = true
	f.connect()
}

// start starts servers at the same time and waits until all sign people in.
func (f *field) start(all ...int) {
	for _, i := range all {
		if f.sick(i) == "" {
			f.afflict(i, "killed")
		}
		f.gone[i] = false
	}
	f.connect()
	for _, i := range all {
		f.mu.Lock()
		f.runs[i]++
		f.mu.Unlock()
		f.launch(i)
	}
	for _, i := range all {
		f.all[i-1].ready()
		f.recover(i)
	}
}

// launch starts a server and does not wait for anything.
func (f *field) launch(i int) {
	f.mu.Lock()
	f.starts[i] = time.Now()
	f.mu.Unlock()
	f.all[i-1].launch()
}

func (f *field) started(i int) time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.starts[i] }

func (f *field) signal(i int, s syscall.Signal) {
	if err := syscall.Kill(-f.all[i-1].proc.cmd.Process.Pid, s); err != nil {
		f.t.Fatal(err)
	}
}

func (f *field) shift(i, seconds int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.all[i-1]
	s.write(clockFile(s), fmt.Sprintf("%ds", seconds))
	if seconds != 0 {
		f.shifted[i] = append(f.shifted[i], span{From: time.Now()})
	} else {
		f.shifted[i][len(f.shifted[i])-1].To = time.Now().Add(time.Second)
	}
}

func clockFile(s *server) string { return filepath.Join(s.dir, "clock") }

// shifting is the program whose clock tests shift, built when it is first asked for.
var shifting = sync.OnceValues(func() (string, error) {
	out := filepath.Join(filepath.Dir(racer), "shifting")
	flags := []string{"-tags", "clockshift"}
	if raced {
		flags = append(flags, "-race")
	}
	return out, build(out, flags...)
})

// alive notes servers that have ended and were not killed.
func (f *field) alive() {
	for i, s := range f.all {
		if f.sick(i+1) == "" && !s.proc.alive() {
			f.fault("server %d ended by itself", i+1)
			f.start(i + 1)
		}
	}
}

// round is one group under one schedule. It returns what must not be, and how many epochs
// the group has seen.
func round(t testing.TB, seed uint64, z size, events int) (wrongs []string, epochs int) {
	t.Helper()
	program, err := shifting()
	if err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(seed, uint64(z.servers+10*(z.machines()-z.servers))))
	full := 1 + dice.IntN(z.servers)
	plan := schedule(dice, rand.New(rand.NewPCG(seed, 1000)), z, events, full)
	f := &field{t: t, seed: seed, size: z, w: newNetwork(t), ill: map[int]string{}, unwell: map[int][]span{}, shifted: map[int][]span{}, cut: map[int][]span{},
		runs: map[int]int{}, starts: map[int]time.Time{}, acks: make(chan struct{}, 1), parted: map[int][]int{}, deaf: map[int]int{}, loss: map[int]int{}, cable: map[int]int{}, gone: map[int]bool{}, sinceCut: map[int]time.Time{}}
	f.w.dressed = func(s *server) {
		s.binary, s.env = program, []string{"COUNTERSIGN_CLOCK_FILE=" + clockFile(s), "COUNTERSIGN_SILENCE=2s"}
	}
	f.all = f.w.group(z.servers, func(i int) string {
		if i == full {
			return smallDisk(t, "900")
		}
		return ""
	})
	if z.witness {
		f.all = append(f.all, f.w.witness(f.all[0]))
	}
	f.all[0].settled(len(f.all))
	f.sole(f.all[0])
	f.prepare()
	crowds := f.people()
	f.hire()
	f.spread()

	f.began = time.Now()
	done := make(chan struct{})
	var load sync.WaitGroup
	defer func() { load.Wait(); f.calls.Wait(); f.tell(plan) }()
	stop := sync.OnceFunc(func() { close(done) })
	defer stop()
	for _, c := range crowds {
		load.Go(func() { c.run(f, done) })
	}
	for i := range 6 {
		o := &office{n: i, dice: rand.New(rand.NewPCG(seed, uint64(i)+100))}
		load.Go(func() { o.run(f, done) })
	}
	time.Sleep(300 * time.Millisecond) // something to lose
	f.suffer(plan)
	f.note("all over")
	time.Sleep(300 * time.Millisecond)
	stop()
	load.Wait()
	f.calls.Wait()
	f.recovered()
	if f.fork != nil {
		f.parked = f.merges()
	}
	f.replays(crowds)
	f.again()
	f.judge()
	if epochs = 1; f.fork != nil {
		epochs = 2
	}
	return f.wrongs, epochs
}

// prepare writes what the load needs.
func (f *field) prepare() {
	s := f.all[0]
	s.application("allow", atNone, "--first-factor", "none")
	s.application("strict", atStrict, "--first-factor", "none", "--degraded", "refuse")
	s.cli("policy", "set", "hotp_window=100")
	csv := &strings.Builder{}
	csv.WriteString("login\n")
	for i := range registerKeys {
		fmt.Fprintf(csv, "reg%d\n", i)
	}
	for i := range blockable {
		fmt.Fprintf(csv, "p0-blocked%d\n", i)
	}
	s.cliIn(csv.String(), "user", "import", "-")
	for i := range f.all {
		f.runs[i+1] = 1
	}
}

// spread waits until every server has everybody.
func (f *field) spread() {
	var want admin.Status
	f.all[0].answer(&want, "status")
	for _, s := range f.serving() {
		await(f.t, "the users everywhere", func() bool {
			var st admin.Status
			s.answer(&st, "status")
			return st.Users == want.Users && st.Revision >= want.Revision
		})
	}
}

// recovered waits until all is well again.
func (f *field) recovered() {
	began := time.Now()
	for _, s := range f.all {
		s.settled(len(f.all))
	}
	for _, s := range f.serving() {
		s.merged()
	}
	f.note("one group again after %s", time.Since(began).Round(time.Millisecond))
	f.readAll()
}

// again kills all at once, starts them, and reads everything once more.
func (f *field) again() {
	var all []int
	for i := range f.all {
		f.kill(i + 1)
		all = append(all, i+1)
	}
	f.start(all...)
	f.recovered()
}

// readAll reads each register in the order of the writes through each server, so that nothing
// lost stays unseen.
func (f *field) readAll() {
	for i := range f.serving() {
		for k := range registerKeys {
			f.keepChange(f.call(change{Key: fmt.Sprintf("reg%d", k), Kind: "read", Server: i + 1}))
		}
	}
}

// replays sends the last codes that were accepted to every server once more.
func (f *field) replays(crowds []*crowd) {
	var all sync.WaitGroup
	for _, c := range crowds {
		all.Go(func() {
			for _, p := range c.people {
				for _, code := range p.acked[max(0, len(p.acked)-2):] {
					at := c.dice.IntN(len(f.serving()))
					f.keep(f.send(c.asks[at], leg{User: p.login, Code: code, Strict: c.strict, Kind: "replay", Timed: p.token.period > 0, Server: at + 1}))
				}
			}
		})
	}
	all.Wait()
}

// judge compares what the clients saw with what was promised.
func (f *field) judge() {
	byID, reported, ids := map[string]admin.Attempt{}, map[string]int{}, map[string]string{}
	interrupted := map[string]int{} // by server and user: settled, killed before the record, recorded at the next start
	for i, s := range f.serving() {
		var users admin.UserList
		s.json(&users, "user", "list", "--limit", "0")
		blocked, there := map[string]bool{}, map[string]bool{}
		for _, u := range users.Users {
			ids[string(u.ID)], there[u.Login], blocked[u.Login] = u.Login, true, u.Blocked
		}
		for _, c := range f.changes {
			if c.Fate == "done" && f.fork.gone(c, there, blocked) {
				f.wrongs = append(f.wrongs, fmt.Sprintf("acknowledged and not there at server %d: %+v", i+1, c))
			}
		}
		if f.fork != nil {
			f.wrongs = append(f.wrongs, f.fork.lostChanges(f.changes, there, f.parked)...)
		}
		for _, a := range s.attempts() {
			if a.Server != fmt.Sprintf("n%d", i+1) {
				continue
			}
			if a.Reason == "interrupted" {
				interrupted[fmt.Sprint(i+1, ids[string(a.User)])]++
				continue
			}
			if old, twice := byID[a.Source]; twice && mfaAccepts(old.Reason) {
				if mfaAccepts(a.Reason) {
					f.wrongs = append(f.wrongs, fmt.Sprintf("one leg has two accepts: %+v %+v", old, a))
				}
				continue
			}
			byID[a.Source] = a
		}
		var acts admin.ActList
		s.json(&acts, "audit", "list", "--here", "--acts", "--limit", "0")
		for _, a := range acts.Acts {
			if a.Verb == "used_on_both_sides" {
				reported[ids[a.Object]]++
			}
		}
		var v admin.AuditVerification
		if s.json(&v, "audit", "verify"); !v.OK {
			f.wrongs = append(f.wrongs, fmt.Sprintf("server %d: audit verify: %+v", i+1, v))
		}
	}
	slowest := leg{}
	count := map[string]int{}
	for i := range f.legs {
		l := &f.legs[i]
		if a, there := byID[l.ID]; there {
			l.Reason, l.Degraded, l.Trace = a.Reason, a.Degraded, a.Trace
		}
		l.Excuse, l.Skewed = f.excuse(*l), l.Timed && f.clockWrong()
		if at := fmt.Sprint(l.Server, l.User); l.Reason == "" && l.Verdict == "accept" && interrupted[at] > 0 { // its retransmit was answered
			interrupted[at]--
			l.Reason = "interrupted"
		}
		if l.Verdict != "silent" && l.Excuse == "" && !l.Strict && l.To.Sub(l.From) > slowest.To.Sub(slowest.From) {
			slowest = *l
		}
		if count[l.Verdict]++; l.Degraded {
			count["degraded"]++
		}
	}
	for _, c := range f.changes {
		count[c.Kind+" "+c.Fate]++
	}
	add := func(faults []string) { f.wrongs = append(f.wrongs, faults...) }
	lines := [][]change{f.changes}
	if k := f.fork; k != nil {
		old := k.histories(f.changes)
		lines = [][]change{old[0], old[1]}
	}
	faults, twice := passcodes(f.legs, reported, f.fork)
	add(faults)
	faults, excused := answers(f.legs)
	add(faults)
	for _, line := range lines {
		add(registers(line))
	}
	add(ownWrites(f.changes))
	add(minority(f.changes, f.cut))
	f.note("%v; %d codes accepted on more than one side; excused: %v; the slowest answer of a server that was well took %s: %+v", count, twice, excused,
		slowest.To.Sub(slowest.From).Round(time.Millisecond), slowest)
}

// excuse says why a leg may have got no answer, or a refusal; "": nothing does.
func (f *field) excuse(l leg) string {
	for _, s := range f.unwell[l.Server] {
		if s.touches(l.From, l.To) {
			return "the server was killed, stopped or had a full disk"
		}
	}
	if l.Strict && l.Verdict == "silent" {
		return "its application refuses to go on without the group"
	}
	if k := f.fork; k != nil && l.Verdict == "reject" && (l.Reason == "held_after_promotion" || l.Reason == "before_promotion") && k.epoch(l.Server, l.From, l.To) != 1 {
		return l.Reason
	}
	if l.Timed {
		if f.clockWrong() { // wrong codes by a wrong clock are counted, and lock
			return "a clock was wrong"
		}
		if l.Verdict == "reject" && l.Reason == "held_while_isolated" {
			return "held while isolated"
		}
	}
	return ""
}

func (f *field) clockWrong() bool {
	for _, all := range f.shifted {
		if len(all) > 0 {
			return true
		}
	}
	return false
}

// tell says what happened, and keeps everything of a round that failed.
func (f *field) tell(plan []mishap) {
	f.t.Logf("%s", strings.Join(f.events, "\n"))
	for _, w := range f.wrongs {
		f.t.Errorf("%.4000s", w)
	}
	if !f.t.Failed() && os.Getenv("FAULTS_KEEP") == "" {
		return
	}
	dir := filepath.Join(cmp.Or(os.Getenv("FAULTS_KEEP"), os.TempDir()), fmt.Sprintf("faults-%s-%d", f.size, f.seed))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		f.t.Error(err)
		return
	}
	b, err := json.MarshalIndent(map[string]any{"seed": f.seed, "plan": plan, "events": f.events, "wrongs": f.wrongs, "legs": f.legs, "changes": f.changes}, "", " ")
	if err != nil {
		f.t.Error(err)
	}
	f.all[0].write(filepath.Join(dir, "history.json"), string(b))
	for i, s := range f.all {
		s.write(filepath.Join(dir, fmt.Sprintf("n%d.log", i+1)), s.log.String())
	}
	f.t.Logf("history and logs are kept in %s", dir)
}

// TestFaults lets random faults befall groups of several sizes under load. FAULTS_SERVERS
// lists the sizes ("2w": two and a witness), FAULTS_ROUNDS says how many rounds of each, from FAULTS_SEED on (1), and
// FAULTS_EVENTS how many faults a round has. Rounds that FAULTS_LOG knows are not run again. To
// look into something, FAULTS_KINDS lists the kinds of faults, and FAULTS_KEEP names a folder
// in which the history of each round is kept.
func TestFaults(t *testing.T) {
	rounds, events := setting(t, "FAULTS_ROUNDS", 1), setting(t, "FAULTS_EVENTS", 3)
	first := setting(t, "FAULTS_SEED", 1) // make test: the same faults each time
	record := os.Getenv("FAULTS_LOG")
	for _, text := range strings.Split(cmp.Or(os.Getenv("FAULTS_SERVERS"), "1,2,3"), ",") {
		z, err := parseSize(text)
		if err != nil {
			t.Fatalf("FAULTS_SERVERS: %v", err)
		}
		ran := ranBefore(t, record, z)
		for n, seed := 0, first; n < rounds; seed++ {
			if ran[strconv.Itoa(seed)] {
				continue
			}
			n++
			t.Run(fmt.Sprintf("%s servers, seed %d", z, seed), func(t *testing.T) {
				began := time.Now()
				held, epochs := "failed", 1
				defer func() {
					if record != "" {
						appendLine(t, record, fmt.Sprintf("%s\t%d\t%d\t%s\t%.0f\t%d\n", z, seed, events, held, time.Since(began).Seconds(), epochs))
					}
				}()
				var wrongs []string
				if wrongs, epochs = round(t, uint64(seed), z, events); len(wrongs) == 0 && !t.Failed() {
					held = "held"
				}
			})
		}
	}
}

// ranBefore reads the seeds that were run for a size.
func ranBefore(t testing.TB, record string, z size) map[string]bool {
	t.Helper()
	ran := map[string]bool{}
	if record == "" {
		return ran
	}
	b, err := os.ReadFile(record)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Split(line, "\t"); len(f) > 2 && f[0] == z.String() {
			ran[f[1]] = true
		}
	}
	return ran
}

func appendLine(t testing.TB, file, line string) {
	t.Helper()
	out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = out.WriteString(line)
		err = cmp.Or(err, out.Close())
	}
	if err != nil {
		t.Error(err)
	}
}
