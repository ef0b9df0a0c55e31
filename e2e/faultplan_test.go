package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"countersign/internal/admin"
)

// mishap is one fault of a schedule: what befalls which servers, and for how long.
type mishap struct {
	Kind    string
	Servers []int
	Value   int // loss: percent; clock: seconds; strike: 1 if the cable is pulled, 2 if it is killed while many ask it; disaster: 1 if the others are dead
	Then    int // disaster: server that is killed when all are together again; 0: none
	Hold    time.Duration
	Pause   time.Duration // after it began, before the next begins
}

func (m mishap) String() string {
	return fmt.Sprintf("%s%v %d for %s, then %s", m.Kind, m.Servers, m.Value, m.Hold, m.Pause)
}

// size is how many servers a group has, and whether a witness votes beside them: "3", "2w".
type size struct {
	servers int
	witness bool
}

func parseSize(text string) (s size, err error) {
	n, witness := strings.CutSuffix(text, "w")
	s.witness = witness
	if s.servers, err = strconv.Atoi(n); err == nil && (s.servers < 1 || s.servers > 9) {
		err = fmt.Errorf("%q: want 1 to 9 servers", text)
	}
	return s, err
}

func (s size) String() string {
	if s.witness {
		return fmt.Sprintf("%dw", s.servers)
	}
	return strconv.Itoa(s.servers)
}

// machines counts the witness, which has the last number.
func (s size) machines() int {
	if s.witness {
		return s.servers + 1
	}
	return s.servers
}

// schedule draws so many mishaps for a group, the same for the same seed. full is the
// server whose disk is small. special has dice of its own, so that what befalls a group
// besides can grow while the schedules of the seeds that were run stay.
func schedule(dice, special *rand.Rand, z size, events, full int) (all []mishap) {
	n := z.machines()
	kinds := []string{"kill", "kill", "kill", "stop", "full", "clock", "all"}
	if n > 1 {
		kinds = append(kinds, "cut", "cut", "split", "split", "deaf", "loss", "alone", "promote")
	}
	if only := os.Getenv("FAULTS_KINDS"); only != "" {
		kinds = strings.Split(only, ",")
	}
	for range events {
		m := mishap{Kind: kinds[dice.IntN(len(kinds))], Hold: time.Duration(300+dice.IntN(3500)) * time.Millisecond, Pause: time.Duration(100+dice.IntN(2500)) * time.Millisecond}
		order := dice.Perm(n)
		m.Servers = []int{order[0] + 1}
		switch m.Kind {
		case "split":
			m.Servers = nil
			for _, i := range order[:1+dice.IntN(n-1)] {
				m.Servers = append(m.Servers, i+1)
			}
		case "loss":
			m.Value = 10 + dice.IntN(60)
		case "clock":
			if m.Value = 2 + dice.IntN(100); dice.IntN(2) == 0 {
				m.Value = -m.Value
			}
		case "full":
			m.Servers = []int{full}
		case "alone", "promote":
			m.Servers = []int{1 + dice.IntN(z.servers)}
		case "strike":
			m.Value = dice.IntN(3)
		case "disaster":
			m.doom(dice, z)
		}
		all = append(all, m)
	}
	if os.Getenv("FAULTS_KINDS") != "" {
		return all
	}
	if special.IntN(2) == 0 {
		m := &all[special.IntN(len(all))]
		m.Kind, m.Servers, m.Value = "strike", []int{1}, special.IntN(3)
		if m.Value == 1 {
			m.Hold += 2500 * time.Millisecond // the others elect one and go on
		}
	}
	if n > 1 && special.IntN(3) == 0 {
		m := &all[special.IntN(len(all))]
		m.Kind, m.Servers, m.Value = "alone", []int{1 + special.IntN(z.servers)}, 0
	}
	if n > 1 && n <= 3 && special.IntN(3) == 0 {
		m := &all[special.IntN(len(all))]
		m.Kind = "disaster"
		m.doom(special, z)
	}
	return all
}

// doom draws the parts of a disaster.
func (m *mishap) doom(dice *rand.Rand, z size) {
	m.Servers, m.Value = []int{1 + dice.IntN(z.servers)}, dice.IntN(2)
	m.Hold += 2 * time.Second
	if m.Then = dice.IntN(2 * z.servers); m.Then > z.servers {
		m.Then = 0
	}
}

