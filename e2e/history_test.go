package e2e_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"countersign/internal/mfa"
)

// What clients saw while things failed, and whether a server that keeps its promises can
// have shown them that. Nothing here knows how the program works.

// A leg is one Access-Request and what became of it.
type leg struct {
	ID      string // its Calling-Station-Id, by which the trail is found
	User    string
	Code    string
	Strict  bool      // the application refuses to go on without the group
	Kind    string    // fresh: the code was never sent before; patient: likewise, and asks until it is answered; copy: at the same time as a fresh one; replay: it was accepted before
	Timed   bool      // the code is one of a time step
	Skewed  bool      // and a clock was wrong
	Server  int       // from 1
	Started time.Time // the run of that server which got it
	From    time.Time
	To      time.Time
	Verdict string // accept, reject, silent
	Excuse  string // why no answer or a refusal may have come; "": there is none

	Counter uint64 // of the code
	Seed    string // of the token, in Base32, for whoever looks into a failure

	// By the server's trail; "" if it holds nothing of it.
	Reason   string
	Degraded bool
	Trace    []string
}

// A change is one call of an administrator on one key, and what became of it.
type change struct {
	Key    string
	Kind   string // write: a new value; read: the value, in the order of the writes; look: what this server shows; add, block
	Value  string // written, or seen
	Server int
	Run    int // of that server's process
	From   time.Time
	To     time.Time
	Fate   string // done, refused (nothing was changed), open (nobody knows)
	Answer string // for failures
}

// A span is a time during which something held.
type span struct{ From, To time.Time }

func (s span) touches(from, to time.Time) bool { return !from.After(s.To) && !s.From.After(to) }
func (s span) holds(from, to time.Time) bool   { return !from.Before(s.From) && !to.After(s.To) }

// passcodes finds accepted codes that nobody may have accepted. reported says how often a
// use of a user's code on two sides was reported; k is nil if there was one epoch.
func passcodes(legs []leg, reported map[string]int, k *fork) (faults []string, twice int) {
	type code struct{ user, code string }
	uses := map[code][]leg{}
	for _, l := range legs {
		if l.Verdict == "accept" || mfaAccepts(l.Reason) {
			uses[code{l.User, l.Code}] = append(uses[code{l.User, l.Code}], l)
		}
	}
	wanted := map[string]int{}
	for c, all := range uses {
		if len(all) < 2 {
			continue
		}
		twice++
		what := fmt.Sprintf("%s: code %s was accepted %d times: %+v", c.user, c.code, len(all), all)
		together, alone := 0, map[int]int{}
		for _, l := range all {
			alone[l.Server]++
			if !l.Degraded {
				together++
			}
		}
		switch most := slices.Max(slices.Collect(values(alone))); {
		case k != nil && (!all[0].Strict || together == len(all)):
			if why := k.twice(all); why != "" {
				faults = append(faults, what+"; "+why)
			} else if most > 1 {
				faults = append(faults, fmt.Sprintf("%s; %d times by one server", what, most))
			}
		case all[0].Strict:
			faults = append(faults, what+"; its application refuses to go on without the group")
		case together > 1:
			faults = append(faults, fmt.Sprintf("%s; %d times with the group", what, together))
		case most > 1:
			faults = append(faults, fmt.Sprintf("%s; %d times by one server", what, most))
		}
		if k == nil {
			faults = append(faults, startedLater(what, all)...)
		}
		wanted[c.user] += len(all) - 1
	}
	for user, n := range wanted {
		if reported[user] == 0 {
			faults = append(faults, fmt.Sprintf("%s: %d uses of a code on two sides are reported nowhere", user, n))
		}
	}
	slices.Sort(faults)
	return faults, twice
}

// startedLater finds accepts by a server alone that was started after the group had accepted
// the code: it cannot know what was used before, and has to act on that.
func startedLater(what string, all []leg) (faults []string) {
	for _, alone := range all {
		if alone.Degraded && !alone.Skewed && slices.ContainsFunc(all, func(l leg) bool { return !l.Degraded && l.To.Before(alone.Started) }) {
			faults = append(faults, fmt.Sprintf("%s; by the group, and then by server %d alone, which was started later", what, alone.Server))
		}
	}
	return faults
}

