package oath

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

// TestAgainstOathtool compares our codes with those of a program that we did not write,
// for random keys of every kind.
func TestAgainstOathtool(t *testing.T) {
	oathtool := mfatest.Need(t, "oathtool")[0]
	r := rand.New(rand.NewPCG(4226, 6238))
	for i := range 40 {
		raw := make([]byte, MinSecret+r.IntN(MaxSecret-MinSecret+1))
		for j := range raw {
			raw[j] = byte(r.Uint32())
		}
		s, digits := secret.New(raw), MinDigits+i%3
		window := []string{"-d", fmt.Sprint(digits), "-w", "4", fmt.Sprintf("%x", raw)}

		hotp, err := NewHOTP(s, SHA1, digits)
		if err != nil {
			t.Fatal(err)
		}
		counter := r.Uint64N(1 << 40)
		compare(t, hotp, counter, run(t, oathtool, append([]string{"--hotp", "-c", fmt.Sprint(counter)}, window...)))

		a := []Algorithm{SHA1, SHA256, SHA512}[i%3]
		totp, err := NewTOTP(s, a, digits, 1+r.IntN(MaxPeriod))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(r.Int64N(1<<33), 0)
		compare(t, totp, totp.Step(now), run(t, oathtool, append([]string{"--totp=" + string(a), "-N", fmt.Sprintf("@%d", now.Unix()),
			"-s", fmt.Sprintf("%ds", totp.Period())}, window...)))
	}
}

func run(t *testing.T, program string, args []string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).Output()
	if err != nil {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return strings.Fields(string(out))
}

func compare(t *testing.T, k Key, from uint64, theirs []string) {
	t.Helper()
	if len(theirs) != 5 {
		t.Fatalf("oathtool gives %d codes, want 5", len(theirs))
	}
	for i, want := range theirs {
		if got := k.HOTP(from + uint64(i)); got != want {
			t.Errorf("%s, %d digits, period %d, counter %d: got %s, oathtool has %s", k.algorithm, k.digits, k.period, from+uint64(i), got, want)
		}
	}
}