// suffer lets the mishaps happen, some at the same time, and ends with all undone.
func (f *field) suffer(all []mishap) {
	type active struct {
		until time.Time
		undo  func()
		what  mishap
	}
	var now []active
	end := func(before time.Time) {
		slices.SortFunc(now, func(a, b active) int { return a.until.Compare(b.until) })
		for len(now) > 0 && !now[0].until.After(before) {
			if len(now) > 1 && now[0].what.Kind == "disaster" { // ends with all servers well
				now[0], now[1] = now[1], now[0]
			}
			time.Sleep(time.Until(now[0].until)) // how long it lasts is part of the schedule
			now[0].undo()
			f.note("over: %s%v", now[0].what.Kind, now[0].what.Servers)
			now = now[1:]
		}
	}
	for n, m := range all {
		if m.Kind == "disaster" || m.Kind == "alone" { // begins so, too
			end(time.Now().Add(time.Hour))
		}
		began := time.Now()
		undo := f.begin(n, m)
		if m.Kind == "disaster" {
			began = time.Now() // both epochs live from then on
		}
		if undo != nil {
			now = append(now, active{began.Add(m.Hold), undo, m})
		}
		f.alive()
		next := time.Now().Add(m.Pause)
		if len(now) > 1 { // two at a time are enough
			slices.SortFunc(now, func(a, b active) int { return a.until.Compare(b.until) })
			next = later(next, now[0].until)
		}
		end(next)
		time.Sleep(time.Until(next)) // so is the pause
	}
	end(time.Now().Add(time.Hour))
	f.alive()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// begin makes a mishap happen and returns what undoes it; nil if it cannot happen now.
func (f *field) begin(n int, m mishap) (undo func()) {
	if m.Kind == "strike" { // the master, whoever that is by then
		if m.Servers = []int{f.leader()}; m.Servers[0] == 0 {
			return nil
		}
	}
	for _, i := range m.Servers {
		if f.gone[i] || f.sick(i) != "" {
			return nil
		}
	}
	i := m.Servers[0]
	if m.Kind == "alone" || m.Kind == "all" || m.Kind == "promote" && len(f.all) == 2 { // two change places: nothing else may fail meanwhile
		for j := range f.all {
			if f.gone[j+1] || f.sick(j+1) != "" {
				return nil
			}
		}
	}
	if m.Kind == "promote" && len(f.all) == 2 && (len(f.parted)+len(f.loss) > 0 || f.reach(1) < 2) {
		return nil
	}
	f.note("%s", m)
	switch m.Kind {
	case "promote":
		f.promote(i)
		return func() {}
	case "disaster":
		return f.disaster(n, m)
	case "strike":
		if m.Value == 2 && i <= f.size.servers {
			f.rush(i)
		} else {
			f.acknowledged()
		}
		if m.Value == 1 {
			return f.pull(i)
		}
		f.kill(i)
		return func() { f.start(i) }
	case "kill":
		f.kill(i)
		return func() { f.start(i) }
	case "stop":
		f.afflict(i, "stopped")
		f.signal(i, syscall.SIGSTOP)
		f.gone[i] = true
		f.connect()
		return func() {
			f.gone[i] = false
			f.connect()
			f.signal(i, syscall.SIGCONT)
			f.recover(i)
		}
	case "alone":
		f.kill(i)
		down := time.Now()
		time.Sleep(m.Pause) // the others go on without it
		for j := range f.all {
			if j+1 != i {
				f.kill(j + 1)
			}
		}
		f.start(i)
		f.tryUsed(i, down, time.Now(), false)
		return func() {
			var others []int
			for j := range f.all {
				if j+1 != i {
					others = append(others, j+1)
				}
			}
			f.start(others...)
		}
	case "all":
		var all []int
		for j := range f.all {
			f.kill(j + 1)
			all = append(all, j+1)
		}
		return func() { f.start(all...) }
	case "full":
		f.afflict(i, "disk full")
		f.free = fill(f.t, f.all[i-1].dir)
		return func() {
			f.free()
			f.free = nil
			if s := f.all[i-1]; s.proc.alive() {
				s.ready()
				f.recover(i)
			} else {
				f.note("server %d has ended", i)
				f.recover(i)
				f.start(i)
			}
		}
	case "clock":
		f.shift(i, m.Value)
		return func() { f.shift(i, 0) }
	case "cut":
		return f.pull(i)
	case "deaf":
		f.deaf[i]++
		f.connect()
		return func() { f.deaf[i]--; f.connect() }
	case "loss":
		f.loss[i] = m.Value
		f.connect()
		return func() { delete(f.loss, i); f.connect() }
	case "split":
		f.parted[n] = m.Servers
		f.connect()
		return func() { delete(f.parted, n); f.connect() }
	}
	f.t.Fatalf("no such mishap: %s", m.Kind)
	return nil
}

// pull pulls a server's cable and returns what plugs it in again.
func (f *field) pull(i int) (undo func()) {
	f.cable[i]++
	f.connect()
	return func() { f.cable[i]--; f.connect() }
}

// leader is the number of the master, as somebody tells who is well; 0: nobody knows.
func (f *field) leader() int {
	for i, s := range f.serving() {
		var doc admin.MemberList
		if f.sick(i+1) != "" || f.gone[i+1] {
			continue
		}
		if r := s.try("", "group", "members", "--json"); r.code != 0 || document(r.stdout, &doc) != nil {
			continue
		}
		for _, m := range doc.Members {
			if n, err := strconv.Atoi(strings.TrimPrefix(m.Name, "n")); err == nil && m.Role == "master" {
				return n
			}
		}
	}
	return 0
}

// acknowledged returns as soon as a client has heard that its change is made, or after 2 s.
func (f *field) acknowledged() {
	select {
	case <-f.acks: // of before
	default:
	}
	select {
	case <-f.acks:
	case <-time.After(2 * time.Second): // none may be possible now
	}
}

// promote asks a server to become the master. It may refuse: others are away.
func (f *field) promote(i int) {
	f.voter = 0
	f.connect()
	status, text, err := f.all[i-1].api(http.MethodPost, "/group/promote", map[string]any{"to": fmt.Sprintf("n%d", i)})
	f.note("promote[%d]: %d %.200s %v", i, status, text, err)
	if len(f.all) == 2 {
		await(f.t, "one vote", func() bool { // the one that gave its vote away joins anew
			f.sole(f.all[i-1])
			return f.voter == i || f.voter != 0 && status != http.StatusOK
		})
		f.all[2-i].ready()
		f.all[i-1].settled(2)
	}
	f.connect()
}
