package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"countersign/internal/cli"
)

// A person is told first what two servers that change places mean, and can say no.
func TestPromoteAsks(t *testing.T) {
	r := start(t)
	var asked []string
	got := r.run(typing(t, &asked, "n"), "group", "promote")
	if got.code != 1 || len(asked) != 1 || !strings.Contains(asked[0], "nyc1 has the only vote") || !strings.Contains(asked[0], "--disaster") || !strings.Contains(got.err, "nothing was done") {
		t.Errorf("asked %q: %+v", asked, got)
	}
	if all, err := r.node.Servers(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("was promoted all the same: %+v, %v", all, err)
	}
	got = r.run(typing(t, &asked, "y"), "group", "promote")
	for _, want := range []string{"nyc2 is the master now", "104 ms", "nyc1 gives its vote back"} {
		if got.code != 0 || !strings.Contains(got.err, want) {
			t.Errorf("no %q: %+v", want, got)
		}
	}
	if !strings.Contains(got.out, "rejoin  nyc1") {
		t.Errorf("the steps: %s", got.out)
	}
}

// The verb ends though the old master does not become a replica, and says where things stand.
func TestPromoteIsBounded(t *testing.T) {
	r := start(t)
	r.node.Stuck = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the verb's own is a minute
	defer cancel()
	d := deps()
	var errs bytes.Buffer
	d.Stderr = &errs
	d.Env = func(name string) string { return map[string]string{"COUNTERSIGN_DATA": r.dir}[name] }
	code := cli.Run(ctx, []string{"group", "promote", "--yes"}, d)
	if text := errs.String(); code != 1 || !strings.Contains(text, "nyc2 is the master, but nyc1 is not its replica yet; it goes on by itself: see countersign group members") {
		t.Errorf("exit %d: %s", code, text)
	}
}
