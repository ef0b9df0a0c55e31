package bench

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"

	"countersign/internal/oath"
	"countersign/internal/secret"
)

// period is the length of a time step in seconds.
const period = 30

// population is a number of users with a token each. All of it follows from the number,
// so that every system knows the same users.
type population int

func (population) login(user int) string { return fmt.Sprintf("user%06d", user) }

func (population) secret(user int) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(user))
	sum := sha256.Sum256(append([]byte("countersign benchmark "), b[:]...))
	return sum[:20]
}

func (p population) base32(user int) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(p.secret(user))
}

func (p population) key(user int) (oath.Key, error) {
	return oath.NewTOTP(secret.New(p.secret(user)), oath.SHA1, oath.DefaultDigits, period)
}

// passcode is a user's code of one time step.
type passcode struct {
	user int
	step uint64
	code string
}

// supply hands out passcodes that a server has not seen yet.
type supply struct {
	keys   []oath.Key
	last   []uint64 // by user: the newest step handed out
	queue  []int    // users, the next one first
	before uint64   // how many steps before the present one the server takes
	again  bool     // the server takes a code as often as it is sent
}

func newSupply(p population, before uint64, again bool) (*supply, error) {
	s := &supply{keys: make([]oath.Key, p), last: make([]uint64, p), queue: make([]int, p), before: before, again: again}
	for i := range s.keys {
		var err error
		if s.keys[i], err = p.key(i); err != nil {
			return nil, err
		}
		s.queue[i] = i
	}
	return s, nil
}

// left returns how many codes take would give in the time step now.
func (s *supply) left(now uint64) (n int) {
	for _, last := range s.last {
		if last < now {
			n++
		}
	}
	return n
}

// take returns up to n passcodes of the time step now or, where the server takes those and
// the user has not used them, of earlier ones: one for each user, but for a server that
// takes codes again.
func (s *supply) take(n int, now uint64) []passcode {
	codes := make([]passcode, 0, n)
	var waiting, used []int
	at := 0
	for ; len(codes) < n && (at < len(s.queue) || s.again); at++ {
		u := s.queue[at%len(s.queue)]
		step := max(s.last[u]+1, now-s.before)
		switch {
		case s.again:
			step = now
		case step > now:
			waiting = append(waiting, u)
			continue
		default:
			s.last[u] = step
			used = append(used, u)
		}
		code := s.keys[u].HOTP(step)
		if !s.again && (code == s.keys[u].HOTP(step+1) || code == s.keys[u].HOTP(step+2)) {
			continue // one in half a million: a server that takes later steps too takes it for the later one, and spends that
		}
		codes = append(codes, passcode{u, step, code})
	}
	if !s.again {
		s.queue = slices.Concat(s.queue[at:], waiting, used)
	}
	return codes
}

// giveBack takes back a passcode that was never sent.
func (s *supply) giveBack(c passcode) {
	if !s.again && s.last[c.user] == c.step {
		s.last[c.user] = c.step - 1
	}
}