func values(m map[int]int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

func mfaAccepts(reason string) bool {
	var r mfa.Reason
	return reason != "" && r.UnmarshalText([]byte(reason)) == nil && r.Accepts()
}

// answers finds valid sign-ins at servers that were well and that got nothing, or a
// refusal that nothing excuses; and accepts that are in no trail. excused counts the rest
// by reason.
func answers(legs []leg) (faults []string, excused map[string]int) {
	excused = map[string]int{}
	shared := map[string]bool{} // codes that were sent more than once
	sent := map[string]int{}
	for _, l := range legs {
		if sent[l.User+"/"+l.Code]++; sent[l.User+"/"+l.Code] > 1 {
			shared[l.User+"/"+l.Code] = true
		}
	}
	for _, l := range legs {
		switch {
		case l.Verdict == "accept" && l.Reason == "interrupted" && l.Excuse != "":
			excused["accept, interrupted: "+l.Excuse]++
		case l.Verdict == "accept" && !mfaAccepts(l.Reason):
			faults = append(faults, fmt.Sprintf("accepted, and the trail says %q: %+v", l.Reason, l))
		case l.Kind != "fresh" && l.Kind != "patient" || l.Verdict == "accept":
		case l.Kind == "patient" && l.Verdict == "reject" && l.Reason == "replayed_code":
			faults = append(faults, fmt.Sprintf("a request that was sent once more was taken for another one: %+v", l))
		case l.Excuse != "":
			excused[l.Verdict+": "+l.Excuse]++
		case l.Verdict == "silent":
			faults = append(faults, fmt.Sprintf("no answer: %+v", l))
		case l.Reason == "held_while_isolated" && l.Degraded:
			excused["reject: "+l.Reason]++
		case l.Reason == "replayed_code" && shared[l.User+"/"+l.Code]:
			excused["reject: the copy was faster"]++
		default:
			faults = append(faults, fmt.Sprintf("a valid sign-in was refused: %+v", l))
		}
	}
	return faults, excused
}

// registers finds keys whose writes and reads no single database can have shown in any
// order that respects time. What was refused did not happen; what is open may have, at
// any time from its call on.
func registers(changes []change) (faults []string) {
	type seen struct{ value string }
	model := porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, in, out any) (bool, any) {
			if c := in.(change); c.Kind == "write" {
				return true, c.Value
			}
			return out.(seen).value == state.(string), state
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v", in) },
	}
	writes, read := map[[2]string]int{}, map[[2]string]int64{} // by key and value: how often, and the end of the first read
	for _, c := range changes {
		switch at := [2]string{c.Key, c.Value}; {
		case c.Kind == "write":
			writes[at]++
		case c.Kind == "read" && c.Fate != "refused" && c.Fate != "open":
			if end, ok := read[at]; !ok || c.To.UnixNano() < end {
				read[at] = c.To.UnixNano()
			}
		}
	}
	byKey := map[string][]porcupine.Operation{}
	for _, c := range changes {
		if c.Kind != "write" && c.Kind != "read" || c.Fate == "refused" || c.Kind == "read" && c.Fate == "open" {
			continue
		}
		op := porcupine.Operation{ClientId: c.Server, Input: c, Call: c.From.UnixNano(), Output: seen{c.Value}, Return: c.To.UnixNano()}
		if c.Fate == "open" {
			// The search doubles with each write that may happen until the end of time. One
			// that nobody read explains nothing, and one that was read happened before that.
			at := [2]string{c.Key, c.Value}
			end, ok := read[at]
			switch {
			case !ok:
				continue
			case writes[at] == 1:
				op.Return = max(op.Call, end)
			default:
				op.Return = math.MaxInt64
			}
		}
		byKey[c.Key] = append(byKey[c.Key], op)
	}
	for key, ops := range byKey {
		switch porcupine.CheckOperationsTimeout(model, ops, 20*time.Second) {
		case porcupine.Illegal:
			faults = append(faults, fmt.Sprintf("%s: no order of what was acknowledged explains what was read:\n%s", key, story(changes, key)))
		case porcupine.Unknown:
			faults = append(faults, fmt.Sprintf("%s: %d operations are too many to check", key, len(ops)))
		}
	}
	slices.Sort(faults)
	return faults
}

// story tells what happened to a key, in order.
func story(changes []change, key string) string {
	var all []change
	for _, c := range changes {
		if c.Key == key {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b change) int { return a.From.Compare(b.From) })
	b := &strings.Builder{}
	for _, c := range all {
		fmt.Fprintf(b, "  %s to %s server %d run %d: %s %s %s %s\n", c.From.Format("05.000"), c.To.Format("05.000"), c.Server, c.Run, c.Kind, c.Value, c.Fate, c.Answer)
	}
	return b.String()
}

