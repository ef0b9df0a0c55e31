package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/mfatest"
)

// stateLine is how radclient shows a State.
var stateLine = regexp.MustCompile(`State = (0x[0-9a-f]+)`)

// radclient sends one request with FreeRADIUS' own client and returns what that says.
func radclient(t testing.TB, to, command string, attributes ...string) string {
	t.Helper()
	path := mfatest.Need(t, "radclient")[0]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, path, "-x", "-r", "1", "-t", fmt.Sprint(int(patience.Seconds())), to, command, secretWord)
	c.Stdin = strings.NewReader(strings.Join(attributes, ",") + "\n")
	out, _ := c.CombinedOutput() // a reject is exit 1
	return string(out)
}
