package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/admin"
	"countersign/internal/radius"
)

// How long a client goes on asking one server before it gives up; a server that refuses to
// go on without the group may keep silent.
const (
	legPatience    = 15 * time.Second
	strictPatience = 4 * time.Second
)

// person is a user of the load with one token.
type person struct {
	login string
	token *token
	seed  string
	step  uint64   // last time step used
	acked []string // codes whose accept was seen, oldest first
}

// crowd is people who sign in one after another, at any server.
type crowd struct {
	strict bool
	people []*person
	asks   []*nas // one client for each server
	copies []*nas // the same, for the one who has read the code over somebody's shoulder
	dice   *rand.Rand
	recent []leg // accepted last, the newest at the end
}

// people makes the users of the load and their clients.
func (f *field) people() (all []*crowd) {
	csv := &strings.Builder{}
	csv.WriteString("login,hotp_secret,totp_secret\n")
	for i := range 4 {
		c := &crowd{strict: i == 3, dice: rand.New(rand.NewPCG(f.seed, uint64(i)+10))}
		from := atNone
		if c.strict {
			from = atStrict
		}
		for _, s := range f.serving() {
			c.asks, c.copies = append(c.asks, s.dialFrom(from)), append(c.copies, s.dialFrom(from))
		}
		for _, n := range slices.Concat(c.asks, c.copies) {
			n.wait = 2 * time.Second
		}
		for j := range 24 { // so many that the last code of each is often one that a fault befell
			seed := newSeed(f.t)
			p := &person{login: fmt.Sprintf("p%d-%d", i, j), seed: seed}
			if j < 16 {
				p.token = newToken(f.t, "hotp", seed)
				fmt.Fprintf(csv, "%s,%s,\n", p.login, seed)
			} else {
				p.token = newToken(f.t, "totp", seed)
				fmt.Fprintf(csv, "%s,,%s\n", p.login, seed)
			}
			c.people = append(c.people, p)
		}
		all = append(all, c)
	}
	f.all[0].cliIn(csv.String(), "user", "import", "-")
	return all
}

// run signs people in until done is closed.
func (c *crowd) run(f *field, done <-chan struct{}) {
	for turn := 0; ; turn++ {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(150+c.dice.IntN(200)) * time.Millisecond): // the pace of this crowd
		}
		if len(c.recent) > 0 && c.dice.IntN(6) == 0 {
			old, at := c.recent[c.dice.IntN(len(c.recent))], c.dice.IntN(len(f.serving()))
			f.keep(f.send(c.asks[at], leg{User: old.User, Code: old.Code, Strict: c.strict, Kind: "replay", Timed: old.Timed, Server: at + 1}))
			continue
		}
		p, at := c.people[turn%len(c.people)], c.dice.IntN(len(f.serving()))
		if f.sick(at+1) != "" && c.dice.IntN(4) > 0 {
			continue // a client knows which server did not answer it just now
		}
		var code string
		counter := p.token.next
		switch {
		case p.token.period == 0:
			code = p.token.press()
		case p.token.step() > p.step:
			p.step = p.token.step()
			counter, code = p.step, p.token.at(p.step)
		default:
			continue
		}
		l := leg{User: p.login, Code: code, Strict: c.strict, Kind: "fresh", Timed: p.token.period > 0, Server: at + 1, Counter: counter, Seed: p.seed}
		var thief sync.WaitGroup
		if other := c.dice.IntN(len(f.serving())); c.dice.IntN(5) == 0 {
			copied := l
			copied.Kind, copied.Server = "copy", other+1
			thief.Go(func() { f.keep(f.send(c.copies[other], copied)) })
		}
		l = f.send(c.asks[at], l)
		thief.Wait()
		f.keep(l)
		if l.Verdict == "accept" {
			p.acked = append(p.acked, code)
			c.recent = append(c.recent[max(0, len(c.recent)-7):], l)
		}
		if n := len(p.acked); n > 0 && c.dice.IntN(8) == 0 {
			again := c.dice.IntN(len(f.serving()))
			code := p.acked[n-1-c.dice.IntN(min(n, 3))]
			f.keep(f.send(c.asks[again], leg{User: p.login, Code: code, Strict: c.strict, Kind: "replay", Timed: l.Timed, Server: again + 1}))
		}
	}
}

