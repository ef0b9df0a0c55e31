package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// actor signs its users in, one after another, again and again.
type actor struct {
	from    string // the client
	patient bool   // repeats a packet until it is answered; else gives it up after two
	nas     *nas
	users   []*account
	turn    int
}

// account is a user of an actor.
type account struct {
	login  string
	token  *token
	recent []time.Time // of the last sign-ins
	acked  []uint64    // counters whose code was accepted, as the user saw it
	lost   int         // attempts without an answer
}

const chaosPassword = "wonder"

// busiest is how often one user signs in within two minutes: the server keeps what it needs
// to answer a repeated packet, and has room for a person's sign-ins.
const busiest = 45

// next returns a user who may sign in, nil if all have done so too often.
func (a *actor) next(now time.Time) *account {
	for range a.users {
		a.turn = (a.turn + 1) % len(a.users)
		u := a.users[a.turn]
		if n := len(u.recent); n < busiest || now.Sub(u.recent[n-busiest]) > 2*time.Minute+2*time.Second {
			u.recent = append(u.recent, now)
			return u
		}
	}
	return nil
}

// errGivenUp: nobody answered an impatient actor.
var errGivenUp = fmt.Errorf("given up: %w", errSilent)

// ask sends one packet until it is answered, as a client does: the same bytes from the
// same port.
func (a *actor) ask(packet []byte) (reply, error) {
	for i := 0; a.patient || i < 2; i++ {
		r, err := a.nas.exchange(packet)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, errSilent) {
			return r, err
		}
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // the port may be closed
	}
	return reply{}, errGivenUp
}

// signIn is one sign-in with the next code.
func (a *actor) signIn() error {
	u := a.next(time.Now())
	if u == nil {
		time.Sleep(20 * time.Millisecond) // every user has signed in as often as in two minutes they may
		return nil
	}
	counter := u.token.next
	code := u.token.press()
	first := code
	switch a.from {
	case atAppend:
		first = chaosPassword + code
	case atPrompt:
		first = chaosPassword
	}
	r, err := a.ask(a.nas.request(u.login, first, nil))
	if err == nil && r.code == radius.AccessChallenge {
		r, err = a.ask(a.nas.request(u.login, code, answering(r.state)))
	}
	switch {
	case errors.Is(err, errGivenUp):
		u.lost++
		return nil
	case err != nil:
		return err
	case r.code != radius.AccessAccept:
		return fmt.Errorf("%s: the right code %d is answered with %v", u.login, counter, r)
	}
	u.acked = append(u.acked, counter)
	return nil
}

// replay sends the last codes of the user who was accepted last once more, and returns
// who that is and how many they are.
func (a *actor) replay(t *testing.T) (login string, n int) {
	t.Helper()
	u := a.users[a.turn]
	from, password := atNone, ""
	if a.from != atNone {
		from, password = atAppend, chaosPassword
	}
	for _, counter := range u.acked[max(0, len(u.acked)-3):] {
		if counter+9 < u.token.next {
			continue // the server tells a code that was used only so long from a wrong one
		}
		n++
		if r := newNAS(t, from, a.nas.conn.RemoteAddr().String()).ask(u.login, password+u.token.at(counter), nil); r.code != radius.AccessReject {
			t.Errorf("%s: code %d was accepted before and now gets %v", u.login, counter, r)
		}
	}
	return u.login, n
}

// cast makes the actors and their users.
func cast(t *testing.T, s *server) (actors []*actor) {
	t.Helper()
	csv := &strings.Builder{}
	csv.WriteString("login,password,hotp_secret\n")
	for i, from := range []string{atNone, atNone, atNone, atNone, atAppend, atAppend, atPrompt, atPrompt} {
		a := &actor{from: from, patient: i%2 == 0, nas: newNAS(t, from, s.radius)}
		a.nas.wait = 400 * time.Millisecond
		users, password := 60, ""
		if from != atNone {
			users, password = 8, chaosPassword
		}
		for j := range users {
			seed := newSeed(t)
			u := &account{login: fmt.Sprintf("actor%d-%d", i, j), token: newToken(t, "hotp", seed)}
			a.users = append(a.users, u)
			fmt.Fprintf(csv, "%s,%s,%s\n", u.login, password, seed)
		}
		actors = append(actors, a)
	}
	s.cliIn(csv.String(), "user", "import", "-")
	return actors
}

// TestChaos kills the server at random moments under load.
func TestChaos(t *testing.T) {
	s := newPathServer(t)
	chaos(t, s, setting(t, "CHAOS_ROUNDS", 10), s.kill9)
}