// ownWrites finds looks at a server, by the same run of it, that show a value from before
// one that this server had acknowledged.
func ownWrites(changes []change) (faults []string) {
	wrote := map[string]change{}
	for _, c := range changes {
		if c.Kind == "write" {
			wrote[c.Value] = c
		}
	}
	for _, l := range changes {
		if l.Kind != "look" || l.Fate != "done" {
			continue
		}
		seen, known := wrote[l.Value] // unknown: the value from before all
		for _, c := range changes {
			if c.Kind == "write" && c.Fate == "done" && c.Key == l.Key && c.Server == l.Server && c.Run == l.Run && c.To.Before(l.From) &&
				(!known || seen.Fate == "done" && seen.To.Before(c.From)) {
				faults = append(faults, fmt.Sprintf("server %d shows %q of %s, after it had acknowledged %q", l.Server, l.Value, l.Key, c.Value))
				break
			}
		}
	}
	return faults
}

// minority finds changes that a server acknowledged while it was without most of the
// votes: cut[i] says when server i was. A block may be made without.
func minority(changes []change, cut map[int][]span) (faults []string) {
	for _, c := range changes {
		if c.Kind == "look" || c.Kind == "block" || c.Fate != "done" {
			continue
		}
		if slices.ContainsFunc(cut[c.Server], func(s span) bool { return s.holds(c.From, c.To) }) {
			faults = append(faults, fmt.Sprintf("server %d acknowledged a change without the group: %+v", c.Server, c))
		}
	}
	return faults
}