// caller is somebody who asks in a rush, and asks on while the server that was asked is started
// again.
type caller struct {
	person
	asks []*nas
	busy atomic.Bool
}

// hire makes the callers.
func (f *field) hire() {
	csv := &strings.Builder{}
	csv.WriteString("login,hotp_secret\n")
	for i := range 8 {
		c := &caller{person: person{login: fmt.Sprintf("caller%d", i), seed: newSeed(f.t)}}
		c.token = newToken(f.t, "hotp", c.seed)
		for _, s := range f.serving() {
			n := s.dialFrom(atNone)
			n.wait = time.Second
			c.asks = append(c.asks, n)
		}
		fmt.Fprintf(csv, "%s,%s\n", c.login, c.seed)
		f.callers = append(f.callers, c)
	}
	f.all[0].cliIn(csv.String(), "user", "import", "-")
}

// rush has all callers ask a server at once, and returns when it is in the middle of it.
func (f *field) rush(i int) {
	for _, c := range f.callers {
		if c.busy.Swap(true) {
			continue
		}
		l := leg{User: c.login, Kind: "patient", Server: i, Counter: c.token.next, Seed: c.seed}
		l.Code = c.token.press()
		f.calls.Go(func() {
			f.keep(f.send(c.asks[i-1], l))
			c.busy.Store(false)
		})
	}
	time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond) // for some this is before the settlement, for others after it
}

// tryUsed sends codes that other servers accepted between two moments to one that may not
// know of it.
func (f *field) tryUsed(at int, from, to time.Time, strict bool) {
	var used []leg
	f.mu.Lock()
	for _, l := range f.legs {
		if l.Verdict == "accept" && l.Server != at && l.From.After(from) && l.To.Before(to) && (strict || !l.Strict) {
			used = append(used, l)
		}
	}
	f.mu.Unlock()
	asks := map[bool]*nas{false: f.all[at-1].dialFrom(atNone), true: f.all[at-1].dialFrom(atStrict)}
	for _, l := range used[max(0, len(used)-10):] {
		n := asks[l.Strict]
		n.wait = 2 * time.Second
		f.keep(f.send(n, leg{User: l.User, Code: l.Code, Strict: l.Strict, Kind: "replay", Timed: l.Timed, Server: at}))
	}
}

// send sends one leg, the same packet again until it is answered, nobody is well at the
// other end, or patience ends.
func (f *field) send(n *nas, l leg) leg {
	l.ID = fmt.Sprintf("leg-%d", f.ids.Add(1))
	packet := n.request(l.User, l.Code, func(w *radius.Writer) { _ = w.Add(radius.CallingStationID, []byte(l.ID)) })
	l.From, l.Started = time.Now(), f.started(l.Server)
	for {
		r, err := n.exchange(packet)
		l.To = time.Now()
		switch {
		case err == nil && r.code == radius.AccessAccept:
			l.Verdict = "accept"
			return l
		case err == nil && r.code == radius.AccessReject:
			l.Verdict = "reject"
			return l
		case err == nil || !errors.Is(err, errSilent):
			f.fault("an answer that none may get: %v %v: %+v", r, err, l)
			l.Verdict = "silent"
			return l
		case f.sick(l.Server) != "" && l.Kind != "patient", l.To.Sub(l.From) > legPatience, l.Strict && l.To.Sub(l.From) > strictPatience:
			l.Verdict = "silent"
			return l
		}
		time.Sleep(20 * time.Millisecond) // the port may be closed
	}
}

// office is an administrator who changes and reads registers through any server.
type office struct {
	n    int
	dice *rand.Rand
}

