package e2e_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"countersign/internal/radius"
)

const flood = 64

// at once sends a packet from each of so many clients at the same moment.
func (s *server) atOnce(from string, packets func(i int, n *nas) []byte) (clients []*nas, sent [][]byte, replies []reply) {
	s.t.Helper()
	replies = make([]reply, flood)
	errs := make([]error, flood)
	for i := range flood {
		clients = append(clients, newNAS(s.t, from, s.radius))
		sent = append(sent, packets(i, clients[i]))
	}
	var ready, done sync.WaitGroup
	ready.Add(flood)
	for i := range flood {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			replies[i], errs[i] = clients[i].exchange(sent[i])
		})
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		s.t.Fatal(err)
	}
	return clients, sent, replies
}

// One right code is good once, whoever asks how often at the same time, by whatever way.
func TestParallelOneCode(t *testing.T) {
	s := newPathServer(t)
	s.cli("policy", "set", "attempt_seconds=60")
	for _, c := range []struct {
		name, from string
		state      bool
	}{{"code alone", atNone, false}, {"behind the password", atAppend, false}, {"answers to one challenge", atPrompt, true}} {
		t.Run(c.name, func(t *testing.T) {
			user := "user-" + c.from
			s.user(user, "wonder")
			code := s.totp(user).now()
			password := code
			switch c.from {
			case atAppend:
				password = "wonder" + code
			case atPrompt:
				password = "wonder"
			}
			var change func(w *radius.Writer)
			if c.state {
				change = answering(newNAS(t, c.from, s.radius).ask(user, password, nil).state)
				password = code
			}
			clients, sent, replies := s.atOnce(c.from, func(_ int, n *nas) []byte { return n.request(user, password, change) })
			won := -1
			for i, r := range replies {
				switch {
				case r.code == radius.AccessAccept && won < 0:
					won = i
				case r.code != radius.AccessReject:
					t.Errorf("request %d: %v", i, r)
				}
			}
			if won < 0 {
				t.Fatal("nobody was accepted")
			}
			why := s.reasons("--user", user)
			used := why["replayed_code"] + why["challenge_replayed"]
			if why["ok"] != 1 || used != flood-1 {
				t.Errorf("the trail has %v, want one ok and %d refusals of a used code", why, flood-1)
			}

			// The same packet again is the same answer: first from memory, after kill -9 from
			// the database.
			records := len(s.attempts())
			if again := clients[won].send(sent[won]); !bytes.Equal(again.raw, replies[won].raw) {
				t.Errorf("retransmit: another answer: %v", again)
			}
			s.kill9()
			s.start()
			if again := clients[won].send(sent[won]); again.code != radius.AccessAccept {
				t.Errorf("retransmit after kill -9: %v", again)
			}
			for i := range 8 {
				if i == won {
					continue
				}
				if again := clients[i].send(sent[i]); again.code != radius.AccessReject {
					t.Errorf("retransmit of a refused request after kill -9: %v", again)
				}
			}
			if r := newNAS(t, c.from, s.radius).send(clients[won].request(user, password, change)); r.code == radius.AccessAccept {
				t.Errorf("a new request with the used code: %v", r)
			}
			if n := s.reasons("--user", user)["ok"]; n != 1 || len(s.attempts()) < records {
				t.Errorf("%d accepts in the trail", n)
			}
			s.verify()
		})
	}
}

// Guesses made at the same time are counted like guesses made one by one.
func TestParallelGuesses(t *testing.T) {
	s := newPathServer(t)
	for _, c := range []struct{ name, from, password string }{
		{"code alone", atNone, ""}, {"behind the password", atAppend, "wonder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			user := "user-" + c.from
			s.user(user, "wonder")
			k := s.totp(user)
			codes := k.wrong(flood)
			_, _, replies := s.atOnce(c.from, func(i int, n *nas) []byte { return n.request(user, c.password+codes[i], nil) })
			for i, r := range replies {
				if r.code != radius.AccessReject {
					t.Errorf("guess %d: %v", i, r)
				}
			}
			if why := s.reasons("--user", user); why["wrong_code"] != 5 || why["locked"] != flood-5 {
				t.Errorf("the trail has %v, want 5 wrong_code and %d locked", why, flood-5)
			}
			s.kill9()
			s.start()
			n := newNAS(t, c.from, s.radius)
			if r := n.ask(user, c.password+k.now(), nil); r.code != radius.AccessReject {
				t.Errorf("the right code of a locked user after kill -9: %v", r)
			}
			s.cli("user", "unlock", user)
			if r := n.ask(user, c.password+k.now(), nil); r.code != radius.AccessAccept {
				t.Errorf("the right code of an unlocked user: %v", r)
			}
		})
	}
}

// Wrong passwords have a count of their own.
func TestParallelPasswords(t *testing.T) {
	s := newPathServer(t)
	s.cli("policy", "set", "first_factor_tries=5", "attempt_seconds=60")
	s.user("ann", "wonder")
	k := s.totp("ann")
	_, _, _ = s.atOnce(atAppend, func(i int, n *nas) []byte { return n.request("ann", "guess"+string(rune('A'+i))+k.now(), nil) })
	if why := s.reasons("--user", "ann"); why["wrong_password"] != 5 || why["first_factor_locked"] != flood-5 {
		t.Errorf("the trail has %v, want 5 wrong_password and %d first_factor_locked", why, flood-5)
	}
	if r := newNAS(t, atNone, s.radius).ask("ann", k.now(), nil); r.code != radius.AccessAccept {
		t.Errorf("the code was spent behind a wrong password: %v", r)
	}
}