// chaos ends the server at random moments under load by fall. What a client was told stays
// true: no accepted code is good again, each accept has its record, each guess counts
// once, and what an administrator was told is there.
func chaos(t *testing.T, s *server, rounds int, fall func()) {
	t.Helper()
	seed := setting(t, "CHAOS_SEED", rand.Int())
	t.Logf("rounds=%d CHAOS_SEED=%d", rounds, seed)
	dice := rand.New(rand.NewPCG(uint64(seed), 1))
	s.cli("policy", "set", "hotp_window=100")
	actors := cast(t, s)
	s.user("guesser", "")
	guesser := &actor{from: atNone, patient: true, nas: newNAS(t, atNone, s.radius)}
	guesser.nas.wait = 400 * time.Millisecond
	guesses := s.hotp("guesser").wrong(rounds)

	replays := map[string]int{}
	var added []string
	for round := range rounds {
		var stop atomic.Bool
		var wg sync.WaitGroup
		for _, a := range actors {
			wg.Go(func() {
				for !stop.Load() {
					if err := a.signIn(); err != nil {
						t.Errorf("round %d: %v", round, err)
						return
					}
				}
			})
		}
		wg.Go(func() {
			r, err := guesser.ask(guesser.nas.request("guesser", guesses[round], nil))
			if err != nil || r.code != radius.AccessReject {
				t.Errorf("round %d: a guess: %v, %v", round, r, err)
			}
		})
		login := fmt.Sprintf("added%d", round)
		wg.Go(func() {
			if s.try("", "user", "add", login).code == 0 {
				added = append(added, login)
			}
		})
		moment(dice, 700)
		fall()
		if dice.IntN(3) == 0 { // while it reads back what the first kill left
			s.proc = launch(t, s.log, "server", "--config", s.config)
			moment(dice, 500)
			fall()
		}
		s.start()
		moment(dice, 200)
		stop.Store(true)
		wg.Wait()
		for _, a := range actors {
			login, n := a.replay(t)
			replays[login] += n
		}
		s.verify()
		if t.Failed() {
			for _, a := range s.attempts("--limit", "40") {
				t.Logf("%+v", a)
			}
			t.FailNow()
		}
	}
	s.stop()
	s.start()
	s.verify()

	all := s.attempts()
	reasons := s.byLogin(all)
	total := 0
	for _, a := range actors {
		for _, u := range a.users {
			got := reasons[u.login]
			settled := got["ok"] + got["interrupted"]
			if settled < len(u.acked) || settled > len(u.acked)+u.lost || a.patient && u.lost > 0 {
				t.Errorf("%s was accepted %d times and %d times without answer; the trail has %v", u.login, len(u.acked), u.lost, got)
			}
			if got["replayed_code"] != replays[u.login] {
				t.Errorf("%s replayed %d codes; the trail has %v", u.login, replays[u.login], got)
			}
			total += len(u.acked)
		}
	}
	if total < rounds*len(actors) {
		t.Errorf("only %d accepts in %d rounds", total, rounds)
	}
	// A refusal that settles nothing is decided anew if it is asked for again after a kill.
	if got := reasons["guesser"]; got["wrong_code"]+got["interrupted"] != min(5, rounds) || got["locked"] < rounds-5 {
		t.Errorf("%d guesses, one in a round: the trail has %v", rounds, got)
	}
	for _, login := range added {
		s.cli("user", "show", login)
	}
	t.Logf("%d accepts, %d records, %d of %d users added", total, len(all), len(added), rounds)
}

// byLogin counts the reasons of each user. An interrupted attempt knows the id only.
func (s *server) byLogin(all []admin.Attempt) map[string]map[string]int {
	s.t.Helper()
	var users admin.UserList
	s.json(&users, "user", "list")
	reasons, login := map[string]map[string]int{}, map[mfa.UserID]string{}
	for _, u := range users.Users {
		reasons[u.Login], login[u.ID] = map[string]int{}, u.Login
	}
	for _, a := range all {
		if n := reasons[login[a.User]]; n != nil {
			n[a.Reason]++
		}
	}
	return reasons
}

// moment lets up to so many ms pass.
func moment(dice *rand.Rand, ms int) {
	time.Sleep(time.Duration(dice.IntN(ms*1000)) * time.Microsecond)
}

// setting reads a number from the environment.
func setting(t testing.TB, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number", name, v)
	}
	return n
}