// registerKeys is how many users serve as registers: their tag is the value.
const registerKeys = 5

func (o *office) run(f *field, done <-chan struct{}) {
	for turn := 0; ; turn++ {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(80+o.dice.IntN(160)) * time.Millisecond): // the pace of this office
		}
		at := o.dice.IntN(len(f.serving())) + 1
		if f.sick(at) != "" && o.dice.IntN(4) > 0 {
			continue
		}
		c := change{Key: fmt.Sprintf("reg%d", o.dice.IntN(registerKeys)), Server: at}
		name := fmt.Sprintf("v%d-%d", o.n, turn)
		switch d := o.dice.IntN(20); {
		case d < 6:
			c.Kind, c.Value = "write", name
		case d < 9:
			c.Kind = "read"
		case d < 12:
			c.Kind = "look"
		case d < 18: // what nobody writes over
			c.Kind, c.Key = "add", name
		default:
			c.Kind, c.Key = "block", fmt.Sprintf("p0-blocked%d", o.dice.IntN(blockable))
		}
		c = f.call(c)
		f.keepChange(c)
		if c.Kind == "write" && c.Fate == "done" && c.To.Sub(c.From) > troubled { // before somebody writes over it
			at := o.dice.IntN(len(f.serving())) + 1
			f.keepChange(f.call(change{Key: c.Key, Kind: "read", Server: at}))
		}
	}
}

// troubled is how long a change takes that something came between.
const troubled = 400 * time.Millisecond

// blockable is how many users there are to be blocked.
const blockable = 120

// call makes one change.
func (f *field) call(c change) change {
	s := f.all[c.Server-1]
	c.Run = f.run(c.Server)
	method, path, body := http.MethodPatch, "/users/"+c.Key, map[string]any{}
	switch c.Kind {
	case "write":
		body["tags"] = []string{c.Value}
	case "look":
		method = http.MethodGet
	case "add":
		method, path = http.MethodPost, "/users"
		body["login"] = c.Key
	case "block":
		method, path = http.MethodPost, path+"/block"
		body["reason"] = "lost the token"
	}
	c.From = time.Now()
	status, text, err := s.api(method, path, body)
	c.To = time.Now()
	c.Answer = fmt.Sprintf("%d %.300s %v", status, text, err)
	refusal := errors.Is(err, errNotSent) || status == http.StatusServiceUnavailable && strings.Contains(text, "nothing was changed") ||
		status == http.StatusConflict && c.Kind != "add" || status == http.StatusNotFound && c.Kind == "look"
	switch {
	case status == http.StatusOK || status == http.StatusCreated:
		c.Fate, c.Answer = "done", ""
		if c.Kind == "write" || c.Kind == "add" {
			select {
			case f.acks <- struct{}{}:
			default:
			}
		}
		var u admin.User
		if err := json.Unmarshal([]byte(text), &u); err != nil {
			f.fault("an answer that is no user: %s", text)
		}
		if c.Kind == "read" || c.Kind == "look" {
			c.Value = strings.Join(u.Tags, ",")
		}
	case refusal:
		c.Fate = "refused"
	default:
		c.Fate = "open"
	}
	return c
}

// errNotSent: the server has not heard of it.
var errNotSent = errors.New("not sent")

// api makes one call of the REST API through the server's socket.
func (s *server) api(method, path string, body any) (status int, text string, err error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.data, "admin.sock"))
	if err != nil {
		return 0, "", fmt.Errorf("%w: %w", errNotSent, err)
	}
	defer func() { _ = conn.Close() }()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
	r, err := http.NewRequestWithContext(ctx, method, "http://countersign/api/v1"+path, bytes.NewReader(b))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if method == http.MethodGet {
		r.Body = http.NoBody
		r.ContentLength = 0
	}
	a, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = a.Body.Close() }()
	got, err := io.ReadAll(a.Body)
	return a.StatusCode, string(got), err
}
