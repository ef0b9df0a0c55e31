package cli_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/cli"
)

// A server that runs is asked to leave, by force if that is said; for a machine whose server
// does not run only force gives up the activation, and a person can say no.
func TestLeaveByForce(t *testing.T) {
	r := start(t)
	if got := r.run(nil, "group", "leave", "--yes"); got.code != 0 || r.node.Forced() {
		t.Errorf("leave: %+v, forced %v", got, r.node.Forced())
	}
	if got := r.run(nil, "group", "leave", "--yes", "--force"); got.code != 0 || !r.node.Forced() {
		t.Errorf("leave --force: %+v, forced %v", got, r.node.Forced())
	}
	gone := 0
	stopped := func(d *cli.Deps) {
		d.Env = func(string) string { return filepath.Join(r.dir, "nobody") }
		d.Abandon = func(_ context.Context, _ cli.Globals, confirm func(name, group string) error) error {
			if err := confirm("nyc2", "lab"); err != nil {
				return err
			}
			gone++
			return nil
		}
	}
	if got := r.run(stopped, "group", "leave", "--yes"); got.code != 1 || gone != 0 || !strings.Contains(got.err, "no server is running") {
		t.Errorf("leave of a server that does not run: %+v", got)
	}
	var asked []string
	no := func(d *cli.Deps) { typing(t, &asked, "n")(d); stopped(d) }
	if got := r.run(no, "group", "leave", "--force"); got.code != 1 || gone != 0 || len(asked) != 1 || !strings.Contains(asked[0], "nyc2, into group lab") {
		t.Errorf("asked %q: %+v", asked, got)
	}
	if got := r.run(stopped, "group", "leave", "--force", "--yes"); got.code != 0 || gone != 1 || !strings.Contains(got.out, "nyc2") {
		t.Errorf("leave --force of a server that does not run: %+v", got)
	}
}