// What finds faults must find them, and only them.
func TestHistory(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	accept := func(server int, degraded, strict bool) leg {
		return leg{User: "u", Code: "1", Kind: "fresh", Server: server, Strict: strict, Verdict: "accept", Reason: "ok", Degraded: degraded}
	}
	for _, c := range []struct {
		name     string
		legs     []leg
		reported int
		want     string
	}{
		{"once", []leg{accept(1, false, true)}, 0, ""},
		{"on two sides, reported", []leg{accept(1, true, false), accept(2, false, false), accept(3, true, false)}, 1, ""},
		{"on two sides, not reported", []leg{accept(1, true, false), accept(2, false, false)}, 0, "reported nowhere"},
		{"twice with the group", []leg{accept(1, false, false), accept(2, false, false)}, 1, "with the group"},
		{"twice alone", []leg{accept(1, true, false), accept(1, true, false)}, 1, "by one server"},
		{"strict", []leg{accept(1, true, true), accept(2, false, true)}, 1, "refuses to go on"},
		{"alone after a later start", []leg{{User: "u", Code: "1", Server: 1, To: at(3), Verdict: "accept", Reason: "ok"},
			{User: "u", Code: "1", Server: 2, Started: at(4), To: at(5), Verdict: "accept", Reason: "ok", Degraded: true}}, 1, "started later"},
		{"alone after an earlier start", []leg{{User: "u", Code: "1", Server: 1, To: at(3), Verdict: "accept", Reason: "ok"},
			{User: "u", Code: "1", Server: 2, Started: at(2), To: at(5), Verdict: "accept", Reason: "ok", Degraded: true}}, 1, ""},
		{"without an answer but in the trail", []leg{accept(1, false, false), {User: "u", Code: "1", Server: 2, Verdict: "silent", Reason: "ok"}}, 1, "with the group"},
	} {
		check(t, c.name, first(passcodes(c.legs, map[string]int{"u": c.reported}, nil)), c.want)
	}
	for _, c := range []struct {
		name string
		l    leg
		want string
	}{
		{"good", accept(1, false, false), ""},
		{"silent", leg{Kind: "fresh", Verdict: "silent"}, "no answer"},
		{"silent with an excuse", leg{Kind: "fresh", Verdict: "silent", Excuse: "killed"}, ""},
		{"refused", leg{Kind: "fresh", Verdict: "reject", Reason: "wrong_code"}, "was refused"},
		{"the same request once more", leg{Kind: "patient", Verdict: "reject", Reason: "replayed_code", Excuse: "killed"}, "taken for another"},
		{"held", leg{Kind: "fresh", Verdict: "reject", Reason: "held_while_isolated", Degraded: true}, ""},
		{"no record", leg{Kind: "copy", Verdict: "accept"}, "the trail says"},
		{"no record, killed", leg{Kind: "copy", Verdict: "accept", Excuse: "killed"}, "the trail says"},
		{"recorded at the next start", leg{Kind: "copy", Verdict: "accept", Reason: "interrupted", Excuse: "killed"}, ""},
		{"recorded at a start that was none", leg{Kind: "copy", Verdict: "accept", Reason: "interrupted"}, "the trail says"},
	} {
		check(t, c.name, first(answers([]leg{c.l})), c.want)
	}
	op := func(kind, value string, from, to int, fate string) change {
		return change{Key: "k", Kind: kind, Value: value, Server: 1, From: at(from), To: at(to), Fate: fate}
	}
	for _, c := range []struct {
		name string
		ops  []change
		want string
	}{
		{"in order", []change{op("write", "a", 1, 2, "done"), op("write", "b", 3, 4, "done"), op("read", "b", 5, 6, "done")}, ""},
		{"at the same time", []change{op("write", "a", 1, 5, "done"), op("write", "b", 2, 4, "done"), op("read", "a", 6, 7, "done")}, ""},
		{"lost", []change{op("write", "a", 1, 2, "done"), op("write", "b", 3, 4, "done"), op("read", "a", 5, 6, "done")}, "no order"},
		{"open, happened late", []change{op("write", "a", 1, 2, "open"), op("write", "b", 3, 4, "done"), op("read", "a", 5, 6, "done")}, ""},
		{"open, never happened", []change{op("write", "a", 1, 2, "open"), op("read", "", 5, 6, "done")}, ""},
		{"open, read before it began", []change{op("read", "a", 1, 2, "done"), op("write", "a", 3, 4, "open")}, "no order"},
		{"open, seen and gone", []change{op("write", "a", 1, 2, "open"), op("write", "b", 3, 4, "done"), op("read", "a", 5, 6, "done"), op("read", "b", 7, 8, "done")}, "no order"},
		{"one of two alike", []change{op("write", "a", 1, 2, "open"), op("write", "b", 3, 4, "done"), op("write", "a", 5, 6, "open"), op("read", "b", 7, 8, "done"), op("read", "a", 9, 10, "done")}, ""},
		{"refused, but happened", []change{op("write", "a", 1, 2, "refused"), op("read", "a", 5, 6, "done")}, "no order"},
		{"back and forth", []change{op("write", "a", 1, 9, "open"), op("read", "a", 2, 3, "done"), op("read", "", 5, 6, "done")}, "no order"},
	} {
		check(t, c.name, registers(c.ops), c.want)
	}
	many := []change{op("write", "a", 1, 2, "done")}
	for i := range 40 { // an outage: nobody knows which of them happened
		many = append(many, op("write", strconv.Itoa(i), 3+i, 4+i, "open"))
	}
	check(t, "many open writes", registers(append(many, op("read", "17", 60, 61, "done"), op("read", "17", 62, 63, "done"))), "")
	check(t, "many open writes, one lost", registers(append(many, op("read", "17", 60, 61, "done"), op("read", "a", 62, 63, "done"))), "no order")
	stale := []change{op("write", "a", 1, 2, "done"), op("write", "b", 3, 4, "done"), op("look", "a", 5, 6, "done")}
	check(t, "an older value than one's own", ownWrites(stale), "after it had acknowledged")
	check(t, "nothing of one's own", ownWrites([]change{op("write", "a", 1, 2, "done"), op("look", "", 5, 6, "done")}), "after it had acknowledged")
	stale[1].Server = 2
	check(t, "an older value than another's", ownWrites(stale), "")
	cut := map[int][]span{1: {{at(2), at(8)}}}
	check(t, "acknowledged without the group", minority([]change{op("write", "a", 3, 4, "done")}, cut), "without the group")
	check(t, "a block without the group", minority([]change{op("block", "", 3, 4, "done")}, cut), "")
	check(t, "begun with the group", minority([]change{op("write", "a", 1, 4, "done")}, cut), "")
	check(t, "refused without the group", minority([]change{op("write", "a", 3, 4, "refused")}, cut), "")
}

func first(faults []string, _ any) []string { return faults }

// check compares faults with a part of the one that is wanted; "": none.
func check(t *testing.T, name string, faults []string, want string) {
	t.Helper()
	if got := strings.Join(faults, "\n"); (got != "") != (want != "") || !strings.Contains(got, want) {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}
