package e2e_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"countersign/internal/oath"
	"countersign/internal/secret"
)

// token is a user's device.
type token struct {
	key    oath.Key
	period uint64 // s; 0: HOTP
	next   uint64 // HOTP: counter of the next code
}

func newToken(t testing.TB, method, base32 string) *token {
	t.Helper()
	seed, err := oath.ParseSecret(secret.FromString(base32))
	if err != nil {
		t.Fatal(err)
	}
	k := &token{}
	if method == "hotp" {
		k.key, err = oath.NewHOTP(seed, oath.DefaultAlgorithm, oath.DefaultDigits)
	} else {
		k.period = oath.DefaultPeriod
		k.key, err = oath.NewTOTP(seed, oath.DefaultAlgorithm, oath.DefaultDigits, oath.DefaultPeriod)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newSeed returns a secret, in Base32, of which the first codes are all different. If two
// counters within the window share a code, who spends it spends it for both: what lies
// between is then refused. With a window of 100 that is one code in ten thousand, which a
// test that counts accepts would take for a fault.
func newSeed(t testing.TB) string {
	t.Helper()
	for {
		text := rand.Text()[:26] + "AAAAAA" // 20 bytes
		k, seen := newToken(t, "hotp", text), map[string]bool{}
		for counter := range uint64(300) {
			seen[k.at(counter)] = true
		}
		if len(seen) == 300 {
			return text
		}
	}
}

// step is the time step of now.
func (k *token) step() uint64 { return uint64(time.Now().Unix()) / k.period }

// at returns the code of a counter or time step.
func (k *token) at(counter uint64) string { return k.key.HOTP(counter) }

// now returns the code that the device shows. The server takes it although a step may
// begin on the way, and after it the code of soon.
func (k *token) now() string { return k.at(k.step()) }

// soon returns the code that the device shows next.
func (k *token) soon() string { return k.at(k.step() + 1) }

// press returns the next code of a counter-based device.
func (k *token) press() string {
	k.next++
	return k.at(k.next - 1)
}

// wrong returns n different codes of six digits that the device does not show anywhere
// near now.
func (k *token) wrong(n int) []string {
	near := map[string]bool{}
	from := uint64(0)
	if k.period > 0 {
		from = k.step() - 20
	}
	for c := from; c < from+200; c++ {
		near[k.at(c)] = true
	}
	var codes []string
	for i := 0; len(codes) < n; i++ {
		if c := fmt.Sprintf("%06d", i*7919%1_000_000); !near[c] {
			codes = append(codes, c)
		}
	}
	return codes
}
